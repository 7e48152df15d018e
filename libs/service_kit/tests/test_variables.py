"""Settings classes, in words."""

from ipaddress import IPv4Network
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field, SecretStr
from service_kit import ModelSettings, ProcessSettings, Variable, own_variables
from service_kit.variables import unknown, variables


class Base(BaseModel):
    """Settings with every type."""

    level: Annotated[Literal["LOW", "HIGH"], Field(validation_alias="LEVEL")] = "LOW"
    """How much."""
    port: Annotated[int, Field(validation_alias="PORT", ge=1, le=65535)]
    """TCP port,
    in two lines."""
    ratio: float = Field(default=0.5, gt=0, lt=1, validation_alias="RATIO")
    key: Annotated[SecretStr | None, Field(validation_alias="KEY", min_length=16)] = None
    file: Annotated[Path | None, Field(validation_alias="FILE")] = None
    on: Annotated[bool, Field(validation_alias="ON")] = True
    nets: Annotated[tuple[IPv4Network, ...], Field(validation_alias="NETS")] = ()
    name: Annotated[str, Field(validation_alias="NAME", max_length=64)] = ""
    word: Annotated[SecretStr, Field(max_length=9)] | None = Field(
        default=None, validation_alias="WORD"
    )


class Derived(Base):
    """One of them declared anew, without a text of its own."""

    port: Annotated[int, Field(validation_alias="PORT")] = 80
    extra: Annotated[str, Field(validation_alias="EXTRA")] = "x"
    """One more."""


def test_a_field_is_told_in_words() -> None:
    """Type with its limits, default and the text below the field; a secret has no default."""
    assert variables(Base) == (
        Variable("LEVEL", "LOW or HIGH", "LOW", "How much."),
        Variable(
            "PORT", "whole number from 1 up to 65535", "must be set", "TCP port, in two lines."
        ),
        Variable("RATIO", "number above 0 below 1", "0.5", ""),
        Variable("KEY", "secret text of 16 characters or more", "not set", ""),
        Variable("FILE", "path", "not set", ""),
        Variable("ON", "true or false", "true", ""),
        Variable("NETS", "list with commas between", "not set", ""),
        Variable("NAME", "text of at most 64 characters", "not set", ""),
        Variable("WORD", "secret text of at most 9 characters", "not set", ""),
    )


def test_a_field_keeps_the_text_of_its_base() -> None:
    """A subclass that changes a default alone need not say the meaning again."""
    assert own_variables(Derived) == (
        Variable("PORT", "whole number", "80", "TCP port, in two lines."),
        Variable("EXTRA", "text", "x", "One more."),
    )


def test_a_variable_of_two_classes_is_listed_once() -> None:
    """The first class counts, whatever the others say."""
    names = [each.name for each in variables(Derived, Base)]
    assert len(names) == len(set(names)) == 10


@pytest.mark.parametrize("model", [ProcessSettings, ModelSettings])
def test_every_variable_has_a_meaning(model: type[BaseModel]) -> None:
    """Of those that each service has, none is left to guessing."""
    assert [each.name for each in variables(model) if not each.meaning] == []


KNOWN = ("NACOS_SERVER_ADDR", "NACOS_GRPC_PORT", "NACOS_USERNAME", "SERVICE_NAME", "PORT")


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"NACOS_SERVERADDR": "a:1"}, {"NACOS_SERVERADDR": "NACOS_SERVER_ADDR"}),
        ({"NACOS_USER_NAME": "a"}, {"NACOS_USER_NAME": "NACOS_USERNAME"}),
        ({"NACOS_XYZZY": "a"}, {"NACOS_XYZZY": None}),
        ({"NACOS_PORT": "8848"}, {"NACOS_PORT": "NACOS_GRPC_PORT"}),
        (dict.fromkeys(KNOWN, "a"), {}),
        ({"GATEWAY_WORKERS": "2", "SERVICE_MESH": "on", "PATH": "/bin"}, {}),
        (
            {
                "NACOS_PORT": "tcp://10.96.0.7:8848",
                "NACOS_PORT_8848_TCP": "tcp://10.96.0.7:8848",
                "NACOS_PORT_8848_TCP_ADDR": "10.96.0.7",
                "NACOS_SERVICE_HOST": "10.96.0.7",
                "NACOS_SERVICE_PORT_CLIENT_RPC": "9848",
                "NACOS_HEADLESS_SERVICE_PORT": "8848",
            },
            {},
        ),
    ],
    ids=["typo", "spelling", "nonsense", "port", "known", "of others", "of Kubernetes"],
)
def test_a_variable_that_nobody_reads_is_found(
    environ: dict[str, str], expected: dict[str, str | None]
) -> None:
    """With the nearest name; not those of other programs, nor the ones Kubernetes gives a pod."""
    assert dict(unknown(environ, KNOWN)) == expected
