"""What becomes of a test whose program is not installed."""

import pytest


@pytest.mark.parametrize(
    ("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)]
)
def test_missing_program_is_told(program, monkeypatch, ci, outcome):
    """In CI its tests fail, elsewhere they are skipped; either way the line says how to install."""
    monkeypatch.setenv("CI", ci)

    with pytest.raises(outcome, match=r"no-such-program.*apt-get install no-such-package"):
        program("no-such-program", "no-such-package")
