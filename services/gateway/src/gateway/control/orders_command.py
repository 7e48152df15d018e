"""`gateway-orders`: an operator's orders to every gateway, and what each of them does."""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Collection, Coroutine, Mapping, Sequence
from typing import Any, TextIO

from nacos_client import Nacos
from nacos_client.command import DONE, run_command
from nacos_client.ports import Connect

from gateway.control.order_desk import Instruction
from gateway.control.orders import Change, Order, OrderBook, OrdersDocument, listed, order_of
from gateway.control.overview import GatewayView, ask_all
from gateway.upstream.namespaces import Namespaces

UNCONFIRMED = 3
"""The exit status of an order that is written, and not yet followed by every gateway."""
KNOWN_SECONDS = 5.0
"""Seconds for Nacos to list the instances of a service."""
PATIENCE_SECONDS = 15.0
"""Seconds for the gateways to follow; one that Nacos does not push to asks within ten."""
LOOK_SECONDS = 0.25
"""Seconds between two looks at the gateways."""

EPILOG = """\
examples:
  gateway-orders show
  gateway-orders drain car-evaluation 10.0.0.5:8001 --reason "disk is full"
  gateway-orders undrain car-evaluation 10.0.0.5:8001
  gateway-orders uneject car-evaluation 10.0.0.5:8001

Where Nacos is and who you are comes from the environment, as for nacos-call. An order is written
into the document GATEWAY.orders, so it needs a user who may write that; gateways that start later
follow it too. A drained instance stays drained, also when it comes again at its address, until it
is undrained. What a gateway does is asked at its admin port, which wants no token for that.

exit status: 0 every gateway follows, 1 not done, with the reason, 2 wrong use, 3 written, but not
every gateway has said that it follows: the output names them.
"""


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    form = argparse.RawDescriptionHelpFormatter
    command = argparse.ArgumentParser(
        "gateway-orders",
        description="Give orders about instances to every gateway, and show what each does.",
        epilog=EPILOG,
        formatter_class=form,
    )
    command.add_argument(
        "--gateway", default="gateway", help="the gateways' name in Nacos; default: gateway"
    )
    actions = command.add_subparsers(dest="action", required=True)
    actions.add_parser("show", help="list the gateways, what each does, and the orders in force")
    for name, told in (
        ("drain", "send nothing new to an instance"),
        ("undrain", "let a drained instance serve again"),
        ("uneject", "end the ejection of an instance wherever it is ejected"),
    ):
        action = actions.add_parser(name, help=told)
        action.add_argument("service", help="its name, GROUP@@NAME or NAMESPACE/NAME")
        action.add_argument("instance", help="its address in Nacos, as IP:PORT")
        if name != "undrain":
            action.add_argument("--by", help="who gives the order; default: the user of Nacos")
            action.add_argument("--reason", default="", help="why, for others to read")
    return command


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return run(parser().parse_args(argv), os.environ, sys.stdout, sys.stderr)


def run(
    options: argparse.Namespace,
    environ: Mapping[str, str],
    out: TextIO,
    err: TextIO,
    *,
    connect: Connect | None = None,
) -> int:
    """Do as the options say; returns the exit status."""

    def work(nacos: Nacos) -> Coroutine[Any, Any, int]:
        change = _change(options, environ.get("NACOS_USERNAME") or environ.get("USER", ""))
        return _act(nacos, options, change, out)

    return run_command("gateway-orders", work, environ, err, connect=connect)


def _change(options: argparse.Namespace, user: str) -> Change | None:
    """Return the change of the document that is asked for; None for `show`."""
    if options.action == "show":
        return None
    do = "restore" if options.action == "uneject" else options.action
    order = Order() if do == "undrain" else order_of(options.by or user, options.reason)
    return Instruction(do, options.service, options.instance).change(order)


async def _act(
    nacos: Nacos, options: argparse.Namespace, change: Change | None, out: TextIO
) -> int:
    async with nacos:
        book = OrderBook(nacos, options.gateway)
        orders, md5 = await book.read()
        if change is not None:
            await _check(nacos, orders, options)
            md5 = await book.write(change)
            orders = change(orders)
        views = await _followed(nacos, options.gateway, md5, patient=change is not None)
        out.writelines(f"{plain(line)}\n" for line in (*told(views, md5), *told_orders(orders)))
        if change is None or all(view.follows(md5) for view in views):
            return DONE
        return UNCONFIRMED


async def _check(nacos: Nacos, orders: OrdersDocument, options: argparse.Namespace) -> None:
    """Refuse an order about what is not there.

    Raises:
        ValueError: there is no such instance, or it is not drained.
        NacosError: Nacos does not answer.
    """
    service, instance = options.service, options.instance
    if options.action == "undrain":
        if (service, instance) not in listed(orders.drained):
            raise ValueError(f"{instance} of {service} is not drained: nothing was changed")
        return
    namespaces = Namespaces(nacos)
    try:
        known = await namespaces.discover(service).known(KNOWN_SECONDS)
    finally:
        await namespaces.close()
    there = sorted(one.address for one in known.instances)
    if instance not in there:
        found = f"it has {', '.join(there)}" if there else "it has none"
        raise ValueError(
            f"{service} has no instance {instance} in Nacos, {found}: nothing was changed"
        )


async def _followed(nacos: Nacos, gateway: str, md5: str, *, patient: bool) -> list[GatewayView]:
    """Ask the gateways, if patient until all of them follow or the time is over."""
    discovery = nacos.discover(gateway)
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        known = await discovery.known(KNOWN_SECONDS)
        views = await ask_all(known.instances)
        if not patient or all(view.follows(md5) for view in views) or time.monotonic() > end:
            return views
        await asyncio.sleep(LOOK_SECONDS)


def plain(line: str) -> str:
    """Spell what does not print: versions and reasons of strangers must not steer a terminal."""
    return "".join(one if one.isprintable() else f"\\u{ord(one):04x}" for one in line)


def told(views: Collection[GatewayView], md5: str) -> list[str]:
    """Say of each gateway what it does."""
    lines = [] if views else ["no gateway is in Nacos"]
    for view in views:
        if view.trouble:
            lines.append(f"{view.address}  {view.trouble}")
            continue
        ready = "ready" if view.ready else "not ready"
        follows = "follows the orders" if view.follows(md5) else "does not follow the orders yet"
        lines.append(
            f"{view.address}  {ready}, {view.version} {view.form}, one of {view.divided_by} for "
            f"limits, {follows}"
        )
        for service, instance in sorted(view.ejected | view.drained):
            place = service, instance
            states = [
                name
                for name, those in (("drained", view.drained), ("ejected", view.ejected))
                if place in those
            ]
            lines.append(f"  {service} {instance}  {', '.join(states)}")
    return lines


def told_orders(orders: OrdersDocument) -> list[str]:
    """Say which instances are drained, by whom, when and why."""
    return [
        f"drained {service} {instance}  by {order.by or 'nobody named'}, {order.at}"
        + (f": {order.reason}" if order.reason else "")
        for (service, instance), order in sorted(listed(orders.drained).items())
    ]
