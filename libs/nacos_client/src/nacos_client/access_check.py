"""One question to Nacos, as a service asks at its start, for the person who sets the service up."""

import asyncio

from nacos_client.errors import Denied, NacosError, Refused
from nacos_client.ports import Connect, DocumentKey, ServiceKey, Session
from nacos_client.settings import NacosSettings
from nacos_client.vendor import Vendor

CHECK_SECONDS = 10.0
"""Seconds after which a Nacos that has not answered counts as unreachable."""


async def check_access(
    service: str, settings: NacosSettings, *, connect: Connect | None = None
) -> tuple[bool, str]:
    """Log in, connect, and read what a service of this name reads: its document and instances.

    Returns:
        Whether Nacos answered it all, and a line that says who answered, or what is wrong.
    """
    session = (connect or Vendor())(settings, "check")
    session.start()
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await session.fetch(DocumentKey(service, settings.group))
            await session.instances(ServiceKey(service, settings.group))
            facts = await session.server()
            trouble, unseen = await _namespace(session)
        if trouble is None:
            who = f"the user {settings.username}" if settings.username else "anybody"
            place = f"namespace {settings.namespace}, group {settings.group}"
            named = f"Nacos {facts.version} at {facts.address}"
            return True, f"{named} lets {who} read {service} in {place}{unseen}"
    except TimeoutError:
        trouble = f"no answer within {CHECK_SECONDS:g} s"
    except NacosError as error:
        nameless = settings.username is None and settings.access_key is None
        hint = "; NACOS_USERNAME is not set" if nameless and isinstance(error, Denied) else ""
        trouble = f"{error}{hint}"
    finally:
        await session.close()
    return False, f"Nacos at {settings.server_addr}: {trouble}"


async def _namespace(session: Session) -> tuple[str | None, str]:
    """Return what is wrong with the namespace, and a remark where that cannot be seen."""
    try:
        return await session.namespace_trouble(), ""
    except Refused as error:
        return None, f"; whether the namespace exists is not known: {error}"
