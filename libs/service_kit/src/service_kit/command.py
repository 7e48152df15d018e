"""The command line of a service: `python -m NAME` serves, with `--help` or `--check` it does not.

A service is configured by its environment alone. So the help lists the variables, and an unknown
argument ends the process instead of announcing an instance that nobody wanted.
"""

import argparse
import asyncio
import logging
import sys
import textwrap
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from service_kit.exit_codes import ExitCode
from service_kit.logs import configure_logs
from service_kit.runner import run
from service_kit.settings import ProcessSettings, read_env, unread
from service_kit.variables import Variable, variables

S = TypeVar("S", bound=ProcessSettings)
R = TypeVar("R", bound=BaseModel)

WIDTH = 88
"""Characters of a line of the help."""

_log = logging.getLogger(__name__)


def start(
    main: Callable[[S, R], Coroutine[None, None, None]],
    settings: type[S],
    registry: type[R],
    *,
    check: Callable[[str, R], Coroutine[None, None, tuple[bool, str]]],
    warn: bool = True,
) -> None:
    """Serve, or do what the command line says instead.

    Args:
        main: serves until the process is told to stop.
        settings: the service's own.
        registry: the settings of the registry in which the service is announced.
        check: asks the registry for the service of this name; returns whether that works, and a
            line about it.
        warn: log each variable that nobody reads; a worker leaves that to its supervisor.

    Raises:
        SystemExit: code 0 after `--help`, and after `--check` where all is well; code 2 if an
            argument or a variable is bad; code 5 if the registry does not pass the check.
    """
    arguments = _parser(variables(settings, registry)).parse_args()
    own, found = read_env(settings, registry)
    ignored = unread(settings, registry) if warn else {}
    if arguments.check:
        logging.basicConfig(handlers=[logging.NullHandler()])  # what happens is in the one line
        works, line = asyncio.run(check(own.service_name, found))
        hints = {name: f"; did you mean {near}?" if near else "" for name, near in ignored.items()}
        warnings = [f"{name} is not read by this process{hint}" for name, hint in hints.items()]
        print(line, *warnings, sep="\n", file=sys.stdout if works else sys.stderr)
        raise SystemExit(0 if works else ExitCode.NO_REGISTRY)
    configure_logs(own)
    for name, near in ignored.items():
        _log.warning("unknown_variable", extra={"variable": name, "nearest": near})
    run(main(own, found))


def _parser(known: Iterable[Variable]) -> argparse.ArgumentParser:
    file = Path(sys.argv[0])
    parser = argparse.ArgumentParser(
        prog=f"python -m {file.parent.name}" if file.name == "__main__.py" else file.name,
        description="Serve, and be in Nacos while serving, as the environment says.",
        epilog="environment:\n" + "\n".join(map(_paragraph, known)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="do not serve: read the environment, log in to Nacos, and say whether both are right",
    )
    return parser


def _paragraph(one: Variable) -> str:
    default = one.default if one.default in {"not set", "must be set"} else f"default {one.default}"
    meaning = textwrap.fill(one.meaning, WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return f"  {one.name}  ({one.kind}; {default})\n{meaning}"
