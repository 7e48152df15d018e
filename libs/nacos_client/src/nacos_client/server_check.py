"""What the connected server is, and whether the client's namespace is there: asked on each connect.

Nothing waits for these answers: they are for the person who reads `/readyz` and the log.
"""

import logging

from nacos_client.errors import NacosError
from nacos_client.ports import Served, ServerFacts
from nacos_client.reconcile import Reconciler

log = logging.getLogger(__name__)

AGAIN_SECONDS = 10.0
"""Seconds until a question that was not answered well is asked again."""
SETTLED_SECONDS = 3600.0
"""Seconds between two questions while all is well."""


class ServerCheck:
    """The loop that asks the server of one session about itself and about the namespace.

    Attributes:
        facts: what the server of the present connection said; None while it has not.
        trouble: what is wrong with the namespace, or None.
    """

    def __init__(self, session: Served) -> None:
        self.facts: ServerFacts | None = None
        self.trouble: str | None = None
        self._session = session
        self._loop = Reconciler("server", session, self._turn)

    async def run(self) -> None:
        """Ask until cancelled."""
        await self._loop.run()

    async def _turn(self) -> float:
        if self._session.connection is None:
            self.facts = None
            return SETTLED_SECONDS
        try:
            facts = await self._session.server()
            trouble = await self._session.namespace_trouble()
        except NacosError as error:  # over HTTP, which nothing else may need
            log.debug("not known what the server is: %s", error)
            return AGAIN_SECONDS
        if facts != self.facts:
            version = facts.version or "unknown version"
            log.info("Nacos %s is %s, %s", facts.address, version, facts.dialect)
        if trouble != self.trouble:
            log.warning("%s", trouble or "the namespace is there now")
        self.facts, self.trouble = facts, trouble
        return AGAIN_SECONDS if trouble else SETTLED_SECONDS
