"""Starts the classifier: `python -m classifier`."""

import logging

from car_evaluation_model import ModelError, load
from nacos_client import Nacos, NacosSettings
from service_kit import ExitCode, HealthChecks, ThreadPool, configure_logs, read_env, run, serve

from classifier.app import VERSION, create_app, instance_metadata
from classifier.engine import Engine
from classifier.settings import DATA_ID, ClassifierSettings, ServingConfig

_log = logging.getLogger(__name__)


async def main() -> None:
    """Build everything and serve until told to stop."""
    settings, nacos_settings = read_env(ClassifierSettings, NacosSettings)
    configure_logs(settings)
    try:
        model = load(settings.model_version or None)
        engine = Engine(model, lambda: watched.value)
    except ModelError as error:
        _log.critical("unusable_model", extra={"kind": type(error).__name__, "reason": str(error)})
        raise SystemExit(ExitCode.UNUSABLE_MODEL) from error
    health = HealthChecks(settings.service_name, VERSION)
    health.about["model"] = {"version": model.version, "sha256": model.sha256}
    health.add("model", lambda: {"ok": True, "version": model.version, "sha256": model.sha256})
    threads = ThreadPool("rows", threads=1, queue_limit=64)
    async with Nacos(nacos_settings) as nacos:
        health.show(lambda: nacos.states)
        watched = nacos.watch(DATA_ID, ServingConfig)
        await watched.start()
        announcement = nacos.announcement(settings.service_name, port=settings.port)
        announcement.follow(
            watched, lambda: instance_metadata(settings, model.version, watched.state.version)
        )
        app = create_app(
            engine,
            lambda: watched.value,
            health,
            threads,
            timeout_seconds=settings.timeout_seconds,
            cors_origins=settings.cors_origins,
        )
        await serve(app, settings, health=health, presence=announcement)
    threads.close()
    engine.close()


if __name__ == "__main__":
    run(main())
