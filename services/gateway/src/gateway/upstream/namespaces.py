"""The clients of Nacos, one for each namespace that a route names."""

from nacos_client import Discovery, Nacos


class Namespaces:
    """Nacos as the directory of services uses it.

    A service of another namespace is `NAMESPACE/NAME`; a client of Nacos belongs to one namespace,
    so the first service of another one starts a client.
    """

    def __init__(self, own: Nacos, kept: str = "") -> None:
        """Take the client of the gateway's own namespace, and a service that others follow too."""
        self._own = own
        self._kept = kept
        self._others: dict[str, Nacos] = {}

    def discover(self, service: str) -> Discovery:
        """Follow the instances of a service."""
        nacos, name = self._locate(service)
        return nacos.discover(name)

    def forget(self, service: str) -> None:
        """Stop following a service, unless others follow it too."""
        nacos, name = self._locate(service)
        if nacos is not self._own or name != self._kept:
            nacos.forget(name)

    async def close(self) -> None:
        """End the clients of the other namespaces."""
        for nacos in self._others.values():
            await nacos.close()

    def _locate(self, service: str) -> tuple[Nacos, str]:
        namespace, name = divided(service)
        if namespace in ("", self._own.settings.namespace):
            return self._own, name
        if namespace not in self._others:
            self._others[namespace] = self._own.in_namespace(namespace)
        return self._others[namespace], name


def divided(service: str) -> tuple[str, str]:
    """Return a service's namespace, "" for the gateway's own, and its name with its group."""
    namespace, _, name = service.rpartition("/")
    return namespace, name
