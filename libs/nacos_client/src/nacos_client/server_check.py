"""The check of the server: that there is one, what it is, that it has the client's namespace.

Nothing waits for these answers: they are for the person who reads `/readyz` and the log.
"""

import logging

from nacos_client.errors import NacosError, Refused
from nacos_client.ports import Served, ServerFacts
from nacos_client.reconcile import Reconciler

log = logging.getLogger(__name__)

EXISTS = "exists"
AGAIN_SECONDS = 10.0
"""Seconds until a question that was not answered well is asked again; they double while this user
may not ask, for a permission may be given."""
SETTLED_SECONDS = 3600.0
"""Seconds between two questions while all is well."""


class ServerCheck:
    """The loop that asks the server of one session about itself and about the namespace.

    It is made before the session starts.

    Attributes:
        facts: what the server of the present connection said; None while it has not.
        namespace: that it exists, what is wrong with it, or why that is not known; None before
            the first answer.
        trouble: what is wrong with the namespace, or None.
    """

    def __init__(self, session: Served) -> None:
        self.facts: ServerFacts | None = None
        self.namespace: str | None = None
        self.trouble: str | None = None
        self._session = session
        self._pause = AGAIN_SECONDS
        self._at_first = session.trouble
        self._is_told = False
        self._loop = Reconciler("server", session, self._turn)

    async def run(self) -> None:
        """Ask until cancelled."""
        await self._loop.run()

    async def _turn(self) -> float:
        if self._session.connection is None:
            self.facts, self._pause = None, AGAIN_SECONDS
            self._miss()
            return SETTLED_SECONDS
        self._is_told = True
        try:
            facts = await self._session.server()
            if facts != self.facts:
                version = facts.version or "unknown version"
                log.info("Nacos %s is %s, %s", facts.address, version, facts.dialect)
            self.facts = facts
            trouble = await self._session.namespace_trouble()
        except NacosError as error:  # over HTTP, which nothing else may need
            self._judge(f"not known: {error}", None)
            pause = self._pause
            if isinstance(error, Refused) and self._session.trouble is None:
                self._pause = min(2 * pause, SETTLED_SECONDS)
            return pause
        self._pause = AGAIN_SECONDS
        self._judge(trouble or EXISTS, trouble)
        return AGAIN_SECONDS if trouble else SETTLED_SECONDS

    def _judge(self, namespace: str, trouble: str | None) -> None:
        if namespace != self.namespace and (namespace != EXISTS or self.namespace is not None):
            log.log(logging.WARNING if trouble else logging.INFO, "namespace: %s", namespace)
        self.trouble, self.namespace = trouble, namespace

    def _miss(self) -> None:
        """Say once that no server was reached; the link itself says when it loses one."""
        trouble = self._session.trouble
        if trouble != self._at_first and not self._is_told:
            self._is_told = True
            log.warning("Nacos is not reached, which is tried again and again: %s", trouble)
