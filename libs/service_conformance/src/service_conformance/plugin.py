"""The plugin: `--model-service=MODULE:CLASS` names what is tested, each test gets its process."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service_conformance.programs import MISSING, browser, program, try_out
from service_conformance.subject import Subject, running

__all__ = ["browser", "program", "try_out"]

OPTION = "--model-service"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the names of the services that the tests of conformance try."""
    parser.addoption(
        OPTION,
        dest="model_services",
        action="append",
        default=[],
        metavar="MODULE:CLASS",
        help="the declaration of a model service to try; may be given several times",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Say which marks the tests have."""
    config.addinivalue_line("markers", "browser: needs Chromium")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test of conformance for each service."""
    if "model_service_name" in metafunc.fixturenames:
        names = metafunc.config.option.model_services
        metafunc.parametrize("model_service_name", names, scope="session")


@pytest.fixture(scope="session")
def conforming(
    model_service_name: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Subject]:
    """Return the process of the service that is tried, the same for all tests."""
    folder = tmp_path_factory.mktemp("conforming")
    with running(model_service_name, folder) as subject:
        yield subject


@pytest.fixture(scope="session")
def v2_python() -> Path:
    """Return the interpreter with the public clients of `tests/v2_clients/requirements.txt`.

    A project that has one gives it by a fixture of this name.
    """
    pytest.skip(f"{MISSING} v2_python: no environment with tests/v2_clients/requirements.txt")
