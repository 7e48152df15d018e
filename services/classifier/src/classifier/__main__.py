"""Starts the classifier: `python -m classifier`."""

import asyncio
import logging

from car_evaluation_model import ModelError, load
from nacos_client import Nacos, NacosSettings
from service_kit import Health, Workers, configure_logs, read_env, run, serve

from classifier.app import VERSION, create_app
from classifier.engine import Engine
from classifier.settings import DATA_ID, ServingConfig, Settings

_log = logging.getLogger(__name__)

UNUSABLE_MODEL = 4
"""Exit code when the model is missing, tampered with, or does not reproduce its answers."""


async def main() -> None:
    """Build everything and serve until told to stop."""
    settings, nacos_settings = read_env(Settings, NacosSettings)
    configure_logs(settings)
    try:
        model = load(settings.model_version or None)
        engine = Engine(model, lambda: watched.value)
    except ModelError as error:
        _log.critical("unusable_model", extra={"kind": type(error).__name__, "reason": str(error)})
        raise SystemExit(UNUSABLE_MODEL) from error
    health = Health(settings.service_name, VERSION)
    health.about["model"] = {"version": model.version, "sha256": model.sha256}
    health.add("model", lambda: {"ok": True, "version": model.version, "sha256": model.sha256})
    workers = Workers("rows", threads=1, queue_limit=64)
    async with Nacos(nacos_settings) as nacos, asyncio.TaskGroup() as tasks:
        watched = nacos.watch(DATA_ID, ServingConfig)
        await watched.start()

        def metadata() -> dict[str, str]:
            return {
                "version": VERSION,
                "model_version": model.version,
                "config": watched.state.version or "default",
                "protocol": "http",
                "preserved.register.source": "PYTHON",
                "gateway.idempotent": "POST /api/v1/predict",
            }

        announcement = nacos.announcement(
            settings.service_name, port=settings.port, metadata=metadata()
        )
        watched.subscribe(lambda _: tasks.create_task(announcement.update(metadata=metadata())))
        health.show(lambda: nacos.states)
        app = create_app(
            engine,
            lambda: watched.value,
            health,
            workers,
            cors_origins=settings.cors_origins,
        )
        await serve(app, settings, health=health, presence=announcement)
    workers.close()
    engine.close()


if __name__ == "__main__":
    run(main())
