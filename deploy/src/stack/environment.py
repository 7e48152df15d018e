"""`python -m stack.environment`: writes the page of every variable, docs/environment.md, to output.

The variables of the services and of `nacos-call` come from their settings, which also make
`--help`; those of the stack's own commands stand here.
"""

import sys
from collections.abc import Iterable

from classifier.settings import ClassifierSettings
from gateway.settings import GatewaySettings
from kmeans.settings import KMeansSettings
from nacos_client import NacosSettings
from nacos_client.call import CallSettings
from pydantic import BaseModel
from service_kit import ModelSettings, ProcessSettings, Variable, own_variables

SETTINGS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("Every service", ProcessSettings),
    ("Every model service", ModelSettings),
    ("The classifier", ClassifierSettings),
    ("The clusterer", KMeansSettings),
    ("The gateway", GatewaySettings),
    ("Nacos: every service, `nacos-call`, and any program with `NacosSettings`", NacosSettings),
    ("`nacos-call`", CallSettings),
)
"""The settings classes, each with its heading; a class adds to those that it derives from."""
STACK = (
    Variable("NACOS", "text", "not set", "`host:port` of a Nacos of yours, for `make up`."),
    Variable("CLUSTER", "1 or 3", "1", "Nacos servers that `make up` starts, 3 of one cluster."),
    Variable("MODELS", "0, 1 or 2", "2", "Instances of each model that `make up` starts."),
    Variable("OBSERVE", "0 or 1", "0", "1 starts Prometheus too, and Grafana if it can be had."),
    Variable("NACOS_VERSION", "3.1 or 2.3.2", "3.1", "Release of the Nacos that is started."),
    Variable("STACK_OFFSET", "whole number", "0", "Amount by which every port is moved up."),
    Variable("PYTHON", "path", "python3", "Python that `make setup` takes."),
)
COMPOSE = (
    Variable("DATA_PORT", "whole number", "8000", "Port of this host for callers of the gateway."),
    Variable("ADMIN_PORT", "whole number", "8010", "Port of this host's loopback for operators."),
    Variable("CONSOLE_PORT", "whole number", "8080", "Port of loopback for the Nacos console."),
    Variable("PROMETHEUS_PORT", "whole number", "9090", "Port of loopback for Prometheus."),
    Variable("GRAFANA_PORT", "whole number", "3000", "Port of loopback for Grafana."),
    Variable(
        "<PACKAGE>_PORT",
        "whole number",
        "its port",
        "Port of the model service of that package, such as KMEANS_PORT, with your Nacos.",
    ),
    Variable(
        "<PACKAGE>_VERSION", "text", "latest", "Tag of its image: `make up` sets the version."
    ),
    Variable("IMAGE_REGISTRY", "host/path", "modelserve", "What precedes the names of our images."),
    Variable("GATEWAY_VERSION", "text", "latest", "Tag of the image: `make up` sets the version."),
    Variable("GATEWAY_COMPILED", "0 or 1", "1", "0 leaves the gateway's data path interpreted."),
    Variable(
        "PYTHON_IMAGE", "text", "python:3.11-slim-bookworm", "Image that all of ours build on."
    ),
    Variable("NACOS_IMAGE", "text", "nacos/nacos-server:v3.1.0", "Image of the stack's Nacos."),
    Variable(
        "PROMETHEUS_IMAGE", "text", "prom/prometheus:v2.53.4", "Image of the profile `observe`."
    ),
    Variable(
        "GRAFANA_IMAGE", "text", "grafana/grafana-oss:11.6.0", "Image of the profile `observe`."
    ),
    Variable("NACOS_DATA", "text", "nacos-data", "Volume of that Nacos' data."),
    Variable("NACOS_AUTH_TOKEN", "secret text", "must be set", "Key of that Nacos' tokens."),
    Variable(
        "NACOS_AUTH_IDENTITY_VALUE",
        "secret text",
        "must be set",
        "Identity of that Nacos' servers.",
    ),
    Variable("NACOS_PASSWORD", "secret text", "must be set", "Password of its administrator."),
    Variable("MODELS_PASSWORD", "secret text", "must be set", "Password of the services there."),
    Variable("CA_BUNDLE", "path", "not set", "PEM authorities that the images' builds must trust."),
)
HEAD = """\
# Environment

Every variable that a process of ours reads, with its type, its default and what it means. The page
is made by `make environment-page` from the texts below the fields of the settings.
`python -m classifier --help` prints the same for one service; `python -m classifier --check` tries
the values and the login to Nacos, and serves nothing. [Operations](operations.md) says what to set
and why.

An empty variable counts as absent. A bad value ends the start with code 2; one line names every bad
variable. A variable that begins with `NACOS_` or `GATEWAY_` and that the process does not read is a
warning in its log (`unknown_variable`), with the nearest name that it does read.
"""


def page() -> str:
    """Return the text of docs/environment.md."""
    of_processes = {each.name for each in own_variables(ProcessSettings)}
    parts = [HEAD]
    for heading, model in SETTINGS:
        anew = issubclass(model, ProcessSettings)
        own = [each for each in own_variables(model) if anew or each.name not in of_processes]
        parts.append(_table(heading, own))
    parts.append(_table("`make`", STACK))
    parts.append(_table("Compose; `make up` writes the secrets into `deploy/.env`", COMPOSE))
    return "\n".join(parts)


def _table(heading: str, rows: Iterable[Variable]) -> str:
    lines = [f"## {heading}", "", "| variable | type | default | meaning |", "|---|---|---|---|"]
    lines += [
        f"| `{each.name}` | {each.kind} | {_default(each)} | {each.meaning} |" for each in rows
    ]
    return "\n".join(lines) + "\n"


def _default(one: Variable) -> str:
    return one.default if one.default in {"not set", "must be set"} else f"`{one.default}`"


if __name__ == "__main__":
    sys.stdout.write(page())
