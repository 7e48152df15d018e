"""The exit codes of a service's process, other than 0 and those of signals."""

from enum import IntEnum


class ExitCode(IntEnum):
    """The reason for which a process could not serve."""

    BAD_ENVIRONMENT = 2
    """A variable of the environment is missing or wrong; one line on stderr names all of them."""
    CANNOT_LISTEN = 3
    """The address is in use, or does not belong to this host."""
    UNUSABLE_MODEL = 4
    """The model is missing, tampered with, or does not give its published answers here."""
    NO_REGISTRY = 5
    """The registry is not there, or refuses this process: the answer to `--check` alone, since a
    service that serves goes on trying."""
    NOT_STARTED = 6
    """The application's own lifespan failed at its start."""
