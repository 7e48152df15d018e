"""TLS by the settings; the files are read at each connect, so that they can be renewed."""

import ssl

import grpc  # type: ignore[import-untyped]

from nacos_client.errors import Unreachable
from nacos_client.settings import NacosSettings


def trust(settings: NacosSettings) -> ssl.SSLContext:
    """Make the TLS context for HTTP; this also proves that the files are good.

    Raises:
        Unreachable: a file cannot be read or is not PEM; the message names its setting.
    """
    setting = f"NACOS_TLS_CA={settings.tls_ca}"
    try:
        context = ssl.create_default_context(cafile=settings.tls_ca)
        setting = f"NACOS_TLS_CERT={settings.tls_cert}, NACOS_TLS_KEY={settings.tls_key}"
        if settings.tls_cert:
            context.load_cert_chain(settings.tls_cert, settings.tls_key)
    except OSError as error:  # an ssl.SSLError is an OSError
        raise Unreachable(f"{setting} cannot be used: {error}") from error
    return context


def credentials(settings: NacosSettings) -> grpc.ChannelCredentials:
    """Make the credentials of a gRPC channel.

    Raises:
        Unreachable: a file cannot be used.
    """
    trust(settings)  # gRPC itself would not say which file is bad, and why
    authority, certificate, key = (
        path.read_bytes() if path else None
        for path in (settings.tls_ca, settings.tls_cert, settings.tls_key)
    )
    return grpc.ssl_channel_credentials(authority, key, certificate)
