"""The settings of a client: its servers, its credentials, and how its instances appear."""

import re
from collections.abc import Mapping
from ipaddress import IPv6Address
from pathlib import Path
from typing import Annotated, Self

from failover import without_brackets
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from nacos_client.cipher_key import VARIABLE as KEY_FILE, read_key
from nacos_client.errors import BadAddress, BadKey, BadTls
from nacos_client.instance_tls import InstanceTls
from nacos_client.own_address import addresses_of, fixed_address, is_literal

DEFAULT_PORT = 8848
MAX_PORT = 65_535
MAX_LABELS = 32
TAG = "Vipserver-Tag"
"""The label that servers compare with the tag for which a document was published."""
MAX_TAG = 16
"""Characters of a tag; servers refuse every question of a client with a longer one."""
SAID_BY_CLIENT = frozenset({"ClientIp", "ClientVersion"})
"""The names under which a server keeps what a client says of itself, beside the labels."""


def _servers(value: str) -> tuple[tuple[str, int], ...]:
    servers: list[tuple[str, int]] = []
    for part in filter(None, (part.strip() for part in value.split(","))):
        literal, bracket, after = part.rpartition("]")
        host, colon, port = after.partition(":")
        host = without_brackets(literal + bracket + host)
        good = _is_ipv6(host) if bracket else _is_name(host) and "/" not in part
        if not good or (colon and not (port.isdecimal() and 0 < int(port) <= MAX_PORT)):
            raise ValueError(f"{part!r} is not host:port, nor [IPv6 address]:port")
        servers.append((host, int(port) if colon else DEFAULT_PORT))
    if not servers:
        raise ValueError("names no server")
    return tuple(servers)


def _is_ipv6(host: str) -> bool:
    """Return whether the host is an IPv6 literal without a zone, which names a link of one host."""
    try:
        return IPv6Address(host).scope_id is None
    except ValueError:
        return False


def _is_name(host: str) -> bool:
    """Return whether a resolver would look the name up: no part of it is empty or too long."""
    try:
        return bool(host.encode("idna"))
    except UnicodeError:
        return False


def _server_addr(value: str) -> str:
    _servers(value)
    return value


def _advertise_ip(value: str) -> str:
    ip = without_brackets(value)
    if "%" in ip:
        raise ValueError("has a zone, which means nothing to callers on other hosts")
    if ip != value and not _is_ipv6(ip):
        raise ValueError("has brackets around what is no IPv6 address")
    try:
        addresses_of(ip)
    except BadAddress as error:
        raise ValueError(str(error)) from error
    return ip  # a literal, or the name of a network interface


def _context_path(value: str) -> str:
    path = value.strip("/")
    if not re.fullmatch(r"[\w.~/-]*", path, flags=re.ASCII):
        raise ValueError("is no path of letters, digits and - . _ ~ /")
    return f"/{path}" if path else ""


def _labels(value: str) -> dict[str, str]:
    """Read `app=iris,zone=a`; Java's client passes over in silence what is refused here."""
    word = re.compile(r"[A-Za-z0-9_.-]{1,128}")
    labels: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in value.split(","))):
        key, _, text = (each.strip() for each in part.partition("="))
        if not (word.fullmatch(key) and word.fullmatch(text)):
            raise ValueError(f"{part!r} is not key=value, each of letters, digits, _ - and .")
        if key in labels:
            raise ValueError(f"{key} has two values")
        if key in SAID_BY_CLIENT:
            raise ValueError(f"{key} is no label: the client itself says it")
        labels[key] = text
    if not 0 < len(labels) <= MAX_LABELS:
        raise ValueError(f"names {len(labels)} labels, not 1 to {MAX_LABELS}")
    if len(labels.get(TAG, "")) > MAX_TAG:
        raise ValueError(f"{TAG} has more than {MAX_TAG} characters, which Nacos refuses")
    return labels


def _label_list(value: str) -> str:
    _labels(value)
    return value


def _grpc_port(value: str) -> str:
    number = value.removeprefix("+")
    if not (number.isdecimal() and number.isascii() and 0 < int(number) <= MAX_PORT):
        raise ValueError("is neither a port nor + and what to add to each server's port")
    return value


