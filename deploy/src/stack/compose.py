"""The model services in Compose: a block of each Compose file is written from their tables."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from stack import ROOT
from stack.services import ServedModel

BEGIN = "  # Each model service, written from the tables of services/*/pyproject.toml:\n"
END = "  # End of the model services.\n"
BLOCKS: Mapping[Path, str] = {
    ROOT / "deploy" / "docker-compose.yml": """\
  {package}:
    <<: *service
    build: {{ <<: *build, args: {{ <<: *build-args, SERVICE: {package}, PORT: {port} }} }}
    image: ${{IMAGE_REGISTRY:-modelserve}}/{package}:${{{variable}_VERSION:-latest}}
    environment: *model-environment
    deploy: {{ replicas: 2 }}
    mem_limit: 768m

""",
    ROOT / "deploy" / "nacos-cluster.yml": """\
  {package}:
    environment: *members

""",
    ROOT / "deploy" / "own-nacos.yml": """\
  {package}:
    environment: {{ <<: *own-nacos, PORT: "${{{variable}_PORT:-{port}}}" }}
    ports: ["${{{variable}_PORT:-{port}}}:${{{variable}_PORT:-{port}}}"]
    deploy: {{ replicas: 1 }}

""",
}
"""The block of one service in each file."""


def derived(file: Path, services: Iterable[ServedModel]) -> str:
    """Return the text of a Compose file with the blocks of the given services."""
    head, _, rest = file.read_text().partition(BEGIN)
    _, _, tail = rest.partition(END)
    blocks = [
        BLOCKS[file].format(package=each.package, variable=each.package.upper(), port=each.ports[0])
        for each in services
    ]
    return head + BEGIN + "".join(blocks) + END + tail


def files(services: Iterable[ServedModel]) -> dict[Path, str]:
    """Return the text of each Compose file with the blocks of the given services."""
    listed = tuple(services)
    return {file: derived(file, listed) for file in BLOCKS}
