"""TLS from a caller to the instances of services, as far as the caller decides it."""

import re
import ssl
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from nacos_client.errors import BadTls

SERVICE = "{service}"
"""Stands in `InstanceTls.name` for the name of the service that is called."""
_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_MAX_HOST = 253


@dataclass(frozen=True, slots=True)
class InstanceTls:
    """The trust of a caller in instances, and the caller's own certificate.

    An instance is called by TLS if its metadata say `secure: "true"`, as Spring writes them.

    Attributes:
        ca: PEM file of the authorities that replace the system's.
        cert: PEM file of the certificate that the caller shows where an instance asks for it.
        key: PEM file of that certificate's key.
        name: name to expect in every instance's certificate, in which `{service}` stands for the
            service's name; default: the instance's IP address.

    Raises:
        BadTls: only one of `cert` and `key` is given, or `name` is no host name.
    """

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        if (self.cert is None) != (self.key is None):
            raise BadTls("certificate and key belong together: one is given, the other is not")
        if self.name is not None and not _is_host(self.name.replace(SERVICE, "a")):
            raise BadTls(f"{self.name!r} is no host name; {SERVICE} may stand in it for the name")

    def context(self) -> ssl.SSLContext:
        """Read the files; returns the client's side of TLS 1.2 or later, for HTTP/1.1.

        Raises:
            BadTls: a file cannot be read or is not PEM; the message names the file.
        """
        files = f"authority {self.ca}"
        try:
            context = ssl.create_default_context(cafile=self.ca)
            files = f"certificate {self.cert} with key {self.key}"
            if self.cert is not None:
                # An empty password: a key that has one is an error, not a question to a terminal.
                context.load_cert_chain(self.cert, self.key, password="")
        except OSError as error:  # an ssl.SSLError is an OSError
            raise BadTls(f"{files} cannot be used: {error}") from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        return context

    def server_name(self, service: str, ip: str) -> str:
        """Return the name that the certificate of a service's instance at `ip` must hold."""
        return ip if self.name is None else self.name.replace(SERVICE, service)


def _is_host(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return len(name) <= _MAX_HOST and _HOST.fullmatch(name) is not None
    return True