def _security_token(token: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[!-~]{1,16384}", token.get_secret_value()):
        raise ValueError("is empty, too long, or has a character that no header can hold")
    return token


AccessKeyId = Annotated[str, Field(pattern=r"^[!-~]+$", max_length=256)]
SecretKey = Annotated[SecretStr, Field(min_length=1, max_length=1024)]
SecurityToken = Annotated[SecretStr, AfterValidator(_security_token)]
Region = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$", max_length=64)]

# Nacos' ParamCheckRule (since 2.3; com.alibaba.nacos.common.paramcheck) has these characters and
# lengths. NamingUtils.checkInstanceIsLegal, by which every version refuses the registration of an
# instance, forbids `_` in clusters too.
Namespace = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$", max_length=64)]
Group = Annotated[str, Field(pattern=r"^[A-Za-z0-9_:.-]+$", max_length=128)]
Cluster = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$", max_length=64)]


class NacosSettings(BaseModel):
    """Settings of the environment; each field's alias is the name of its variable."""

    # An error of the whole names no values: they are those of the environment, secrets too.
    model_config = ConfigDict(
        frozen=True,
        defer_build=True,
        hide_input_in_errors=True,
        validate_by_name=True,
        validate_by_alias=True,
    )

    server_addr: Annotated[str, AfterValidator(_server_addr)] = Field(
        default="127.0.0.1:8848", validation_alias="NACOS_SERVER_ADDR"
    )
    """`host:port` or `[IPv6 address]:port` of each server of Nacos, with commas between."""
    context_path: Annotated[str, AfterValidator(_context_path)] = Field(
        default="/nacos", validation_alias="NACOS_CONTEXT_PATH"
    )
    """Path before every path of the HTTP API of Nacos; `/` for nothing."""
    grpc: Annotated[str, AfterValidator(_grpc_port)] = Field(
        default="+1000", validation_alias="NACOS_GRPC_PORT"
    )
    """gRPC port of every server, or, as `+1000`, the amount to add to each server's port."""
    namespace: Namespace = Field(default="public", validation_alias="NACOS_NAMESPACE")
    """Id (not name) of the namespace."""
    group: Group = Field(default="DEFAULT_GROUP", validation_alias="NACOS_GROUP")
    """Group of the services and documents for which no group is named."""
    cluster: Cluster = Field(default="DEFAULT", validation_alias="NACOS_CLUSTER")
    """Cluster in Nacos of this instance, which its own calls prefer, such as its zone."""
    labels: Annotated[str, AfterValidator(_label_list)] | None = Field(
        default=None, validation_alias="NACOS_LABELS"
    )
    """Labels of this client's connections, such as `app=iris,zone=a`, by which a server may choose
    who gets a document that is tried out."""
    username: str | None = Field(default=None, validation_alias="NACOS_USERNAME")
    """User of Nacos' own authentication, with `NACOS_PASSWORD`."""
    password: SecretStr | None = Field(default=None, validation_alias="NACOS_PASSWORD")
    """Password of that user."""
    access_key: AccessKeyId | None = Field(default=None, validation_alias="NACOS_ACCESS_KEY")
    """Key of the access-key authentication of hosted Nacos, with `NACOS_SECRET_KEY`."""
    secret_key: SecretKey | None = Field(default=None, validation_alias="NACOS_SECRET_KEY")
    """Secret of that key."""
    security_token: SecurityToken | None = Field(
        default=None, validation_alias="NACOS_SECURITY_TOKEN"
    )
    """Token of an access key that is temporary (STS)."""
    credentials_file: Path | None = Field(default=None, validation_alias="NACOS_CREDENTIALS_FILE")
    """JSON file with key, secret and token in place of these variables, which is renewed."""
    signature_region: Region | None = Field(default=None, validation_alias="NACOS_SIGNATURE_REGION")
    """Id of the region for which requests are signed (v4); without it they are for none."""
    tls: bool = Field(default=False, validation_alias="NACOS_TLS")
    """Speak TLS to Nacos, over HTTP and gRPC."""
    tls_ca: Path | None = Field(default=None, validation_alias="NACOS_TLS_CA")
    """PEM authorities of Nacos' certificate; without them the system's count."""
    tls_cert: Path | None = Field(default=None, validation_alias="NACOS_TLS_CERT")
    """PEM certificate for servers that ask the client for one, with `NACOS_TLS_KEY`."""
    tls_key: Path | None = Field(default=None, validation_alias="NACOS_TLS_KEY")
    """PEM key of that certificate."""
    tls_server_name: str | None = Field(default=None, validation_alias="NACOS_TLS_SERVER_NAME")
    """Name to expect in the server's certificate; without it the host's is expected."""
    cipher_key_file: Path | None = Field(default=None, validation_alias=KEY_FILE)
    """File with the key of documents whose data ids begin with `cipher-aes-`: 32, 48 or 64
    hexadecimal digits. It is read anew for each document."""
    advertise_ip: Annotated[str, AfterValidator(_advertise_ip)] | None = Field(
        default=None, validation_alias="ADVERTISE_IP"
    )
    """IPv4 or IPv6 address, or name of a network interface, under which an instance is announced.
    Without it: `HOST`, if that is one address, else the address this host uses to reach Nacos,
    IPv4 where there are both."""
    host: str | None = Field(default=None, validation_alias="HOST")
    """Address at which the instance listens, such as `0.0.0.0` for all of IPv4 or `::` for all."""
    service_weight: float = Field(
        default=1.0, ge=0, le=10_000, allow_inf_nan=False, validation_alias="SERVICE_WEIGHT"
    )
    """Share of traffic relative to the other instances; 1.0 is normal."""
    canary: bool | None = Field(default=None, validation_alias="NACOS_CANARY")
    """Whether the instance starts as a canary; true or false, it follows the document that promotes
    canaries. Without it the instance is no canary and follows nothing."""
    cache_dir: Path | None = Field(default=None, validation_alias="NACOS_CACHE_DIR")
    """Directory of the last-known-good lists and documents, for a start without Nacos. Without it:
    a private directory below the system's temporary one."""

    @property
    def servers(self) -> tuple[tuple[str, int], ...]:
        """Host (without brackets) and HTTP port of each server, in the order they were named."""
        return _servers(self.server_addr)

    @property
    def label_values(self) -> Mapping[str, str]:
        """The value of each label by its key."""
        return _labels(self.labels) if self.labels else {}

    def grpc_port(self, port: int) -> int:
        """Return the gRPC port of the server with this HTTP port."""
        number = int(self.grpc)
        return port + number if self.grpc.startswith("+") else number

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """Read the settings from a process environment; empty variables count as unset."""
        return cls.model_validate({name: value for name, value in environ.items() if value})

    @model_validator(mode="after")
    def _pairs(self) -> Self:
        pairs = {
            "NACOS_USERNAME and NACOS_PASSWORD": (self.username, self.password),
            "NACOS_ACCESS_KEY and NACOS_SECRET_KEY": (self.access_key, self.secret_key),
            "NACOS_TLS_CERT and NACOS_TLS_KEY": (self.tls_cert, self.tls_key),
        }
        for names, (one, other) in pairs.items():
            if (one is None) != (other is None):
                raise ValueError(f"{names} belong together: one is set, the other is not")
        hosts = [host for host, _ in self.servers]
        if not self.grpc.startswith("+") and len(set(hosts)) < len(hosts):
            raise ValueError(
                f"NACOS_GRPC_PORT={self.grpc} would be the port of two servers on one host: write "
                "+ and what to add to each server's port"
            )
        if any(self.grpc_port(port) > MAX_PORT for _, port in self.servers):
            raise ValueError(f"NACOS_GRPC_PORT={self.grpc} leads to a port above {MAX_PORT}")
        return self

    @model_validator(mode="after")
    def _one_access_key(self) -> Self:
        key, file = self.access_key, self.credentials_file
        if key is not None and file is not None:
            raise ValueError("NACOS_CREDENTIALS_FILE and NACOS_ACCESS_KEY: leave one of them out")
        if self.security_token is not None and key is None:
            raise ValueError("NACOS_SECURITY_TOKEN belongs to an access key: set NACOS_ACCESS_KEY")
        if self.signature_region is not None and key is None and file is None:
            raise ValueError(
                "NACOS_SIGNATURE_REGION is for access keys: set NACOS_ACCESS_KEY or "
                "NACOS_CREDENTIALS_FILE"
            )
        return self

    @model_validator(mode="after")
    def _usable_files(self) -> Self:
        if self.tls_ca is not None or self.tls_cert is not None:
            try:
                InstanceTls(self.tls_ca, self.tls_cert, self.tls_key).context()
            except BadTls as error:
                raise ValueError(f"NACOS_TLS_*: {error}") from error
        if self.cipher_key_file is not None:
            try:
                read_key(self.cipher_key_file)
            except BadKey as error:
                raise ValueError(str(error)) from error
        return self

    @model_validator(mode="after")
    def _announced_where_it_listens(self) -> Self:
        # A name is resolved here only if it may contradict: a resolver may take its time.
        if self.advertise_ip is not None or (self.host is not None and is_literal(self.host)):
            try:
                fixed_address(self.advertise_ip, self.host)
            except BadAddress as error:
                raise ValueError(str(error)) from error
        return self
