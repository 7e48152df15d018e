"""Keeping the text of configuration documents equal to what Nacos has, whatever notice is lost.

One loop on the Nacos thread reads a document after a notice of its change, and compares the MD5s
every thirty seconds. The loop knows nothing of what the documents mean.
"""

from collections.abc import Callable, Sequence
from functools import partial

from nacos_client.ports import Document, DocumentKey, Documents
from nacos_client.reconcile import Reconciler

RECONCILE_SECONDS = 30.0
"""Seconds between two comparisons of the MD5s."""

Found = tuple[Document | None, ...]
"""The document of each key, in the order of the keys; None where Nacos has no such document."""


class DocumentSync:
    """The loop that reads the documents of one watch.

    It calls `deliver` on the Nacos thread whenever a document changed, and compares the MD5s every
    `period` seconds.

    Attributes:
        loop: the reconciler; its `trouble` says why the documents cannot be read, if so.
    """

    def __init__(
        self,
        documents: Documents,
        keys: Sequence[DocumentKey],
        deliver: Callable[[Found], None],
        period: float = RECONCILE_SECONDS,
    ) -> None:
        self.loop = Reconciler(", ".join(map(str, keys)), documents, self._turn)
        self._documents = documents
        self._keys = keys
        self._deliver = deliver
        self._period = period
        self._notices = {key: partial(self._notice, key) for key in keys}
        self._found: dict[DocumentKey, Document | None] = {}
        self._notified: set[DocumentKey] = set()
        self._delivered: Found | None = None
        self._connection: str | None = None

    async def run(self) -> None:
        """Read and compare until cancelled."""
        await self.loop.run()

    async def _turn(self) -> float:
        notified, self._notified = self._notified, set()
        before, self._connection = self._connection, self._documents.connection
        if self._connection is None:
            return self._period
        if self._connection != before:
            notified = set()  # nobody listens on the new connection yet
        for key in self._keys:
            await self._read(key, notified=key in notified)
        found = tuple(self._found[key] for key in self._keys)
        if found != self._delivered:
            self._delivered = found
            self._deliver(found)
        return self._period

    async def _read(self, key: DocumentKey, *, notified: bool) -> None:
        """Read the document if it changed, was never read, or is not what the server has."""
        if not notified:
            known = self._found.get(key)
            md5 = known.md5 if known else ""
            differs = await self._documents.listen(key, md5, self._notices[key])
            if key in self._found and not differs:
                return
        self._found[key] = await self._documents.fetch(key)

    def _notice(self, key: DocumentKey) -> None:
        self._notified.add(key)
        self.loop.bell.ring()
