"""The two things that Nacos does over HTTP only: logging in, and administration."""

from collections.abc import Mapping

import httpx

from nacos_client._sdk import tls
from nacos_client.errors import Unreachable
from nacos_client.settings import NacosSettings

HTTP_SECONDS = 3.0
DENIED = (401, 403)
MISSING = (404, 410, 501)


async def send(
    settings: NacosSettings,
    server: tuple[str, int],
    method: str,
    path: str,
    *,
    form: Mapping[str, str],
    headers: Mapping[str, str] | None = None,
) -> httpx.Response:
    """Send a form to a server; what is secret is in the body or the headers, never in the URL.

    Raises:
        Unreachable: no answer within three seconds, or nobody that TLS can trust.
    """
    host, port = server
    url = f"{'https' if settings.tls else 'http'}://{host}:{port}/nacos{path}"
    verify = tls.trust(settings) if settings.tls else False
    name = {"sni_hostname": settings.tls_server_name} if settings.tls_server_name else {}
    try:
        async with httpx.AsyncClient(verify=verify, timeout=HTTP_SECONDS, trust_env=False) as http:
            return await http.request(
                method, url, data=dict(form), headers=dict(headers or {}), extensions=name
            )
    except httpx.HTTPError as error:
        raise Unreachable(f"{host}:{port}: {type(error).__name__} {error}") from error
