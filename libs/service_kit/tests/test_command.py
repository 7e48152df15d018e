"""The command line of a service, as a process."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from stack.ports import free_port

PROGRAM = Path(__file__).with_name("commanded.py")


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the program of `commanded.py`, which ends by itself."""
    env = {"PATH": os.environ["PATH"], "SERVICE_NAME": "a", "PORT": "80", **environment}
    command = [sys.executable, PROGRAM, *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


def test_help_serves_nothing_and_lists_every_variable() -> None:
    """Exit code 0; each variable with type, default and meaning, even where the values are bad."""
    done = run("--help", PORT="http")

    assert (done.returncode, done.stderr) == (0, "")
    assert "  DRAIN_SECONDS  (number from 0 up to 600; default 2.0)\n      Seconds" in done.stdout
    assert "  SERVICE_NAME  (text; must be set)\n" in done.stdout
    assert "  REGISTRY_WORD  (text; not set)\n      Word that the registry takes.\n" in done.stdout


@pytest.mark.parametrize("argument", ["--chek", "--ch", "serve", "8001"])
def test_an_unknown_argument_ends_the_process(argument: str) -> None:
    """Exit code 2 and a line that names it, not a service that was not wanted."""
    done = run(argument)

    assert (done.returncode, done.stdout) == (2, "")
    assert argument in done.stderr


def test_a_check_that_passes() -> None:
    """Exit code 0; the line of the registry, and nothing else."""
    done = run("--check", REGISTRY_WORD="sesame")

    assert (done.returncode, done.stdout, done.stderr) == (0, "sesame opens for a\n", "")


def test_a_check_that_fails_tells_what_is_not_read() -> None:
    """Exit code 5, the registry's line, and the variable that was meant."""
    done = run("--check", NACOS_WORT="sesame")

    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr.splitlines() == [
        "closed",
        "NACOS_WORT is not read by this process; did you mean NACOS_WORD?",
    ]


def test_a_check_of_a_bad_environment() -> None:
    """Exit code 2 before the registry is asked, one line for all variables."""
    done = run("--check", PORT="http", DRAIN_SECONDS="-1")

    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert all(name in line for name in ("PORT", "DRAIN_SECONDS"))


def test_a_service_warns_of_what_it_does_not_read() -> None:
    """The log has one event with the variable and the nearest name, and the service serves."""
    env = {
        "PATH": os.environ["PATH"],
        "SERVICE_NAME": "a",
        "HOST": "127.0.0.1",
        "PORT": str(free_port()),
        "DRAIN_SECONDS": "0",
        "NACOS_WROD": "sesame",
    }
    events: list[dict[str, object]] = []
    command = [sys.executable, PROGRAM]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE) as service:
        for line in service.stdout or ():
            events.append(json.loads(line))
            if events[-1]["event"] == "listening":
                service.send_signal(signal.SIGTERM)
    (warning,) = (each for each in events if each["level"] == "warning")

    assert service.returncode == 0
    assert (warning["event"], warning["variable"], warning["nearest"]) == (
        "unknown_variable",
        "NACOS_WROD",
        "NACOS_WORD",
    )
