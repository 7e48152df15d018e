"""The model services of the checkout as processes, which a page of another origin may call."""

from collections.abc import Iterator

import httpx
import pytest
from service_conformance.subject import Subject, running
from stack.services import ServedModel, found

PAGE = "https://cars.example"
SECONDS = 60.0


@pytest.fixture(scope="session", params=found(), ids=lambda one: one.package)
def model(request: pytest.FixtureRequest) -> ServedModel:
    """Each model service."""
    served: ServedModel = request.param
    return served


@pytest.fixture(scope="session")
def subject(model: ServedModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    """Its process, with the page's address as a person copies it: with a slash at the end."""
    folder = tmp_path_factory.mktemp(model.package)
    with running(model.model, folder, {"BACKEND_CORS_ORIGINS": f"{PAGE}/"}) as one:
        yield one


@pytest.fixture
def client(subject: Subject) -> Iterator[httpx.Client]:
    """A client of the service."""
    with httpx.Client(base_url=subject.url, timeout=SECONDS) as client:
        yield client


@pytest.fixture
def page() -> str:
    """The origin of the page that may call, as browsers send it."""
    return PAGE
