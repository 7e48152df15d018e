"""Encrypted documents: which are readable with which key, and what is told of the others."""

import asyncio
import base64
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal
from uuid import UUID

import pytest
from hypothesis import assume, given, strategies as st
from nacos_client import BadDocument, Document, NacosSettings
from nacos_client.cipher import DocumentCipher, is_encrypted
from nacos_client.cipher_key import CipherKey
from nacos_client.testing import FakeNacos
from pydantic import BaseModel, Field, field_validator
from pydantic_core import PydanticCustomError

DATA_ID = "cipher-aes-models"
PASSWORD = "tr0ub4dor"  # noqa: S105  (what must not be told)
KEY, OTHER = "0123456789abcdef" * 2, "fedcba9876543210" * 2

keys = (
    st.sampled_from([16, 24, 32])
    .flatmap(lambda n: st.binary(min_size=n, max_size=n))
    .map(lambda key: CipherKey(key.hex()))
)
texts = st.text(st.characters(exclude_categories=["Cs"]))


class Card(BaseModel):
    """A way to pay."""

    kind: Literal["card"]


class Bill(BaseModel):
    """Another way to pay."""

    kind: Literal["bill"]


class Login(BaseModel):
    """A document with a secret."""

    password: str = "none"  # noqa: S105
    attempts: int = Field(default=3, ge=1)
    ident: UUID | None = None
    pays: Annotated[Card | Bill, Field(discriminator="kind")] | None = None
    pin: str = ""

    @field_validator("password")
    @classmethod
    def _long(cls, value: str) -> str:
        if len(value) < 4:
            raise ValueError(f"{value!r} is too short")
        return value

    @field_validator("pin")
    @classmethod
    def _digits(cls, value: str) -> str:
        if not value.isdecimal():
            raise PydanticCustomError("no_pin", "{pin} is no PIN", {"pin": value})
        return value


async def eventually(condition: Callable[[], object]) -> None:
    """Wait until the condition holds, at most eight seconds."""
    async with asyncio.timeout(8):
        while not condition():  # noqa: ASYNC110  (the event is in a thread)
            await asyncio.sleep(0.02)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """A file with a key."""
    path = tmp_path / "key"
    path.write_text(KEY)
    return path


@pytest.fixture
def settings(key_file: Path, tmp_path: Path) -> NacosSettings:
    """Settings of a client with that file."""
    return NacosSettings(cipher_key_file=key_file, cache_dir=tmp_path / "cache")


@given(keys, texts)
def test_what_was_encrypted_is_decrypted(key: CipherKey, text: str) -> None:
    """Every text, with a key of each length; the cipher text is hexadecimal."""
    secret = key.encrypt(text)
    assert int(secret, 16) >= 0
    assert key.decrypt(secret) == text


@given(keys, keys, texts)
def test_another_key_decrypts_nothing(key: CipherKey, other: CipherKey, text: str) -> None:
    """Its attempt fails or gives another text, and the error repeats neither."""
    assume(key != other)
    secret = key.encrypt(text)
    told = ""
    try:
        found = other.decrypt(secret)
    except ValueError as error:
        found, told = "", f"{error}"
    assert text == "" or found != text
    assert secret not in told


@given(keys)
def test_the_plugins_form_of_a_key_is_read(key: CipherKey) -> None:
    """It is the Base64 of the digits."""
    assert base64.b64decode(key.for_plugin).decode() == key.digits
    assert CipherKey.of_plugin(key.for_plugin) == key
    assert key.digits not in repr(key)


@pytest.mark.parametrize(
    ("data_id", "expected"),
    [
        ("cipher-aes-models", True),
        ("cipher-aes", True),
        ("cipher-kms-models", True),
        ("cipher-", False),
        ("cipher", False),
        ("models-cipher-aes-", False),
        ("cipher_aes-models", False),
    ],
)
def test_a_data_id_tells_that_a_document_is_encrypted(data_id: str, expected: bool) -> None:
    """By its first word, as in Nacos' own EncryptionHandler."""
    assert is_encrypted(data_id) is expected


def test_each_publication_has_a_key_of_its_own(key_file: Path) -> None:
    """The same text is stored differently each time, and read the same."""
    cipher = DocumentCipher(key_file)
    stored = [cipher.encrypted(DATA_ID, "a: 1") for _ in range(2)]
    assert stored[0][0] != stored[1][0]
    for content, data_key in stored:
        assert KEY not in data_key
        document = Document(content, "md5", data_key=data_key)
        assert cipher.decrypted(DATA_ID, document).content == "a: 1"


def test_a_document_without_a_key_of_its_own_has_the_files(key_file: Path) -> None:
    """So a text that any program encrypted with the key can be published by hand."""
    content = CipherKey(KEY).encrypt("a: 1")
    found = DocumentCipher(key_file).decrypted(DATA_ID, Document(content, "md5"))
    assert (found.content, found.md5) == ("a: 1", "md5")


