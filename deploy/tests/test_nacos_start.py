"""The image's start of Nacos: the official image's variables become arguments of Java."""

import os
import subprocess
from pathlib import Path

import pytest
from stack import ROOT

START = ROOT / "deploy" / "nacos" / "start.sh"
SECRETS = {
    "NACOS_AUTH_TOKEN": "hidden-token",
    "NACOS_AUTH_IDENTITY_KEY": "stack",
    "NACOS_AUTH_IDENTITY_VALUE": "hidden-identity",
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The folder of a Nacos whose `java` prints its arguments, one a line."""
    program = tmp_path / "bin" / "java"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    program.chmod(0o755)
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "hessian-4.0.63.jar").touch()
    return tmp_path


def start(home: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the start in a folder, with these variables."""
    path = f"{home / 'bin'}:{os.environ['PATH']}"
    return subprocess.run(
        ["sh", START],
        env={"PATH": path, "BASE_DIR": str(home), **SECRETS, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_server_alone_has_no_members(home: Path) -> None:
    """`MODE=standalone` makes one server; memory is what JVM_XMS and JVM_XMX say."""
    said = start(home, MODE="standalone", JVM_XMX="1g", MEMBER_LIST="nacos:8848").stdout.split()

    assert {"-Dnacos.standalone=true", "-Xms256m", "-Xmx1g"} <= {*said}
    assert not [each for each in said if "member" in each]
    assert said[-2:] == ["launcher:lib/hessian-4.0.63.jar:lib/*", "Launcher"]


@pytest.mark.parametrize(
    "variables",
    [
        {"MEMBER_LIST": "a.nacos:8848,b.nacos:8848"},
        {"NACOS_SERVERS": "a.nacos:8848 b.nacos:8848"},
    ],
)
def test_a_member_knows_the_others(home: Path, variables: dict[str, str]) -> None:
    """The list of members comes in either variable; a member is named by host or by address."""
    embedded = {"EMBEDDED_STORAGE": "embedded", **variables}
    by_address = start(home, NACOS_SERVER_IP="a.nacos", **embedded).stdout.split()
    by_host = start(home, PREFER_HOST_MODE="hostname", MODE="cluster", **embedded).stdout.split()
    listed = {"-Dnacos.member.list=a.nacos:8848,b.nacos:8848", "-DembeddedStorage=true"}

    assert listed | {"-Dnacos.server.ip=a.nacos"} <= {*by_address}
    assert listed | {"-Dnacos.preferHostnameOverIp=true"} <= {*by_host}


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"MODE": "cluster"}, "set MEMBER_LIST"),
        ({"MODE": "twins"}, "MODE=twins is neither standalone nor cluster"),
        ({"MODE": "standalone", "NACOS_AUTH_TOKEN": ""}, "NACOS_AUTH_TOKEN: set it"),
    ],
)
def test_a_bad_environment_ends_the_start(
    home: Path, variables: dict[str, str], reason: str
) -> None:
    """A member without a list, an unknown mode and a missing secret are named; nothing starts."""
    done = start(home, **variables)

    assert (done.returncode, done.stdout) == (2, "")
    assert reason in done.stderr
    assert "hidden" not in done.stderr


def test_no_secret_is_on_the_command_line(home: Path) -> None:
    """The secrets stay in the environment, which other users of the host cannot read."""
    assert "hidden" not in start(home, MODE="standalone").stdout
