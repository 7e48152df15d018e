"""Starts the clusterer: `python -m kmeans`."""

import logging

from nacos_client import Nacos, NacosSettings
from service_kit import ExitCode, HealthChecks, ThreadPool, configure_logs, read_env, run, serve

from kmeans.app import VERSION, create_app, instance_metadata
from kmeans.clustering import InForce, prepare_thread, self_check
from kmeans.settings import DATA_ID, ClusterConfig, KMeansSettings

_log = logging.getLogger(__name__)


async def main() -> None:
    """Build everything and serve until told to stop."""
    settings, nacos_settings = read_env(KMeansSettings, NacosSettings)
    configure_logs(settings)
    threads = ThreadPool(
        "fit",
        threads=settings.fit_workers,
        queue_limit=settings.fit_queue,
        limited_by="FIT_WORKERS + FIT_QUEUE",
        prepare=prepare_thread,
    )
    try:
        await threads.run(self_check)
    except RuntimeError as error:
        _log.critical("self_check_failed", extra={"reason": str(error)})
        raise SystemExit(ExitCode.UNUSABLE_MODEL) from error
    health = HealthChecks(settings.service_name, VERSION)
    async with Nacos(nacos_settings) as nacos:
        health.show(lambda: nacos.states)
        watched = nacos.watch(DATA_ID, ClusterConfig)
        await watched.start()
        announcement = nacos.announcement(settings.service_name, port=settings.port)
        announcement.follow(watched, lambda: instance_metadata(settings, watched.state.version))
        app = create_app(
            lambda: InForce(watched.value, watched.state.version or "default"),
            health,
            threads,
            timeout_seconds=settings.timeout_seconds,
        )
        await serve(app, settings, health=health, presence=announcement)
    threads.close()


if __name__ == "__main__":
    run(main())