WRAPPED = CipherKey(KEY).encrypt(CipherKey(OTHER).for_plugin)
SECRET = CipherKey(OTHER).encrypt(f"password: {PASSWORD}")


def stored(content: str, data_key: str = "") -> Document:
    """Return a document as Nacos has it."""
    return Document(content, "md5", data_key=data_key)


THE_FILE = "NACOS_CIPHER_KEY_FILE=.*/key"


@pytest.mark.parametrize(
    ("document", "in_file", "reason"),
    [
        (stored("a: 1"), KEY, f"not encrypted with the key in {THE_FILE},"),
        (stored(SECRET), KEY, f"not encrypted with the key in {THE_FILE},"),
        (stored(SECRET, WRAPPED), OTHER, f"{THE_FILE} holds another key"),
        (stored(SECRET, "unknown"), KEY, f"{THE_FILE} holds another key"),
        (stored(SECRET[2:], WRAPPED), KEY, "not encrypted with its own key, or is damaged"),
        (stored(SECRET, CipherKey(KEY).for_plugin), KEY, "the key that Nacos keeps beside it"),
        (stored(SECRET, WRAPPED), "", "holds no key: write 32, 48 or 64 hexadecimal digits"),
        (stored(SECRET, WRAPPED), None, f"{THE_FILE} cannot be read: No such"),
    ],
)
def test_what_cannot_be_decrypted_is_refused(
    key_file: Path, document: Document, in_file: str | None, reason: str
) -> None:
    """The error names the document and the file, and neither a key nor a text."""
    key_file.unlink() if in_file is None else key_file.write_text(in_file)
    with pytest.raises(BadDocument, match=rf"{DATA_ID} cannot be decrypted: .*{reason}") as caught:
        DocumentCipher(key_file).decrypted(DATA_ID, document)
    told = str(caught.value)
    assert not [each for each in (KEY, OTHER, PASSWORD, SECRET, WRAPPED) if each in told]
    assert "data_key" not in repr(document)


def test_another_algorithm_is_refused(key_file: Path) -> None:
    """It is named, and so is the one that is understood."""
    cipher = DocumentCipher(key_file)
    told = "cipher-kms-models cannot be {}crypted: 'kms' is not understood, only cipher-aes-"
    with pytest.raises(BadDocument, match=told.format("de")):
        cipher.decrypted("cipher-kms-models", stored(SECRET, WRAPPED))
    with pytest.raises(BadDocument, match=told.format("en")):
        cipher.encrypted("cipher-kms-models", "a: 1")


def test_without_a_file_only_a_key_in_the_clear_serves() -> None:
    """A document of Nacos' own plugin needs no file; all others say which variable to set."""
    cipher = DocumentCipher(None)
    plain = Document(SECRET, "md5", data_key=CipherKey(OTHER).for_plugin)
    assert cipher.decrypted(DATA_ID, plain).content == f"password: {PASSWORD}"
    assert cipher.encrypted("models", "a: 1") == ("a: 1", "")
    for tried in (
        lambda: cipher.decrypted(DATA_ID, Document(SECRET, "md5", data_key=WRAPPED)),
        lambda: cipher.encrypted(DATA_ID, "a: 1"),
    ):
        with pytest.raises(BadDocument, match="crypted: set NACOS_CIPHER_KEY_FILE to a file"):
            tried()


@pytest.mark.anyio
async def test_a_client_reads_what_it_wrote_and_nobody_else_does(settings: NacosSettings) -> None:
    """In Nacos there is no text; the MD5 of what is there is the one to compare and set by."""
    fake = FakeNacos()
    async with fake.client(settings) as nacos:
        await nacos.publish(DATA_ID, f"password: {PASSWORD}")
        stored, read = fake.stored(DATA_ID), await nacos.fetch(DATA_ID)
        assert stored is not None
        assert read is not None
        assert PASSWORD not in stored.content
        assert (read.content, read.md5) == (f"password: {PASSWORD}", stored.md5)
        await nacos.publish(DATA_ID, "password: other", cas_md5=read.md5)


