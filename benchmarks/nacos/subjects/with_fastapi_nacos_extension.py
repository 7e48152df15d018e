"""fastapi-nacos-extension as its README shows: it lives in the lifespan of a FastAPI app."""

from contextlib import AsyncExitStack

from fastapi import FastAPI
from fastapi_nacos_extension import FastAPINacos
from frame import HOST, Library, Nacos, main


class Extension(Library):
    """An app with the extension, started as a server would start it."""

    def __init__(self, nacos: Nacos) -> None:
        super().__init__(nacos)
        self._running = AsyncExitStack()

    async def register(self, service: str, port: int) -> None:
        """Enter the lifespan, which registers in the background."""
        app = FastAPI()
        FastAPINacos(
            app,
            {
                "NACOS_SERVER_ADDR": self.nacos.server_addr,
                "NACOS_NAMESPACE_ID": self.nacos.namespace,
                "NACOS_USERNAME": self.nacos.username,
                "NACOS_PASSWORD": self.nacos.password,
                "NACOS_SERVICE_NAME": service,
                "NACOS_SERVICE_IP": HOST,
                "NACOS_SERVICE_PORT": port,
            },
        )
        await self._running.enter_async_context(app.router.lifespan_context(app))


if __name__ == "__main__":
    main(Extension)
