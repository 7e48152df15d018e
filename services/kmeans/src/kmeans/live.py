"""What changes while the clusterer runs: its configuration, and its entry in Nacos."""

from asyncio import TaskGroup
from collections.abc import Callable
from importlib.metadata import version

from nacos_client import Announcement, Nacos

from kmeans.clustering import InForce
from kmeans.settings import DATA_ID, ClusterConfig, KMeansSettings

VERSION = version("modelserve-kmeans")


async def follow(
    nacos: Nacos, settings: KMeansSettings, tasks: TaskGroup
) -> tuple[Callable[[], InForce], Announcement]:
    """Follow the configuration; whenever it changes, the announcement's metadata follow in a task.

    Returns:
        A plain read of what is in force, and the entry to announce.
    """
    watched = nacos.watch(DATA_ID, ClusterConfig)
    await watched.start()

    def in_force() -> InForce:
        return InForce(watched.value, watched.state.version or "default")

    def metadata() -> dict[str, str]:
        return {
            "version": VERSION,
            "model_version": VERSION,
            "config": in_force().version,
            "protocol": "http",
            "gateway.idempotent": "POST /api/skl-kmeans",
            "gateway.max-in-flight": str(settings.fit_workers + settings.fit_queue),
        }

    announcement = nacos.announcement(
        settings.service_name, port=settings.port, metadata=metadata()
    )
    watched.subscribe(lambda _: tasks.create_task(announcement.update(metadata=metadata())))
    return in_force, announcement
