"""Access keys from a file: renewed, broken, expired, and never told."""

import json
import logging
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from nacos_client import Denied
from nacos_client._sdk.access_key import MAX_BYTES, AccessKey, KeyFile, read_key, regional, sign

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
SECRET, TOKEN = "secret-hidden", "token-hidden"


def written(path: Path, **changes: object) -> None:
    """Write a key as the metadata service of a cloud host sends it, with more than is needed."""
    document = {
        "Code": "Success",
        "AccessKeyId": "STS.first",
        "AccessKeySecret": SECRET,
        "SecurityToken": TOKEN,
        "LastUpdated": "2026-11-27T11:00:00Z",
        "Expiration": "2026-11-27T13:00:00Z",
        **changes,
    }
    path.write_text(json.dumps(document))


def broken(path: Path) -> None:
    """Write the beginning of a key, as a program does that is interrupted."""
    path.write_text(f'{{"AccessKeySecret": "{SECRET}')


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of a file that does not exist yet."""
    return tmp_path / "key.json"


def test_a_key_of_sts_is_read(path: Path) -> None:
    """Its token and its end too; a permanent key has neither. `repr` shows no secret."""
    written(path)
    key = read_key(path, NOW)
    assert (key.id, key.secret.get_secret_value()) == ("STS.first", SECRET)
    assert key.token is not None
    assert key.token.get_secret_value() == TOKEN
    assert key.expiration == NOW + timedelta(hours=1)
    assert not [secret for secret in (SECRET, TOKEN) if secret in f"{key!r} {key}"]

    path.write_text(json.dumps({"AccessKeyId": "permanent", "AccessKeySecret": SECRET}))
    key = read_key(path, NOW)
    assert (key.id, key.token, key.expiration) == ("permanent", None, None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Invalid JSON"),
        (f'{{"AccessKeySecret": "{SECRET}", "SecurityToken": "{TOKEN}', "Invalid JSON"),
        (f'["{SECRET}"]', "should be an object"),
        ({"AccessKeyId": SECRET + "\n"}, "AccessKeyId .*pattern"),
        ({"AccessKeySecret": [SECRET]}, "AccessKeySecret .*valid string"),
        ({"AccessKeySecret": ""}, "AccessKeySecret .*at least 1"),
        ({"SecurityToken": f"{TOKEN}\r\nHost: evil"}, "SecurityToken .*no header can hold"),
        ({"SecurityToken": "\u2026"}, "SecurityToken .*no header can hold"),
        ({"Expiration": f"{SECRET}"}, "Expiration .*valid datetime"),
        ({"Expiration": "2026-11-27T13:00:00"}, "Expiration .*timezone"),
        ({"Expiration": "2026-11-27T12:00:00Z"}, "expired at 2026-11-27 12:00:00.*renew the file"),
        ({"Code": SECRET * MAX_BYTES}, f"more than {MAX_BYTES} bytes"),
    ],
)
def test_a_text_that_is_no_key_is_refused_without_its_secrets(
    path: Path, text: str | Mapping[str, object], reason: str
) -> None:
    """The error says what is wrong, and neither it nor its traceback shows a secret."""
    if isinstance(text, str):
        path.write_text(text)
    else:
        written(path, **text)
    with pytest.raises(Denied, match=rf"(?s)NACOS_CREDENTIALS_FILE={path} .*{reason}") as refused:
        read_key(path, NOW)
    told = "".join(traceback.format_exception(refused.value)) + repr(refused.value)
    assert SECRET not in told
    assert TOKEN not in told


@pytest.mark.parametrize("is_directory", [False, True], ids=["absent", "a directory"])
def test_a_file_that_cannot_be_read_is_refused(path: Path, is_directory: bool) -> None:
    """The error names the file and the reason."""
    if is_directory:
        path.mkdir()
    with pytest.raises(Denied, match=f"NACOS_CREDENTIALS_FILE={path} cannot be read: "):
        read_key(path, NOW)


async def test_a_renewed_key_is_used_once_the_server_doubts_the_old_one(path: Path) -> None:
    """What the server refused may have been replaced in the file a moment ago."""
    file = KeyFile(path)
    written(path)
    assert (await file.key(NOW)).id == "STS.first"
    written(path, AccessKeyId="STS.second")
    file.doubt()
    assert (await file.key(NOW)).id == "STS.second"
    assert file.trouble is None


async def test_a_key_is_renewed_at_its_end_without_a_doubt(path: Path) -> None:
    """A key that has expired is not sent: the file is read, however short ago it was."""
    file = KeyFile(path)
    written(path)
    assert (await file.key(NOW)).id == "STS.first"
    written(path, AccessKeyId="STS.second", Expiration="2026-11-27T15:00:00Z")
    assert (await file.key(NOW + timedelta(hours=1))).id == "STS.second"


async def test_a_broken_file_leaves_the_good_key_in_use_until_its_end(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The trouble is told, once in the log; then the key expires, and a good file ends all that."""
    caplog.set_level(logging.DEBUG)
    file = KeyFile(path)
    written(path)
    await file.key(NOW)
    broken(path)
    for _ in range(3):
        file.doubt()
        assert (await file.key(NOW)).id == "STS.first"
    assert "is no access key" in str(file.trouble)

    with pytest.raises(Denied, match="is no access key"):
        await file.key(NOW + timedelta(hours=1))
    warnings = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert len(warnings) == 1

    written(path, Expiration="2026-11-27T15:00:00Z")
    assert (await file.key(NOW + timedelta(hours=1))).id == "STS.first"
    assert file.trouble is None
    assert not [secret for secret in (SECRET, TOKEN) if secret in caplog.text]


async def test_a_file_may_come_later_than_its_reader(path: Path) -> None:
    """The program that renews it may start at the same time."""
    file = KeyFile(path)
    with pytest.raises(Denied, match="cannot be read"):
        await file.key(NOW)
    written(path)
    file.doubt()
    assert (await file.key(NOW)).id == "STS.first"


def test_a_regional_secret_is_of_one_day() -> None:
    """The day is that of UTC at the time of the request."""
    key = AccessKey(id="a", secret="b")  # noqa: S106
    midnight = int(datetime(2026, 11, 28, tzinfo=UTC).timestamp() * 1000)
    for millis, day in ((midnight - 1, "20261127"), (midnight, "20261128")):
        derived = AccessKey(id="a", secret=regional("b", "cn-hangzhou", day))
        plain = sign(derived, region=None, naming="x", config=None, millis=millis)
        v4 = sign(key, region="cn-hangzhou", naming="x", config=None, millis=millis)
        assert v4 == {**plain, "signatureVersion": "v4"}
