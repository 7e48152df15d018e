"""The keys of encrypted documents, as Nacos' AES plugin has them.

A key is a text of hexadecimal digits. Its bytes are AES's key, and its first sixteen characters are
the initial vector of CBC; the text is padded as PKCS #7 says, the result is in hexadecimal again
(github.com/nacos-group/nacos-plugin: AesEncryptionPluginService).
"""

import base64
import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from nacos_client.errors import BadKey

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers import Cipher

VARIABLE = "NACOS_CIPHER_KEY_FILE"
MAX_FILE_BYTES = 1024
NEW_KEY_BYTES = 16
"""Bytes of a new document's key, as many as the plugin's own keys have."""
BLOCK_BITS = 128
BLOCK_BYTES = BLOCK_BITS // 8
_DIGITS = re.compile(r"[0-9A-Fa-f]{32}|[0-9A-Fa-f]{48}|[0-9A-Fa-f]{64}")


@dataclass(frozen=True, slots=True)
class CipherKey:
    """An AES key of 16, 24 or 32 bytes.

    Attributes:
        digits: of the key, in hexadecimal.

    Raises:
        ValueError: these are no digits of such a key. The message has none of them.
    """

    digits: str = field(repr=False)

    def __post_init__(self) -> None:
        if not _DIGITS.fullmatch(self.digits):
            raise ValueError("is not 32, 48 or 64 hexadecimal digits")

    @classmethod
    def new(cls) -> Self:
        """Make a key for one document."""
        return cls(secrets.token_hex(NEW_KEY_BYTES))

    @classmethod
    def of_plugin(cls, spelled: str) -> Self:
        """Read the Base64 of the digits, the plugin's form of a key.

        Raises:
            ValueError: this is no such form.
        """
        return cls(base64.b64decode(spelled, validate=True).decode("ascii"))

    @property
    def for_plugin(self) -> str:
        """The key in the plugin's form."""
        return base64.b64encode(self.digits.encode()).decode()

    def encrypt(self, text: str) -> str:
        """Return the text encrypted, in hexadecimal."""
        from cryptography.hazmat.primitives.padding import PKCS7  # noqa: PLC0415  (an extra)

        padder = PKCS7(BLOCK_BITS).padder()
        padded = padder.update(text.encode()) + padder.finalize()
        encryptor = _cipher(self.digits).encryptor()
        return (encryptor.update(padded) + encryptor.finalize()).hex()

    def decrypt(self, text: str) -> str:
        """Return what was encrypted with this key.

        Raises:
            ValueError: nothing was; the message tells neither text.
        """
        from cryptography.hazmat.primitives.padding import PKCS7  # noqa: PLC0415  (an extra)

        decryptor = _cipher(self.digits).decryptor()
        unpadder = PKCS7(BLOCK_BITS).unpadder()
        try:
            padded = decryptor.update(bytes.fromhex(text)) + decryptor.finalize()
            return (unpadder.update(padded) + unpadder.finalize()).decode()
        except ValueError as error:
            raise ValueError(f"is no text of this key: {type(error).__name__}") from None


def _cipher(digits: str) -> "Cipher[Any]":
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes  # noqa: PLC0415

    vector = digits[:BLOCK_BYTES].encode()
    return Cipher(algorithms.AES(bytes.fromhex(digits)), modes.CBC(vector))


def require_cryptography() -> None:
    """Prove that documents can be decrypted here.

    Raises:
        BadKey: the package `cryptography`, which is an extra of this one, is not installed.
    """
    try:
        import cryptography  # noqa: F401, PLC0415  (asked for only where something is encrypted)
    except ImportError as error:
        raise BadKey(
            "the package cryptography is not installed: install modelserve-nacos-client[cipher]"
        ) from error


def read_key(path: Path) -> CipherKey:
    """Read the key in a file: its digits, and blanks around them.

    Raises:
        BadKey: the file cannot be read, or holds something else.
    """
    require_cryptography()
    named = f"{VARIABLE}={path}"
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE_BYTES)
    except OSError as error:
        raise BadKey(f"{named} cannot be read: {error.strerror or error}") from error
    try:
        return CipherKey(text.decode("ascii").strip())
    except ValueError:
        raise BadKey(f"{named} holds no key: write 32, 48 or 64 hexadecimal digits") from None
