"""The environment as values."""

from typing import Annotated

import pytest
from pydantic import BaseModel, Field, SecretStr
from service_kit import ModelSettings, ProcessSettings, read_env


class Vault(BaseModel):
    """Settings with a secret."""

    key: Annotated[SecretStr, Field(validation_alias="VAULT_KEY", min_length=8)]


def test_empty_variable_counts_as_absent(monkeypatch):
    """`NAME=` is what Compose passes for a variable that nobody set."""
    monkeypatch.setenv("SERVICE_NAME", "a")
    monkeypatch.setenv("PORT", "80")
    monkeypatch.setenv("DRAIN_SECONDS", "")

    (settings,) = read_env(ProcessSettings)

    assert settings.drain_seconds == 2
    assert settings.port == 80


def test_secret_values_are_not_shown(monkeypatch, capsys):
    """The line about a bad environment names secrets and does not show them."""
    monkeypatch.setenv("VAULT_KEY", "hunter2")
    monkeypatch.delenv("PORT", raising=False)
    monkeypatch.setenv("SERVICE_NAME", "a")

    with pytest.raises(SystemExit) as end:
        read_env(ProcessSettings, Vault)

    line = capsys.readouterr().err
    assert end.value.code == 2
    assert "VAULT_KEY" in line
    assert "PORT is not set" in line
    assert "hunter2" not in line


class Neighbour(BaseModel):
    """Settings that name a variable of another model."""

    host: Annotated[str | None, Field(validation_alias="HOST")] = None


@pytest.mark.parametrize(
    ("given", "origins"),
    [
        ("https://a.example", ("https://a.example",)),
        ("https://a.example/, http://b:8080/", ("https://a.example", "http://b:8080")),
        ('["https://a.example/"]', ("https://a.example",)),
        ("*", ("*",)),
    ],
)
def test_origins_are_as_browsers_send_them(monkeypatch, given, origins):
    """A list in JSON or with commas between; a browser sends no slash at the end of an origin."""
    monkeypatch.setenv("SERVICE_NAME", "a")
    monkeypatch.setenv("PORT", "80")
    monkeypatch.setenv("BACKEND_CORS_ORIGINS", given)

    (settings,) = read_env(ModelSettings)

    assert settings.cors_origins == origins


@pytest.mark.parametrize(
    "given", ["https://a.example/path", "a.example", "[1]", "[", "https://a//"]
)
def test_what_is_no_origin_is_named(monkeypatch, capsys, given):
    """A value that no browser sends ends the start, in one line with the variable's name."""
    monkeypatch.setenv("SERVICE_NAME", "a")
    monkeypatch.setenv("PORT", "80")
    monkeypatch.setenv("BACKEND_CORS_ORIGINS", given)

    with pytest.raises(SystemExit):
        read_env(ModelSettings)

    assert "BACKEND_CORS_ORIGINS" in capsys.readouterr().err


@pytest.mark.parametrize(("given", "host"), [("", "0.0.0.0"), ("::1", "::1")])  # noqa: S104
def test_a_variable_has_one_value_for_all_models(monkeypatch, given, host):
    """Where it is absent, the default of the first model that names it counts for the others."""
    monkeypatch.setenv("SERVICE_NAME", "a")
    monkeypatch.setenv("PORT", "80")
    monkeypatch.setenv("HOST", given)

    settings, neighbour = read_env(ProcessSettings, Neighbour)

    assert settings.host == neighbour.host == host


@pytest.mark.parametrize("limit", ["0", "-1", "601", "nan", "inf", "soon"])
def test_a_time_limit_out_of_range_is_named(monkeypatch, capsys, limit):
    """REQUEST_TIMEOUT_SECONDS that is no limit, or no bounded one, ends the start with its name."""
    monkeypatch.setenv("SERVICE_NAME", "a")
    monkeypatch.setenv("PORT", "80")
    monkeypatch.setenv("REQUEST_TIMEOUT_SECONDS", limit)

    with pytest.raises(SystemExit):
        read_env(ModelSettings)

    assert f"REQUEST_TIMEOUT_SECONDS='{limit}'" in capsys.readouterr().err


@pytest.mark.parametrize(("given", "seconds"), [("", 30), ("0.5", 0.5), ("600", 600)])
def test_a_time_limit_in_range_is_taken(monkeypatch, given, seconds):
    """The limit is 30 s unless the environment says another."""
    monkeypatch.setenv("SERVICE_NAME", "a")
    monkeypatch.setenv("PORT", "80")
    monkeypatch.setenv("REQUEST_TIMEOUT_SECONDS", given)

    (settings,) = read_env(ModelSettings)

    assert settings.timeout_seconds == seconds


@pytest.mark.parametrize(
    ("given", "level"),
    [("info", "INFO"), ("Debug", "DEBUG"), ("WARN", "WARNING"), ("warning", "WARNING")],
)
def test_a_level_is_taken_as_other_programs_spell_it(monkeypatch, given, level):
    """sgl-project/sglang 30353: uvicorn has `info`, and Python's logging has WARN, too."""
    for name, value in {"SERVICE_NAME": "a", "PORT": "80", "LOG_LEVEL": given}.items():
        monkeypatch.setenv(name, value)

    (settings,) = read_env(ProcessSettings)

    assert settings.log_level == level
