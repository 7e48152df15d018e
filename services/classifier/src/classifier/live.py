"""What changes while the classifier runs: its configuration, and its entry in Nacos."""

from asyncio import TaskGroup
from collections.abc import Callable
from importlib.metadata import version

from nacos_client import Announcement, Nacos

from classifier.settings import DATA_ID, ClassifierSettings, ServingConfig

VERSION = version("modelserve-classifier")


async def follow(
    nacos: Nacos, settings: ClassifierSettings, model_version: str, tasks: TaskGroup
) -> tuple[Callable[[], ServingConfig], Announcement]:
    """Follow the configuration; whenever it changes, the announcement's metadata follow in a task.

    Returns:
        A plain read of what is in force, and the entry to announce.
    """
    watched = nacos.watch(DATA_ID, ServingConfig)
    await watched.start()

    def metadata() -> dict[str, str]:
        return {
            "version": VERSION,
            "model_version": model_version,
            "config": watched.state.version or "default",
            "protocol": "http",
            "gateway.idempotent": "POST /api/v1/predict",
        }

    announcement = nacos.announcement(
        settings.service_name, port=settings.port, metadata=metadata()
    )
    watched.subscribe(lambda _: tasks.create_task(announcement.update(metadata=metadata())))
    return lambda: watched.value, announcement
