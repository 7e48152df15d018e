"""The value of a configuration document: checked before it is in force, kept if the next is bad.

The Nacos thread brings text; a task on the application's loop parses, validates, builds, checks
and then swaps one reference. A document that fails on the way changes nothing but the state, which
says why.
"""

import asyncio
import hashlib
import inspect
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any, Generic, Literal, TypeVar, cast

from pydantic import BaseModel

from nacos_client.cipher import DocumentCipher, FileStamp, is_encrypted
from nacos_client.document_sync import DocumentSync, Found
from nacos_client.documents import validated
from nacos_client.errors import BadDocument, NacosError
from nacos_client.ports import Document, DocumentKey, Documents
from nacos_client.runtime import Runtime
from nacos_client.store import Store

log = logging.getLogger(__name__)

T = TypeVar("T")
Source = Literal["default", "nacos", "last_good"]
Absent = Literal["default", "last_good"]
LINE_CHARACTERS = 200
"""Characters of a wrong line that are kept for its author."""
KEY_SECONDS = 2.0
"""Seconds between two looks for another key file, while a document cannot be decrypted."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """A document that was kept out: its version, the reason, and the Unix time in seconds.

    Attributes:
        line: of the document that is wrong, counted from 1, if it is known.
        text: what stands there; "" of a document that is encrypted.
    """

    version: str
    reason: str
    at: float
    line: int | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class WatchState:
    """The configuration in force.

    Attributes:
        version: MD5 of the document (of all layers together, if several); "" for the defaults.
        source: the model's defaults, Nacos, or a last good document: a document that Nacos no
            longer has, or that an earlier process left on disk while Nacos cannot be asked.
        applied_at: Unix time in seconds at which this version came into force; 0 before the start.
        rejection: the newest document, if it was kept out.
    """

    version: str = ""
    source: Source = "default"
    applied_at: float = 0.0
    rejection: Rejection | None = None


@dataclass(frozen=True, slots=True)
class Recipe(Generic[T]):
    """The way from documents to a value.

    Attributes:
        model: the pydantic model of the (layered) document.
        build: makes the value from the model; plain functions run in a worker thread.
        check: raises if the built value must not be used.
        absent: the value while there is no document: the defaults, or the last good document's,
            which also stays where the model has no defaults.
    """

    model: type[BaseModel]
    build: Callable[[Any], T | Awaitable[T]] | None
    check: Callable[[T], object] | None
    absent: Absent


def version_of(found: Found) -> str:
    """Return the version of documents: the MD5 of one, an MD5 over several, "" for none."""
    if len(found) == 1 or not any(found):
        return next((document.md5 for document in found if document), "")
    spelled = ",".join(document.md5 if document else "" for document in found)
    return hashlib.md5(spelled.encode(), usedforsecurity=False).hexdigest()


def _line_at(document: Document | None, line: int | None) -> str:
    """Return a line of a document, "" if there is none."""
    lines = document.content.splitlines() if document is not None and line else []
    return lines[line - 1][:LINE_CHARACTERS] if line and line <= len(lines) else ""


class Watched(Generic[T]):
    """The value of a watched document, made by `Nacos.watch`; `await start()` before reading it."""

    def __init__(
        self,
        runtime: Runtime,
        documents: Documents,
        keys: Sequence[DocumentKey],
        store: Store,
        recipe: Recipe[T],
        *,
        cipher: DocumentCipher,
    ) -> None:
        self.keys = tuple(keys)
        self._runtime = runtime
        self._store = store
        self._recipe = recipe
        self._cipher = cipher
        self._secret = any(is_encrypted(key.data_id) for key in self.keys)
        self._key_file: FileStamp | None = None
        self._sync = DocumentSync(documents, self.keys, self._deliver)
        self._following: Future[None] | None = None
        self._applying: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._newest: Found | None = None
        self._news = asyncio.Event()
        self._starting = asyncio.Lock()
        self._state = WatchState()
        self._value: T | None = None
        self._subscribers: list[Callable[[T], object]] = []

    @property
    def value(self) -> T:
        """The value in force. A plain read.

        Raises:
            NacosError: `start` has not put a value in force yet.
        """
        if not self._state.applied_at:
            raise NacosError(f"{self._name} is not started: await start() first")
        return cast("T", self._value)

    @property
    def state(self) -> WatchState:
        """The version in force, its source, and why the newest version was kept out, if so."""
        return self._state

    @property
    def plain_state(self) -> dict[str, Any]:
        """The state in plain values, for a readiness answer."""
        rejection = self._state.rejection
        return {
            "ok": self._state.applied_at > 0 and not self._sync.loop.denied,
            "version": self._state.version,
            "source": self._state.source,
            "document": self._document,
            "rejected": rejection.reason if rejection else None,
            "trouble": self.trouble,
        }

    @property
    def _document(self) -> str:
        """The last answer of Nacos about the document; `trouble` says why there is no newer one."""
        if self._newest is None:
            return "not known: Nacos has not answered yet"
        found = [document for document in self._newest if document]
        tried = next((document.tried for document in found if document.tried), "")
        if not found:
            return "no such document"
        return f"found ({tried})" if tried else "found"

    @property
    def trouble(self) -> str | None:
        """The reason why Nacos could not be asked at the last attempt, or None."""
        trouble = self._sync.loop.trouble
        return str(trouble) if trouble else None

    @property
    def _name(self) -> str:
        return ", ".join(key.data_id for key in self.keys)

    def subscribe(self, callback: Callable[[T], object]) -> Callable[[], None]:
        """Call `callback` on the application's loop with every new value, once it is in force.

        When a callback raises, the error is logged and the other callbacks are called all the same.

        Returns:
            a function that ends the subscription; calling it again does nothing.
        """
        self._subscribers.append(callback)

        def stop() -> None:
            if callback in self._subscribers:
                self._subscribers.remove(callback)

        return stop

    async def start(self, wait: float = 3.0) -> None:
        """Put the first value in force, and follow the document from then on.

        Nacos is given `wait` seconds to answer. Then, or if its document is bad, the last good
        document on disk counts, else the defaults. A later answer of Nacos is still applied.

        Raises:
            BadDocument: there is no acceptable document, and the model has no defaults; `start`
                may be called again.
        """
        async with self._starting:
            if self._applying is not None:
                return
            self._loop = asyncio.get_running_loop()
            if self._following is None:
                self._following = self._runtime.submit(self._sync.run())
            if self._newest is None:
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._news.wait()
            await self._apply_newest()
            if not self._state.applied_at:
                await self._fall_back()
            self._applying = asyncio.create_task(self._apply_for_ever(), name=f"watch {self._name}")

    async def close(self) -> None:
        """Stop following; the value stays readable."""
        if self._following is not None:
            self._following.cancel()
        if self._applying is not None:
            self._applying.cancel()
            with suppress(asyncio.CancelledError):
                await self._applying

    def _deliver(self, found: Found) -> None:
        """Hand the documents to the application's loop, where only the newest are applied."""
        self._newest = found
        if self._loop is not None:
            with suppress(RuntimeError):  # the application's loop is closed
                self._loop.call_soon_threadsafe(self._news.set)

    async def _apply_for_ever(self) -> None:
        while True:
            await self._wait()
            await self._apply_newest()

    async def _wait(self) -> None:
        """Wait for a document, or for another key to one that is kept out."""
        while not self._news.is_set():
            kept_out = self._secret and self._state.rejection is not None
            try:
                async with asyncio.timeout(KEY_SECONDS if kept_out else None):
                    await self._news.wait()
            except TimeoutError:
                if await asyncio.to_thread(self._cipher.stamp) != self._key_file:
                    return

    async def _apply_newest(self) -> None:
        self._news.clear()
        if self._newest is not None:
            await self._apply(self._newest)

    async def _apply(self, found: Found) -> None:
        version = version_of(found)
        if not any(found):  # a document that is gone is no longer kept out either
            self._state = replace(self._state, rejection=None)
            if self._recipe.absent == "last_good":
                self._keep_last_good()
                return
        source: Source = "nacos" if any(found) else "default"
        if self._state.applied_at and version == self._state.version:
            self._state = replace(self._state, source=source, rejection=None)
            return
        try:
            value = await self._made(found)
        except BadDocument as error:
            if not any(found):
                log.warning("there is no %s, and it has no defaults: %s", self._name, error)
                self._keep_last_good()
                return
            log.warning("%s kept out: %s", self._name, error, extra={"version": version})
            text = "" if self._secret or len(found) > 1 else _line_at(found[0], error.line)
            rejection = Rejection(version, str(error), time.time(), error.line, text)
            self._state = replace(self._state, rejection=rejection)
            return
        self._swap(value, version, source)
        if any(found):
            saved = [asdict(document) if document else None for document in found]
            await asyncio.to_thread(self._store.save, "document", self._key, saved)

    def _keep_last_good(self) -> None:
        """Say of the value in force, if any, that Nacos no longer has its document."""
        if self._state.applied_at:
            self._state = replace(self._state, source="last_good")

    async def _made(self, found: Found) -> T:
        """Parse, validate, build and check.

        Raises:
            BadDocument: one of these steps failed.
        """
        pairs = zip(self.keys, found, strict=True)
        documents = [(key.data_id, document) for key, document in pairs if document]
        build, check = self._recipe.build, self._recipe.check
        model: BaseModel | None = None
        try:
            if self._secret:
                documents = await asyncio.to_thread(self._decrypted, documents)
            model = validated(self._recipe.model, documents)
            if build is None:
                value = cast("T", model)
            elif inspect.iscoroutinefunction(build):
                value = await build(model)
            else:
                value = cast("T", await asyncio.to_thread(build, model))
            if check is not None:
                check(value)
        except Exception as error:  # the consumer's code: whatever it raises keeps the document out
            its_own = model is not None or not isinstance(error, BadDocument)
            reason = f"cannot be put in force: {type(error).__name__}"
            if self._secret and its_own:  # its words may quote the document
                raise BadDocument(reason) from None
            if isinstance(error, BadDocument):
                raise
            raise BadDocument(f"{reason}: {error}") from error
        return value

    def _decrypted(self, documents: Sequence[tuple[str, Document]]) -> list[tuple[str, Document]]:
        """Decrypt those documents that are encrypted, after a look at the key file."""
        self._key_file = self._cipher.stamp()
        return [(data_id, self._cipher.decrypted(data_id, each)) for data_id, each in documents]

    def _swap(self, value: T, version: str, source: Source) -> None:
        rejection = None if source == "nacos" else self._state.rejection
        self._value = value
        self._state = WatchState(version, source, time.time(), rejection)
        log.info("%s in force", self._name, extra={"version": version, "source": source})
        for callback in list(self._subscribers):
            try:
                callback(value)
            except Exception as error:  # must not keep the value from the others
                kind, told = type(error).__name__, not self._secret  # its words may quote, as above
                log.exception("a subscriber of %s raised %s", self._name, kind, exc_info=told)

    async def _fall_back(self) -> None:
        """Put the last good documents of an earlier process in force, else the defaults."""
        stored = await asyncio.to_thread(self._store.load, "document", self._key)
        if stored is not None:
            try:
                found = tuple(Document(**document) if document else None for document in stored[0])
                self._swap(await self._made(found), version_of(found), "last_good")
            except (BadDocument, TypeError, ValueError) as error:
                log.warning("the last good %s on disk is no longer good: %s", self._name, error)
        if not self._state.applied_at:
            nothing: Found = (None,) * len(self.keys)
            self._swap(await self._made(nothing), "", "default")

    @property
    def _key(self) -> str:
        return " ".join(map(str, self.keys))
