"""Encrypted documents are those of Java: each side reads what the other wrote."""

import base64
import subprocess
from pathlib import Path

import pytest
from nacos_client import NacosSettings
from nacos_client.testing import FakeNacos

pytestmark = [pytest.mark.nacos, pytest.mark.anyio]

FILE_KEY = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"
DOCUMENT_KEY = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
TEXT = "password: grüße-你好\n"
DATA_ID = "cipher-aes-models"


def in_java(*arguments: str) -> list[str]:
    """Run `Encrypt.java`; returns the lines that it printed."""
    source = Path(__file__).with_name("Encrypt.java")
    argv = ["java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", str(source), *arguments]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.splitlines()


@pytest.fixture
def settings(tmp_path: Path) -> NacosSettings:
    """Settings of a client that has the file with the key."""
    key_file = tmp_path / "key"
    key_file.write_text(f"{FILE_KEY}\n")
    return NacosSettings(cipher_key_file=key_file, cache_dir=tmp_path)


async def test_what_java_encrypted_is_read(settings: NacosSettings) -> None:
    """With its own key encrypted by the file's, and with its own key in the clear (the plugin)."""
    fake = FakeNacos()
    text = base64.b64encode(TEXT.encode()).decode()
    document, encrypted_key = in_java("encrypt", FILE_KEY, DOCUMENT_KEY, text)
    in_the_clear = base64.b64encode(DOCUMENT_KEY.encode()).decode()
    for key in (encrypted_key, in_the_clear):
        fake.publish(DATA_ID, document, data_key=key)
        async with fake.client(settings) as nacos:
            found = await nacos.fetch(DATA_ID)
        assert found is not None
        assert found.content == TEXT


async def test_java_reads_what_is_encrypted_here(settings: NacosSettings) -> None:
    """Text and key of a document that this client published."""
    fake = FakeNacos()
    async with fake.client(settings) as nacos:
        await nacos.publish(DATA_ID, TEXT)
    stored = fake.stored(DATA_ID)
    assert stored is not None

    (text,) = in_java("decrypt", FILE_KEY, stored.data_key, stored.content)
    assert base64.b64decode(text).decode() == TEXT
