"""`gateway-routes`: makes a routes document of another gateway's configuration."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from gateway.routing.spring.source import MAX_BYTES, SpringFileError, read
from gateway.routing.spring.translation import Translation, readable, translate

KINDS = {".yml": "yaml", ".yaml": "yaml", ".properties": "properties"}
ALL, SOME, NONE = 0, 1, 2
"""Exit statuses: everything is in the document, something is not, there is no document."""
HELP = """\
Reads the routes of Spring Cloud Gateway (WebFlux or MVC) and writes them as a routes document.
Standard error names what the document does not have, each with the route, Spring's text and what
to write instead. A route that would do more than Spring's without the missing piece is closed:
nobody has the key that it asks for.

  gateway-routes import application.yml -o gateway.yaml
  gateway-routes import application.yml --profile production

exit status: 0 everything is in the document, 1 something is left out, 2 no document is written
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    form = argparse.RawDescriptionHelpFormatter
    command = argparse.ArgumentParser("gateway-routes", description=HELP, formatter_class=form)
    actions = command.add_subparsers(dest="action", required=True, metavar="import")
    action = actions.add_parser(
        "import", help="translate a file", description=HELP, formatter_class=form
    )
    action.add_argument("file", type=Path, help="application.yml or application.properties")
    action.add_argument("-o", "--output", type=Path, help="file to write; default: standard output")
    action.add_argument(
        "--profile", action="append", default=[], help="Spring profile that is active; repeatable"
    )
    return command


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return run(parser().parse_args(argv), sys.stdout, sys.stderr)


def run(options: argparse.Namespace, out: TextIO, err: TextIO) -> int:
    """Translate the file and write the document, and on `err` what it does not have."""
    source: Path = options.file
    try:
        translation = translate(read(_content(source), _kind(source), options.profile))
        document = f"# Made by gateway-routes from {readable(source.name)}\n{translation.render()}"
        if options.output is None:
            out.write(document)
        else:
            options.output.write_text(document, encoding="utf-8")
    except SpringFileError as error:
        err.write(f"gateway-routes: {source} cannot be translated: {error}\n")
        return NONE
    except OSError as error:
        err.write(f"gateway-routes: {error.filename}: {error.strerror}\n")
        return NONE
    report(translation, err)
    return SOME if any(one.left_out for one in translation.findings) else ALL


def report(translation: Translation, err: TextIO) -> None:
    """Write what the document does not have, then what differs."""
    for left_out, title in ((True, "left out"), (False, "note")):
        for one in translation.findings:
            if one.left_out is left_out:
                err.write(f"{title}: {readable(str(one))}\n")
    if not translation.routes:
        err.write("note: the file has no routes under spring.cloud.gateway\n")


def _kind(source: Path) -> str:
    kind = KINDS.get(source.suffix.lower())
    if kind is None:
        raise SpringFileError(f"its name ends in none of {', '.join(KINDS)}")
    return kind


def _content(source: Path) -> bytes:
    with source.open("rb") as file:
        return file.read(MAX_BYTES + 1)
