"""Our own services in Nacos, in the hands of a server that knows nothing of them."""

import signal
import sys
from pathlib import Path

import httpx
import pytest
from stack.access import NacosAccess
from stack.ports import free_port
from stack.process import Process, clean_environment
from stack.waiting import wait_until

pytestmark = [pytest.mark.nacos, pytest.mark.timeout(300)]


@pytest.mark.parametrize(
    ("package", "service", "document"),
    [
        ("classifier", "car-evaluation", "max_rows: 7"),
        ("kmeans", "skl-kmeans", "clusters: 4"),
    ],
)
def test_uvicorn_announces_a_service_where_it_listens(
    package: str, service: str, document: str, nacos: NacosAccess, tmp_path: Path
) -> None:
    """The server's port is announced, the entry follows the document, and leaves before the end."""
    port = free_port()
    argv = [sys.executable, "-m", "uvicorn", f"{package}.app:app", "--port", str(port)]
    env = {
        **clean_environment(),
        **nacos.environment,
        "NACOS_CACHE_DIR": str(tmp_path / "cache"),
        "DRAIN_SECONDS": "600",
    }
    process = Process.start(package, argv, env=env, log=tmp_path / "log")
    try:

        def shown() -> list[tuple[int, str]]:
            assert process.alive, (tmp_path / "log").read_text()
            found = nacos.instances(service)
            return [(each["port"], each["metadata"]["config"]) for each in found]

        wait_until(lambda: shown() == [(port, "default")], seconds=90, what="it is announced")
        nacos.publish(service, document)
        wait_until(
            lambda: len(shown()) == 1 and shown()[0][1] != "default",
            seconds=30,
            what="the entry follows the document",
        )
        process.signal(signal.SIGTERM)
        wait_until(lambda: shown() == [], seconds=30, what="it left Nacos")
        answer = httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=10, trust_env=False)
        assert answer.status_code == 503
        assert answer.json()["checks"]["draining"]["ok"] is False
        process.signal(signal.SIGINT)
        assert process.wait(60)
    finally:
        process.stop(grace=30)
