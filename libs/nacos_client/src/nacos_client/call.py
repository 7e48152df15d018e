"""`nacos-call`: an HTTP request to a service by its Nacos name, from the command line."""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

import httpx
from failover import RetryPolicy
from pydantic import ValidationError

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

Where Nacos is and who you are comes from the environment: NACOS_SERVER_ADDR (127.0.0.1:8848),
NACOS_NAMESPACE (public), NACOS_GROUP, NACOS_USERNAME, NACOS_PASSWORD.

Instances that listen for TLS are trusted by CALL_TLS_CA (a PEM file; default: the system's
authorities) and by the name in their certificates, CALL_TLS_NAME (such as {service}.internal;
default: their IP address). CALL_TLS_CERT and CALL_TLS_KEY are shown to instances that ask.

exit status: 0 answered with a status below 400, 1 answered with one above, 2 wrong use,
3 no answer.
"""


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    arguments = argparse.ArgumentParser(
        prog="nacos-call",
        description="Call a service by its Nacos name; the answer's body goes to standard output.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    arguments.add_argument(
        "target", help="service/path or GROUP@@service/path; without /path for --list"
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
    arguments.add_argument("--list", action="store_true", help="list the service's instances")
    return arguments


def run(
    options: argparse.Namespace,
    environ: Mapping[str, str],
    out: TextIO,
    err: TextIO,
    *,
    connect: Connect | None = None,
) -> int:
    """Call or list, as the options say; returns the exit status."""
    service, _, path = options.target.removeprefix("http://").partition("/")
    try:
        nacos = Nacos(NacosSettings.from_env(environ), connect=connect)
        transport = NacosTransport(nacos, policy=_policy(options), tls=_tls(environ))
        request = _request(options, service, path)
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
        if options.list:
            return _list(nacos, service, out)
        return _call(transport, request, options, out, err)
    except (httpx.TransportError, NacosError) as error:
        print(f"nacos-call: {service}: {error}", file=err)
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


def _list(nacos: Nacos, service: str, out: TextIO) -> int:
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
    ca, cert, key, name = (environ.get(f"CALL_TLS_{x}") for x in ("CA", "CERT", "KEY", "NAME"))
    if not (ca or cert or key or name):
        return None
    ca_file, cert_file, key_file = (Path(file) if file else None for file in (ca, cert, key))
    return InstanceTls(ca_file, cert_file, key_file, name or None)


def _call(
    transport: NacosTransport,
    request: httpx.Request,
    options: argparse.Namespace,
    out: TextIO,
    err: TextIO,
) -> int:
    with httpx.Client(transport=transport) as client:
        answer = client.send(request)
        out.write(answer.text if answer.text.endswith("\n") else answer.text + "\n")
        if options.verbose or answer.is_error:
            who = answer.extensions["nacos_instance"].decode()
            attempts = answer.extensions["nacos_attempts"]
            print(f"nacos-call: {answer.status_code} from {who}, attempt {attempts}", file=err)
    return FAILED if answer.is_error else 0
