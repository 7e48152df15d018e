"""`nacos-canary`: promotes the canaries of a service, and takes the promotion back."""

import argparse
import asyncio
from collections.abc import Collection, Iterable, Mapping
from functools import partial
from typing import TextIO

from failover import Instance

from nacos_client.canary import CanaryDocument, data_id, has, serves
from nacos_client.client import Nacos
from nacos_client.command import DONE, run_command
from nacos_client.documents import validated
from nacos_client.ports import Connect
from nacos_client.snapshot import Known, Snapshot

PATIENCE_SECONDS = 20.0
"""Seconds for the instances to follow; one that Nacos does not push to asks within ten."""

EPILOG = """\
examples:
  nacos-canary promote car-evaluation model_version=1.2.0
  nacos-canary take-back car-evaluation
  nacos-canary show car-evaluation

Where Nacos is and who you are comes from the environment, as for nacos-call. Instances follow that
were started with NACOS_CANARY=true or =false.

exit status: 0 every instance follows, 1 not done, with the reason, 2 wrong use.
"""


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    form = argparse.RawDescriptionHelpFormatter
    command = argparse.ArgumentParser(
        "nacos-canary",
        description="Promote the canaries of a service, or take the promotion back.",
        epilog=EPILOG,
        formatter_class=form,
    )
    actions = command.add_subparsers(dest="action", required=True)
    promote = actions.add_parser("promote", help="let instances with these metadata serve alone")
    promote.add_argument("service")
    promote.add_argument("labels", nargs="+", metavar="KEY=VALUE", type=_label)
    for name, told in (
        ("take-back", "let those serve again that did before the promotion"),
        ("show", "list the instances, and which are canaries"),
    ):
        actions.add_parser(name, help=told).add_argument("service")
    return command


def _label(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not (name and sign):
        raise argparse.ArgumentTypeError(f"{text} is not KEY=VALUE")
    return name, value


def run(
    options: argparse.Namespace,
    environ: Mapping[str, str],
    out: TextIO,
    err: TextIO,
    *,
    connect: Connect | None = None,
) -> int:
    """Do as the options say; returns the exit status."""
    work = partial(_act, options=options, out=out)
    return run_command("nacos-canary", work, environ, err, connect=connect)


async def _act(nacos: Nacos, options: argparse.Namespace, out: TextIO) -> int:
    async with nacos:
        service = options.service
        if options.action == "promote":
            await _promote(nacos, service, dict(options.labels))
        elif options.action == "take-back":
            await _take_back(nacos, service)
        known = await nacos.discover(service).known(PATIENCE_SECONDS)
        for one in sorted(known.instances, key=lambda each: each.address):
            version = one.metadata.get("model_version", "")
            role = "canary" if one.canary else "serves"
            out.write(f"{one.address} {role} {version}".rstrip() + "\n")
    return DONE


async def _promote(nacos: Nacos, service: str, labels: Mapping[str, str]) -> None:
    """Let the instances with these labels serve alone.

    Raises:
        ValueError: no healthy instance has the labels, or the instances do not follow.
        NacosError: Nacos cannot be asked, or refuses.
    """
    now, md5 = await _read(nacos, service)
    if now.serving == labels:
        await _let_serve(nacos, service, now, md5)
        return
    known = await nacos.discover(service).known(PATIENCE_SECONDS)
    before = now.serving or alike(filter(serves, known.instances), labels)
    await _let_serve(nacos, service, CanaryDocument(serving=dict(labels), before=before), md5)


async def _take_back(nacos: Nacos, service: str) -> None:
    """Let those serve again that did before the last promotion.

    Raises:
        ValueError: there is no promotion, or no healthy instance of those, or some do not follow.
        NacosError: Nacos cannot be asked, or refuses.
    """
    now, md5 = await _read(nacos, service)
    if not now.before:
        raise ValueError(
            f"{data_id(service)} knows no promotion to take back: promote what is to serve"
        )
    await _let_serve(nacos, service, CanaryDocument(serving=now.before), md5)


def alike(instances: Iterable[Instance], labels: Collection[str]) -> dict[str, str]:
    """Return the values of these labels that all the instances have; {} if they differ in one."""
    found = {tuple(one.metadata.get(name, "") for name in labels) for one in instances}
    return dict(zip(labels, found.pop(), strict=True)) if len(found) == 1 else {}


async def _let_serve(nacos: Nacos, service: str, document: CanaryDocument, md5: str | None) -> None:
    """Publish the document over the one that was read, and wait until the instances follow.

    Of two operators at the same time one is refused.
    """
    known = await nacos.discover(service).known(PATIENCE_SECONDS)
    able = [one for one in known.instances if one.enabled and one.healthy]
    if not any(has(one.metadata, document.serving) for one in able):
        spelled = ", ".join(f"{name}={value}" for name, value in document.serving.items())
        raise ValueError(f"no healthy instance of {service} has {spelled}: nothing was changed")
    content = document.model_dump_json(exclude_defaults=True)  # JSON is YAML
    await nacos.publish(data_id(service), content + "\n", cas_md5=md5)
    await _followed(nacos, service, document.serving)


async def _read(nacos: Nacos, service: str) -> tuple[CanaryDocument, str | None]:
    document = await nacos.fetch(data_id(service))
    if document is None:
        return CanaryDocument(), None
    return validated(CanaryDocument, [(data_id(service), document)]), document.md5


async def _followed(nacos: Nacos, service: str, serving: Mapping[str, str]) -> None:
    """Wait until the instances with these labels serve, and all others are canaries.

    Raises:
        ValueError: it did not come about in time; the message names the instances.
    """
    seen = asyncio.Event()
    wrong: list[str] = []

    def look(snapshot: Snapshot) -> None:
        if isinstance(snapshot, Known):
            wrong[:] = [
                one.address
                for one in snapshot.instances
                if not (serves(one) if has(one.metadata, serving) else one.canary)
            ]
            if not wrong:
                seen.set()

    stop = nacos.discover(service).subscribe(look)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await seen.wait()
    except TimeoutError as error:
        raise ValueError(
            f"{data_id(service)} is published, but not followed within {PATIENCE_SECONDS:g} s by "
            f"{', '.join(wrong)}: start instances with NACOS_CANARY=true or =false"
        ) from error
    finally:
        stop()
