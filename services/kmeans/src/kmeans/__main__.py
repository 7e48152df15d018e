"""Starts the clusterer: `python -m kmeans`."""

import asyncio
import logging

from nacos_client import Nacos, NacosSettings
from service_kit import HealthChecks, ThreadPool, configure_logs, read_env, run, serve

from kmeans.app import create_app
from kmeans.clustering import prepare_thread, self_check
from kmeans.live import VERSION, follow
from kmeans.settings import KMeansSettings

_log = logging.getLogger(__name__)

WRONG_LIBRARIES = 4
"""Exit code when this machine's libraries do not reproduce the published clusters."""


async def main() -> None:
    """Build everything and serve until told to stop."""
    settings, nacos_settings = read_env(KMeansSettings, NacosSettings)
    configure_logs(settings)
    threads = ThreadPool(
        "fit",
        threads=settings.fit_workers,
        queue_limit=settings.fit_queue,
        prepare=prepare_thread,
    )
    try:
        await threads.run(self_check)
    except RuntimeError as error:
        _log.critical("self_check_failed", extra={"reason": str(error)})
        raise SystemExit(WRONG_LIBRARIES) from error
    health = HealthChecks(settings.service_name, VERSION)
    async with Nacos(nacos_settings) as nacos, asyncio.TaskGroup() as tasks:
        in_force, announcement = await follow(nacos, settings, tasks)
        health.show(lambda: nacos.states)
        app = create_app(in_force, health, threads)
        await serve(app, settings, health=health, presence=announcement)
    threads.close()


if __name__ == "__main__":
    run(main())