@pytest.mark.anyio
async def test_another_key_in_the_file_is_taken_up(
    settings: NacosSettings, key_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A document that cannot be decrypted is kept out, and in force soon after its key is there."""
    caplog.set_level(logging.DEBUG)
    fake = FakeNacos()
    content, data_key = DocumentCipher(key_file).encrypted(DATA_ID, "password: first")
    fake.publish(DATA_ID, content, data_key=data_key)
    async with fake.client(settings) as nacos:
        watched = nacos.watch(DATA_ID, Login)
        await watched.start()
        assert watched.value.password == "first"  # noqa: S105

        new = key_file.with_name("new")
        new.write_text(OTHER)
        content, data_key = DocumentCipher(new).encrypted(DATA_ID, f"password: {PASSWORD}")
        fake.publish(DATA_ID, content, data_key=data_key)
        await eventually(lambda: watched.plain_state["rejected"])
        reason = watched.plain_state["rejected"]
        assert reason.startswith(f"{DATA_ID} cannot be decrypted: ")
        assert f"NACOS_CIPHER_KEY_FILE={key_file}" in reason
        assert watched.value.password == "first"  # noqa: S105

        new.replace(key_file)
        await eventually(lambda: watched.value.password == PASSWORD)
        assert watched.plain_state["rejected"] is None
    assert "kept out" in caplog.text
    assert not [each for each in (KEY, OTHER, PASSWORD) if each in caplog.text]


@pytest.mark.anyio
async def test_the_last_good_document_on_disk_stays_encrypted(settings: NacosSettings) -> None:
    """A process without Nacos has the value of the last one, from a file without the text."""
    fake = FakeNacos()
    async with fake.client(settings) as nacos:
        await nacos.publish(DATA_ID, f"password: {PASSWORD}")
        await nacos.watch(DATA_ID, Login).start()
    assert settings.cache_dir is not None
    files = [path.read_text() for path in settings.cache_dir.rglob("document-*.json")]
    assert len(files) == 1
    assert PASSWORD not in files[0]

    fake.stop()
    async with fake.client(settings) as nacos:
        watched = nacos.watch(DATA_ID, Login)
        await watched.start(wait=0.1)
        assert (watched.value.password, watched.state.source) == (PASSWORD, "last_good")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"password: [{PASSWORD}", f"{DATA_ID} is no yaml that can be read"),
        (f"{PASSWORD}", f"{DATA_ID} is no yaml that can be read"),
        (f"password: {PASSWORD}\nattempts: 0", "attempts: Input should be greater than"),
        ("password: abc", "password: is refused"),
        (f"ident: abc{PASSWORD}", "ident: is refused"),
        (f"pays: {{kind: {PASSWORD}}}", "pays: is refused"),
        (f"pin: {PASSWORD}", "pin: is refused"),
    ],
)
async def test_a_bad_encrypted_document_is_explained_without_its_text(
    settings: NacosSettings, text: str, reason: str
) -> None:
    """The key is named as in every document; what a parser or a validator says may quote."""
    fake = FakeNacos()
    async with fake.client(settings) as nacos:
        watched = nacos.watch(DATA_ID, Login)
        await nacos.publish(DATA_ID, text)
        await watched.start()
        assert watched.state.rejection is not None
        assert watched.state.rejection.reason.startswith(reason)
        assert "abc" not in watched.state.rejection.reason
        assert PASSWORD not in watched.state.rejection.reason


@pytest.mark.anyio
@pytest.mark.parametrize("kind", [RuntimeError, BadDocument])
async def test_what_a_builder_says_of_a_secret_is_not_told(
    settings: NacosSettings, kind: type[Exception]
) -> None:
    """Only the kind of its error is, for its words may quote the document."""

    def build(login: Login) -> str:
        raise kind(f"cannot log in with {login.password}")

    fake = FakeNacos()
    async with fake.client(settings) as nacos:
        await nacos.publish(DATA_ID, f"password: {PASSWORD}")
        watched = nacos.watch(DATA_ID, Login, build=build, absent="last_good")
        with pytest.raises(BadDocument) as caught:
            await watched.start()
    assert str(caught.value) == f"cannot be put in force: {kind.__name__}"


@pytest.mark.anyio
async def test_what_a_subscriber_says_of_a_secret_is_not_logged(
    settings: NacosSettings, caplog: pytest.LogCaptureFixture
) -> None:
    """Its error's kind is; of a document in the clear the log has the whole error."""

    def refuse(login: Login) -> None:
        raise RuntimeError(f"cannot log in with {login.password}")

    fake = FakeNacos()
    async with fake.client(settings) as nacos:
        for data_id, told in ((DATA_ID, False), ("models", True)):
            await nacos.publish(data_id, f"password: {PASSWORD}")
            watched = nacos.watch(data_id, Login)
            watched.subscribe(refuse)
            await watched.start()
            assert f"a subscriber of {data_id} raised RuntimeError" in caplog.text
            assert (PASSWORD in caplog.text) is told


def test_without_the_extra_a_start_says_what_to_install(key_file: Path, tmp_path: Path) -> None:
    """A key file is set, and nothing can use it: that is found at the start."""
    (tmp_path / "cryptography.py").write_text("raise ImportError('not here')\n")
    source = (
        "from nacos_client import NacosSettings; NacosSettings.from_env(__import__('os').environ)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", source],
        env={"PYTHONPATH": str(tmp_path), "NACOS_CIPHER_KEY_FILE": str(key_file)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    assert "install modelserve-nacos-client[cipher]" in ran.stderr
