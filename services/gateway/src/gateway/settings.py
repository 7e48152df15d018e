"""The environment of the gateway, read once at its start; the routes document may change later."""

import ssl
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Self

from nacos_client import InstanceTls, NacosError
from pydantic import BeforeValidator, Field, SecretStr, model_validator
from service_kit import Port, ProcessSettings, ServiceName

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def reached(host: str) -> str:
    """Return the address by which a host reaches its own port that listens at this one."""
    everywhere = {"0.0.0.0": "127.0.0.1", "localhost": "127.0.0.1", "::": "::1"}  # noqa: S104
    return everywhere.get(host, host)


def _networks(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(ip_network(part.strip()) for part in value.split(",") if part.strip())


class GatewaySettings(ProcessSettings):
    """Environment of the gateway; times in seconds."""

    service_name: ServiceName = "gateway"
    """Name of the gateway in Nacos, in `Via` and in `Proxy-Status`; unique in a chain of
    gateways."""
    port: Port = 8000
    """TCP port for callers: the data port, which is announced."""
    admin_host: Annotated[str, Field(validation_alias="GATEWAY_ADMIN_HOST")] = "127.0.0.1"
    """Address of the admin port; loopback unless said otherwise."""
    admin_port: Annotated[int, Field(validation_alias="GATEWAY_ADMIN_PORT", ge=1, le=65535)] = 8010
    """TCP port for operators: health, metrics, services, routes."""
    admin_token: Annotated[
        SecretStr | None, Field(validation_alias="GATEWAY_ADMIN_TOKEN", min_length=16)
    ] = None
    """Bearer token that the admin port's `/api` asks for; required beyond loopback."""
    docs: Annotated[bool, Field(validation_alias="GATEWAY_DOCS")] = False
    """Show the APIs of all services at `/docs` of the data port too, to everybody who reaches it,
    without a token."""
    workers: Annotated[int, Field(validation_alias="GATEWAY_WORKERS", ge=1, le=64)] = 1
    """Processes on the data port, one for each core that it may use."""
    access_log: Annotated[bool, Field(validation_alias="GATEWAY_ACCESS_LOG")] = True
    """Log one JSON line for each request."""
    debug: Annotated[bool, Field(validation_alias="GATEWAY_DEBUG")] = False
    """Let responses and problem documents name the instances that the request was sent to."""
    trusted_proxies: Annotated[
        tuple[IPv4Network | IPv6Network, ...],
        BeforeValidator(_networks),
        Field(validation_alias="GATEWAY_TRUSTED_PROXIES"),
    ] = ()
    """Networks such as `10.0.0.0/8` whose `X-Forwarded-*` are believed."""
    tls_cert: Annotated[Path | None, Field(validation_alias="GATEWAY_TLS_CERT")] = None
    """PEM certificate chain, with which the data port speaks HTTPS."""
    tls_key: Annotated[Path | None, Field(validation_alias="GATEWAY_TLS_KEY")] = None
    """PEM key of that certificate, without a password."""
    upstream_tls_ca: Annotated[Path | None, Field(validation_alias="GATEWAY_UPSTREAM_TLS_CA")] = (
        None
    )
    """PEM authorities of the instances whose metadata say `secure=true`; without them the system's
    count."""
    upstream_tls_cert: Annotated[
        Path | None, Field(validation_alias="GATEWAY_UPSTREAM_TLS_CERT")
    ] = None
    """PEM certificate that is shown to instances which ask for one."""
    upstream_tls_key: Annotated[Path | None, Field(validation_alias="GATEWAY_UPSTREAM_TLS_KEY")] = (
        None
    )
    """PEM key of that certificate."""
    upstream_tls_name: Annotated[
        str | None, Field(validation_alias="GATEWAY_UPSTREAM_TLS_NAME")
    ] = None
    """Name to expect in the certificate of an instance, where `{service}` stands for the service's
    name; without it the instance's address is expected."""
    max_connections: Annotated[
        int, Field(validation_alias="GATEWAY_MAX_CONNECTIONS", ge=1, le=1_000_000)
    ] = 10_000
    """Clients at a time, for each worker."""
    max_in_flight: Annotated[
        int, Field(validation_alias="GATEWAY_MAX_IN_FLIGHT", ge=1, le=1_000_000)
    ] = 1024
    """Requests that one instance may have under way, for each worker."""
    aperture: Annotated[int, Field(validation_alias="GATEWAY_APERTURE", ge=0, le=100_000)] = 0
    """Instances of a service, about, to which this gateway connects while these can serve: the
    gateways of one name and cluster share the instances out. With 0 each connects to all."""
    connect_timeout: Annotated[
        float, Field(validation_alias="GATEWAY_CONNECT_TIMEOUT", gt=0, le=60)
    ] = 0.5
    """Seconds to open a connection to an instance; then the request goes to another instance."""
    upstream_idle: Annotated[
        float, Field(validation_alias="GATEWAY_UPSTREAM_IDLE", gt=0, le=600)
    ] = 4.0
    """Seconds after which an idle connection to an instance is not used again; keep this under the
    time after which the services close theirs."""
    header_timeout: Annotated[
        float, Field(validation_alias="GATEWAY_HEADER_TIMEOUT", gt=0, le=600)
    ] = 10.0
    """Seconds until a request's head is complete."""
    body_timeout: Annotated[
        float, Field(validation_alias="GATEWAY_BODY_TIMEOUT", gt=0, le=3600)
    ] = 30.0
    """Seconds without a byte of a request's body, which has to come at 1 KiB/s or more."""
    idle_timeout: Annotated[
        float, Field(validation_alias="GATEWAY_IDLE_TIMEOUT", gt=0, le=3600)
    ] = 75.0
    """Seconds between two requests of a connection."""

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("GATEWAY_TLS_CERT and GATEWAY_TLS_KEY: one is set, the other is not")
        try:
            self.tls_context()
        except OSError as error:  # an ssl.SSLError is an OSError
            files = f"GATEWAY_TLS_CERT={self.tls_cert} with GATEWAY_TLS_KEY={self.tls_key}"
            raise ValueError(f"{files} cannot be used: {error}") from error
        try:
            if self.upstream_tls != InstanceTls():
                self.upstream_tls.context()
        except NacosError as error:
            raise ValueError(f"GATEWAY_UPSTREAM_TLS_*: {error}") from error
        if self.admin_token is None and self.admin_host not in LOOPBACK:
            raise ValueError("GATEWAY_ADMIN_HOST is not loopback, so GATEWAY_ADMIN_TOKEN is needed")
        return self

    def tls_context(self) -> ssl.SSLContext | None:
        """Read the data port's certificate, if it has one; returns its TLS, for HTTP/1.1 only.

        Raises:
            OSError: a file cannot be read, is not PEM, or its key has a password.
        """
        if self.tls_cert is None:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        # An empty password: a key that has one is an error, not a question to a terminal.
        context.load_cert_chain(self.tls_cert, self.tls_key, password="")
        return context

    @property
    def admin_address(self) -> str:
        """Return the address by which this host reaches the admin port."""
        return reached(self.admin_host)

    @property
    def upstream_tls(self) -> InstanceTls:
        """Return the trust in instances that listen for TLS."""
        return InstanceTls(
            self.upstream_tls_ca,
            self.upstream_tls_cert,
            self.upstream_tls_key,
            self.upstream_tls_name,
        )
