"""The environment as values."""

from typing import Annotated

import pytest
from pydantic import BaseModel, Field, SecretStr
from service_kit import ProcessSettings, read_env


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
