"""`nacos-call` reads and writes documents: `--get`, `--publish`, `--history`."""

import io
import sys
import tempfile
from pathlib import Path

import pytest
from nacos_client.call import parser, run
from nacos_client.testing import FakeNacos


@pytest.fixture
def fake() -> FakeNacos:
    """A server in memory."""
    return FakeNacos()


def command(fake: FakeNacos, *argv: str, **more: str) -> tuple[int, str, str]:
    """Run `nacos-call` against the server in memory."""
    out, err = io.StringIO(), io.StringIO()
    with tempfile.TemporaryDirectory() as cache:
        environ = {"NACOS_CACHE_DIR": cache, "NACOS_GROUP": "PAY", **more}
        status = run(parser().parse_args(argv), environ, out, err, connect=fake.connect)
    return status, out.getvalue(), err.getvalue()


def test_what_is_published_is_what_is_got(fake: FakeNacos, tmp_path: Path) -> None:
    """The text of the file, to the letter, in the group of the environment."""
    file = tmp_path / "limits.yaml"
    file.write_text("per_minute: 60  # each\n\n")
    assert command(fake, "--publish", "limits", str(file)) == (0, "", "")
    assert command(fake, "--get", "limits") == (0, "per_minute: 60  # each\n\n", "")


def test_the_document_may_come_from_input(
    fake: FakeNacos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`-` reads standard input, as `-d @-` does."""
    (tmp_path / "input").write_text("per_minute: 61")
    with (tmp_path / "input").open() as given:
        monkeypatch.setattr(sys, "stdin", given)
        assert command(fake, "--publish", "limits", "-")[0] == 0
    assert command(fake, "--get", "limits") == (0, "per_minute: 61", "")


def test_a_document_can_be_taken_back(fake: FakeNacos, tmp_path: Path) -> None:
    """The history names each change, and gives the text that was there before."""
    for text in ("per_minute: 60", "per_minute: 0"):
        (tmp_path / "file").write_text(text)
        command(fake, "--publish", "limits", str(tmp_path / "file"))

    status, listed, _ = command(fake, "--history", "limits")
    updated, inserted = (line.split() for line in listed.splitlines())
    assert (status, updated[3], inserted[3]) == (0, "updated", "inserted")
    assert command(fake, "--history", "limits", updated[0]) == (0, "per_minute: 60", "")


def test_an_encrypted_document_is_plain_for_who_has_the_key(
    fake: FakeNacos, tmp_path: Path
) -> None:
    """In the document and in its history; Nacos has neither in plain text."""
    key, file = tmp_path / "key", tmp_path / "file"
    key.write_text("0123456789abcdef0123456789abcdef")
    for text in ("password: first", "password: second"):
        file.write_text(text)
        command(fake, "--publish", "cipher-aes-limits", str(file), NACOS_CIPHER_KEY_FILE=str(key))
    updated = command(fake, "--history", "cipher-aes-limits")[1].split()[0]
    entry = ("--history", "cipher-aes-limits", updated)

    assert command(fake, *entry, NACOS_CIPHER_KEY_FILE=str(key))[:2] == (0, "password: first")
    status, out, err = command(fake, *entry)
    assert (status, out, "cannot be decrypted" in err) == (3, "", True)


@pytest.mark.parametrize(
    ("argv", "status", "said"),
    [
        (("--get", "nothing"), 1, ""),
        (("--history", "nothing"), 1, ""),
        (("--history", "nothing", "7"), 3, "no such entry"),
        (("--history", "nothing", "x"), 2, "is not ID, nor ID ENTRY"),
        (("--history", "nothing", "7", "8"), 2, "is not ID, nor ID ENTRY"),
        (("--publish", "limits", "/no/such/file"), 2, "No such file"),
        (("--get", "limits", "models/"), 2, "'models/' names a service beside a document"),
        ((), 2, "names no service"),
    ],
)
def test_what_is_wrong_is_said(
    fake: FakeNacos, argv: tuple[str, ...], status: int, said: str
) -> None:
    """One line on standard error, and an exit status to tell the kinds apart."""
    found, out, err = command(fake, *argv)
    assert (found, out) == (status, "")
    assert said in err
    assert err.count("\n") <= 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\xff\xfe", "no text in UTF-8"),
        (b"a" * 1_000_001, "longer than"),
    ],
)
def test_what_is_no_document_is_not_published(
    fake: FakeNacos, tmp_path: Path, content: bytes, said: str
) -> None:
    """No bytes, bytes that are no text, or too many, never reach Nacos."""
    (tmp_path / "file").write_bytes(content)
    status, _, err = command(fake, "--publish", "limits", str(tmp_path / "file"))
    assert (status, said in err) == (2, True)
    assert command(fake, "--get", "limits")[0] == 1


def test_a_server_that_is_down_is_told(fake: FakeNacos) -> None:
    """Exit status 3, as for a call."""
    fake.stop()
    status, _, err = command(fake, "--get", "limits")
    assert (status, "down" in err) == (3, True)
