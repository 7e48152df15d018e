"""`nacos-call`: a request to a service by its Nacos name, or a document, from the command line."""

import argparse
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TextIO

import httpx
from failover import RetryPolicy
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nacos_client import document_command
from nacos_client.client import Nacos
from nacos_client.documents import explained
from nacos_client.errors import BadTls, NacosError
from nacos_client.instance_tls import InstanceTls
from nacos_client.ports import Connect, ServiceKey
from nacos_client.service_caller import CallPolicy
from nacos_client.settings import NacosSettings
from nacos_client.transport import NacosTransport

FAILED, USAGE, UNANSWERED = 1, 2, 3

EPILOG = """\
examples:
  nacos-call skl-kmeans/api/skl-kmeans -d '{"points": [[1, 2], [8, 9], [9, 9]]}'
  nacos-call car-evaluation/api/v1/health
  nacos-call PAY_GROUP@@pay/api/balance
  nacos-call --list skl-kmeans
  nacos-call --publish skl-kmeans clusters.yaml
  nacos-call --get skl-kmeans
  nacos-call --history skl-kmeans

Where Nacos is and who you are comes from the environment: NACOS_SERVER_ADDR (127.0.0.1:8848),
NACOS_NAMESPACE (public), NACOS_GROUP, NACOS_USERNAME, NACOS_PASSWORD.

CALL_TLS_CA, CALL_TLS_NAME, CALL_TLS_CERT and CALL_TLS_KEY are for instances that listen for TLS.
docs/environment.md of the repository has every variable.

The text of an entry of --history is what was published, or was there before an update or deletion.

exit status: 0 answered with a status below 400, or done; 1 answered with one above, or there is no
such document; 2 wrong use; 3 no answer, or refused by Nacos.
"""


class CallSettings(BaseModel):
    """Trust of `nacos-call` in instances whose metadata say `secure=true`."""

    model_config = ConfigDict(frozen=True)

    ca: Path | None = Field(default=None, validation_alias="CALL_TLS_CA")
    """PEM authorities of the instances' certificates; without them the system's count."""
    cert: Path | None = Field(default=None, validation_alias="CALL_TLS_CERT")
    """PEM certificate that is shown to instances which ask for one."""
    key: Path | None = Field(default=None, validation_alias="CALL_TLS_KEY")
    """PEM key of that certificate."""
    name: str | None = Field(default=None, validation_alias="CALL_TLS_NAME")
    """Name to expect in the certificates, such as `{service}.internal`; without it the instance's
    IP address is expected."""


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    arguments = argparse.ArgumentParser(
        prog="nacos-call",
        description="Call a service by its name in Nacos, or read or write a document there; the "
        "body of the answer goes to standard output.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    arguments.add_argument(
        "target", nargs="?", help="service/path or GROUP@@service/path; without /path for --list"
    )
    arguments.add_argument("-X", "--method", help="default: GET, with -d POST")
    arguments.add_argument(
        "-d", "--data", help="body, taken as JSON; @FILE reads it, @- from input"
    )
    arguments.add_argument(
        "-H", "--header", action="append", default=[], metavar="NAME: VALUE", help="repeatable"
    )
    arguments.add_argument("-t", "--timeout", type=float, default=15.0, help="seconds in all")
    arguments.add_argument("--attempts", type=int, default=3, help="on as many instances")
    arguments.add_argument("-v", "--verbose", action="store_true", help="say who answered")
    document_command.add_options(arguments)
    return arguments


def run(
    options: argparse.Namespace,
    environ: Mapping[str, str],
    out: TextIO,
    err: TextIO,
    *,
    connect: Connect | None = None,
) -> int:
    """Do what the options say; returns the exit status."""
    service, _, path = (options.target or "").removeprefix("http://").partition("/")
    try:
        work = document_command.asked_for(options)
        nacos = Nacos(NacosSettings.from_env(environ), connect=connect)
        transport = NacosTransport(nacos, policy=_policy(options), tls=_tls(environ))
        if work is None:
            request = _request(options, service, path)
            call = partial(_call, transport, request, err, verbose=options.verbose)
            work = partial(_list, service) if options.list else call
    except ValidationError as error:
        print(f"nacos-call: {explained(error, NacosSettings)}", file=err)
        return USAGE
    except BadTls as error:
        print(f"nacos-call: one of CALL_TLS_CA, _CERT, _KEY, _NAME: {error}", file=err)
        return USAGE
    except (ValueError, OSError, httpx.InvalidURL) as error:
        print(f"nacos-call: {error}", file=err)
        return USAGE
    try:
        return work(nacos, out)
    except (httpx.TransportError, NacosError) as error:
        what = f"{service}: " if service else ""
        print(f"nacos-call: {what}{error}", file=err)
        return UNANSWERED
    finally:
        nacos.stop()


def _request(options: argparse.Namespace, service: str, path: str) -> httpx.Request:
    headers: dict[str, str] = {}
    for line in options.header:
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise ValueError(f"-H {line!r} is not NAME: VALUE")
        headers[name.strip()] = value.strip()
    body = _body(options.data)
    if body is not None:
        headers.setdefault("Content-Type", "application/json")
    method = options.method or ("GET" if body is None else "POST")
    host = ServiceKey.read(service, None, "").name
    return httpx.Request(
        method.upper(),
        f"http://{host}/{path}",
        headers=headers,
        content=body,
        extensions={"nacos_service": service},
    )


def _body(data: str | None) -> bytes | None:
    if data is None or not data.startswith("@"):
        return None if data is None else data.encode()
    return sys.stdin.buffer.read() if data == "@-" else Path(data[1:]).read_bytes()


def _list(service: str, nacos: Nacos, out: TextIO) -> int:
    known = nacos.discover(service).wait()
    for instance in known.instances:
        health = "healthy" if instance.healthy else "unhealthy"
        labels = " ".join(f"{name}={value}" for name, value in sorted(instance.metadata.items()))
        line = f"{instance.address} weight={instance.weight:g} {instance.cluster} {health} {labels}"
        print(line.rstrip(), file=out)
    return 0 if known.instances else FAILED


def _policy(options: argparse.Namespace) -> CallPolicy:
    retry = RetryPolicy(max_attempts=max(1, options.attempts))
    return CallPolicy(options.timeout, options.timeout, retry)


def _tls(environ: Mapping[str, str]) -> InstanceTls | None:
    """Read CALL_TLS_CA and the like; None where none of them is set."""
    given = CallSettings.model_validate({name: value for name, value in environ.items() if value})
    tls = InstanceTls(given.ca, given.cert, given.key, given.name)
    return None if tls == InstanceTls() else tls


def _call(
    transport: NacosTransport,
    request: httpx.Request,
    err: TextIO,
    _: Nacos,
    out: TextIO,
    *,
    verbose: bool,
) -> int:
    with httpx.Client(transport=transport) as client:
        answer = client.send(request)
        out.write(answer.text if answer.text.endswith("\n") else answer.text + "\n")
        if verbose or answer.is_error:
            who = answer.extensions["nacos_instance"].decode()
            attempts = answer.extensions["nacos_attempts"]
            print(f"nacos-call: {answer.status_code} from {who}, attempt {attempts}", file=err)
    return FAILED if answer.is_error else 0
