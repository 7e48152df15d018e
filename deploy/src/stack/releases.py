"""The releases of Nacos that can be started here, and what starting each of them takes."""

import os
from dataclasses import dataclass
from pathlib import Path

from stack import ROOT

FOLDER = ROOT / "deploy" / "nacos"
NEWEST = "3.1"


class UnknownReleaseError(RuntimeError):
    """NACOS_VERSION names a release that cannot be started here."""


@dataclass(frozen=True, slots=True)
class Release:
    """A release of the server.

    Attributes:
        version: as NACOS_VERSION names it.
        folder: holds the `pom.xml` of its jars and its `application.properties`.
        main: the arguments of `java` that name the program to run.
        readiness: the path of the HTTP API that answers 200 once the server is ready.
        image: the official image.
    """

    version: str
    folder: Path
    main: tuple[str, ...]
    readiness: str
    image: str

    @property
    def has_console_port(self) -> bool:
        """Return whether the console listens on a port of its own, as since 3.0."""
        return self.version == NEWEST

    def home(self, folder: Path) -> Path:
        """Return the folder of its data in `folder`: no release can use another's."""
        return folder / ("nacos" if self.version == NEWEST else f"nacos-{self.version}")


RELEASES = {
    release.version: release
    for release in (
        Release(
            NEWEST,
            FOLDER,
            (str(FOLDER / "Launcher.java"),),
            "/v3/admin/core/state/readiness",
            "nacos/nacos-server:v3.1.0",
        ),
        Release(
            "2.3.2",
            FOLDER / "2.3.2",
            # Its libraries look into classes of Java that Java 17 closes.
            (
                *(
                    f"--add-opens=java.base/{package}=ALL-UNNAMED"
                    for package in ("java.lang", "java.lang.reflect", "java.util")
                ),
                "--add-opens=java.base/java.util.concurrent=ALL-UNNAMED",
                "com.alibaba.nacos.Nacos",
            ),
            "/v1/console/health/readiness",
            "nacos/nacos-server:v2.3.2",
        ),
    )
}


def chosen() -> Release:
    """Return the release that the variable NACOS_VERSION names; without it the newest.

    Raises:
        UnknownReleaseError: there is no such release here.
    """
    version = os.environ.get("NACOS_VERSION") or NEWEST
    if version not in RELEASES:
        raise UnknownReleaseError(
            f"NACOS_VERSION={version} cannot be started here: set it to {' or '.join(RELEASES)}"
        )
    return RELEASES[version]
