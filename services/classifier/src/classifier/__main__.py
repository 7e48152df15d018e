"""Starts the classifier: `python -m classifier`."""

import asyncio
import logging

from car_evaluation_model import ModelError, load
from nacos_client import Nacos, NacosSettings
from service_kit import HealthChecks, ThreadPool, configure_logs, read_env, run, serve

from classifier.app import create_app
from classifier.engine import Engine
from classifier.live import VERSION, follow
from classifier.settings import ClassifierSettings

_log = logging.getLogger(__name__)

UNUSABLE_MODEL = 4
"""Exit code when the model is missing, tampered with, or does not reproduce its answers."""


async def main() -> None:
    """Build everything and serve until told to stop."""
    settings, nacos_settings = read_env(ClassifierSettings, NacosSettings)
    configure_logs(settings)
    try:
        model = load(settings.model_version or None)
        engine = Engine(model, lambda: in_force())  # noqa: PLW0108 - known only later
    except ModelError as error:
        _log.critical("unusable_model", extra={"kind": type(error).__name__, "reason": str(error)})
        raise SystemExit(UNUSABLE_MODEL) from error
    health = HealthChecks(settings.service_name, VERSION)
    health.about["model"] = {"version": model.version, "sha256": model.sha256}
    health.add("model", lambda: {"ok": True, "version": model.version, "sha256": model.sha256})
    threads = ThreadPool("rows", threads=1, queue_limit=64)
    async with Nacos(nacos_settings) as nacos, asyncio.TaskGroup() as tasks:
        in_force, announcement = await follow(nacos, settings, model.version, tasks)
        health.show(lambda: nacos.states)
        app = create_app(engine, in_force, health, threads, cors_origins=settings.cors_origins)
        await serve(app, settings, health=health, presence=announcement)
    threads.close()
    engine.close()


if __name__ == "__main__":
    run(main())
