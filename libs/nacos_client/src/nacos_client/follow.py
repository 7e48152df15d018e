"""Bringing the text of configuration documents from Nacos, whatever is lost on the way.

One loop on the Nacos thread: a notice of a change is a reason to read, and every thirty seconds
the MD5s are compared. It knows nothing of what the documents mean.
"""

import logging
from collections.abc import Callable, Sequence
from functools import partial

from nacos_client.errors import NacosError
from nacos_client.ports import Document, DocumentKey, Documents
from nacos_client.reconcile import Doorbell, reconcile

log = logging.getLogger(__name__)

RECONCILE_SECONDS = 30.0
RETRY_SECONDS = 1.0

Found = tuple[Document | None, ...]
"""One entry for each document asked for, in that order; None where there is no such document."""


class Follower:
    """The loop, for the documents of one watch.

    Attributes:
        trouble: why the documents could not be read at the last turn, or None.
    """

    def __init__(
        self,
        documents: Documents,
        keys: Sequence[DocumentKey],
        deliver: Callable[[Found], None],
    ) -> None:
        self.trouble: str | None = None
        self._documents = documents
        self._keys = keys
        self._deliver = deliver
        self._notices = {key: partial(self._notice, key) for key in keys}
        self._found: dict[DocumentKey, Document | None] = {}
        self._changed: set[DocumentKey] = set()
        self._delivered: Found | None = None
        self._bell = Doorbell()

    async def run(self) -> None:
        """Read and compare until cancelled."""
        await reconcile(self._documents, self._bell, self._turn)

    async def _turn(self) -> float:
        if self._documents.connection is None:
            self.trouble = self._documents.trouble or "not connected"
            return RECONCILE_SECONDS
        changed, self._changed = self._changed, set()
        try:
            for key in self._keys:
                await self._read(key, changed=key in changed)
        except NacosError as error:
            self._changed |= changed
            self.trouble = str(error)
            log.warning("%s: %s", ", ".join(map(str, self._keys)), error)
            return RETRY_SECONDS
        self.trouble = None
        found = tuple(self._found[key] for key in self._keys)
        if found != self._delivered:
            self._delivered = found
            self._deliver(found)
        return RECONCILE_SECONDS

    async def _read(self, key: DocumentKey, *, changed: bool) -> None:
        """Read the document if it changed, was never read, or is not what the server has."""
        if not changed:
            known = self._found.get(key)
            md5 = known.md5 if known else ""
            differs = await self._documents.listen(key, md5, self._notices[key])
            if key in self._found and not differs:
                return
        self._found[key] = await self._documents.fetch(key)

    def _notice(self, key: DocumentKey) -> None:
        self._changed.add(key)
        self._bell.ring()
