"""Requests over HTTP with a client's login, each in the dialect of the server."""

from collections.abc import Mapping

from nacos_client._sdk import http
from nacos_client._sdk.auth import Credentials
from nacos_client._sdk.dialect import Dialect, Dialects, Server
from nacos_client._sdk.http import HTTP_SECONDS, HttpAnswer
from nacos_client.settings import NacosSettings


class HttpApi:
    """The HTTP API of the servers of one client; all its sessions share the login.

    Attributes:
        settings: of the client.
        dialects: the servers, as they said what they are.
        credentials: the client's login.
    """

    def __init__(self, settings: NacosSettings) -> None:
        self.settings = settings
        self.dialects = Dialects(settings)
        self.credentials = Credentials(settings, self.dialects)

    async def send(
        self,
        server: Server,
        method: str,
        paths: Mapping[Dialect, str],
        form: Mapping[str, str],
        *,
        naming: str | None = None,
        config: str | None = None,
        headers: Mapping[str, str] | None = None,
        seconds: float = HTTP_SECONDS,
        renew: bool = False,
    ) -> HttpAnswer:
        """Send a form to the path of the server's dialect.

        Args:
            server: host and HTTP port.
            method: of HTTP.
            paths: the path of each dialect.
            form: the fields.
            naming: `group@@service`, which a signature covers.
            config: what a signature covers of a configuration request, see `Credentials.headers`.
            headers: beside those of the login.
            seconds: the time until the answer must be there.
            renew: log in anew, and ask once more, where the request is denied: the token may be
                one that the server no longer takes.

        Raises:
            Unreachable: the server does not answer over HTTP.
            Denied: the login is refused; an answer that refuses the request itself is returned.
            Refused: the server answers in neither dialect.
        """
        path = paths[Dialect((await self.dialects.of(server)).dialect)]
        while True:
            login = await self.credentials.headers(naming=naming, config=config)
            answer = await http.send(
                self.settings,
                server,
                method,
                path,
                form=form,
                headers={**(headers or {}), **with_bearer(login)},
                seconds=seconds,
            )
            if answer.status not in http.DENIED or not renew:
                return answer
            self.credentials.refused(login)
            renew = False


def with_bearer(headers: Mapping[str, str]) -> dict[str, str]:
    """Repeat the token in the header `Authorization`: servers of 2.0 look for it there only."""
    token = headers.get("accessToken")
    return {**headers, **({"Authorization": f"Bearer {token}"} if token else {})}
