"""`nacos-call --get`, `--publish` and `--history`: the documents in Nacos from the command line."""

import argparse
import asyncio
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TextIO

from nacos_client.client import Nacos
from nacos_client.documents import MAX_CHARACTERS

ABSENT = 1
"""The exit status where Nacos has no such document, or no history of one."""


def add_options(arguments: argparse.ArgumentParser) -> None:
    """Describe the options, of which one at most may be given."""
    one = arguments.add_mutually_exclusive_group()
    one.add_argument("--list", action="store_true", help="list the service's instances")
    one.add_argument("--get", metavar="ID", help="print the document with this data id")
    one.add_argument(
        "--publish", nargs=2, metavar=("ID", "FILE"), help="write a document; - reads it from input"
    )
    one.add_argument(
        "--history",
        nargs="+",
        metavar=("ID", "ENTRY"),
        help="list the changes of a document, or print the text that one entry keeps",
    )


def asked_for(options: argparse.Namespace) -> Callable[[Nacos, TextIO], int] | None:
    """Return the work that the options ask for; None where they are about a service.

    The work takes the client and the place for its output, and returns the exit status; it raises
    NacosError where Nacos does not answer or refuses.

    Raises:
        OSError: the file to publish cannot be read.
        ValueError: the options contradict each other, or the file is no text that may be published.
    """
    work: Callable[[Nacos, TextIO], int] | None = None
    if options.get:
        work = partial(_get, options.get)
    if options.publish:
        data_id, file = options.publish
        work = partial(_publish, data_id, _text(file))
    if options.history:
        data_id, *entries = options.history
        if len(entries) > 1 or not all(entry.isdecimal() for entry in entries):
            raise ValueError(f"--history {' '.join(options.history)} is not ID, nor ID ENTRY")
        work = partial(_entry, data_id, int(*entries)) if entries else partial(_history, data_id)
    if work and options.target:
        raise ValueError(f"{options.target!r} names a service beside a document: ask for one")
    return work


def _text(file: str) -> str:
    data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is no text in UTF-8: {error}") from error
    if not text:  # as of a command that failed, at the other end of a pipe
        raise ValueError(f"{file} is empty: a document is deleted in the console")
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"{file} is longer than {MAX_CHARACTERS} characters")
    return text


def _get(data_id: str, nacos: Nacos, out: TextIO) -> int:
    document = asyncio.run(nacos.fetch(data_id))
    out.write(document.content if document else "")
    return 0 if document else ABSENT


def _publish(data_id: str, text: str, nacos: Nacos, _: TextIO) -> int:
    asyncio.run(nacos.publish(data_id, text))
    return 0


def _history(data_id: str, nacos: Nacos, out: TextIO) -> int:
    history = asyncio.run(nacos.history(data_id))
    for each in history:
        at = datetime.fromtimestamp(each.at, UTC).isoformat(" ", "seconds")
        print(f"{each.number}  {at}  {each.change:8}  {each.user or '-'} {each.ip}", file=out)
    return 0 if history else ABSENT


def _entry(data_id: str, number: int, nacos: Nacos, out: TextIO) -> int:
    out.write(asyncio.run(nacos.text_of(data_id, number)))
    return 0
