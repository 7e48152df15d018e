"""Starts the gateway: `python -m gateway`."""

import logging
import random
import socket
import time
from importlib.metadata import version

from fastapi import FastAPI
from nacos_client import Nacos, NacosSettings
from service_kit import Health, configure_logs, install, read_env, run, serve

from gateway.access_log import AccessLog
from gateway.core import Core, Edge
from gateway.discovery import NacosDirectory
from gateway.ledger import Ledger, RequestIds
from gateway.port import DataPort
from gateway.service import Limits
from gateway.settings import Settings

_log = logging.getLogger(__name__)
VERSION = version("modelserve-gateway")


async def main() -> None:
    """Build everything and serve until told to stop."""
    settings, nacos_settings = read_env(Settings, NacosSettings)
    configure_logs(settings)
    health = Health(settings.service_name, VERSION)
    async with Nacos(nacos_settings) as nacos:
        limits = Limits(
            settings.max_in_flight,
            settings.connect_timeout,
            settings.upstream_idle,
            nacos_settings.cluster,
        )
        directory = NacosDirectory(nacos, limits, time.monotonic)
        log = AccessLog(time.time) if settings.access_log else None
        core = Core(
            directory,
            Ledger(RequestIds(time.time), log),
            time.monotonic,
            random.random,
            name=settings.service_name.encode(),
            edge=Edge(
                settings.max_connections,
                settings.header_timeout,
                settings.body_timeout,
                settings.idle_timeout,
            ),
            limits=limits,
        )
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((settings.host, settings.port))
        port = DataPort(core, sock)
        announcement = nacos.announcement(settings.service_name, port=settings.port)
        health.show(lambda: nacos.states)
        app = FastAPI()
        install(app, health)
        await serve(
            app,
            settings.model_copy(update={"host": settings.admin_host, "port": settings.admin_port}),
            health=health,
            presence=announcement,
            listeners=[port],
        )


if __name__ == "__main__":
    run(main())
