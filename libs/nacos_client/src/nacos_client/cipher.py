"""Encrypted documents: those whose data ids begin with `cipher-aes-`, as for Nacos' AES plugin.

Each document has a key of its own, which Nacos keeps beside it. The plugin, as it is published,
leaves this key as it is, so that it protects nothing from who can read the document. Here the key
is encrypted with the key of a file, in the same way as the document is; then only who has the file
can read either. A document without a key of its own is encrypted with the file's.
"""

from dataclasses import replace
from pathlib import Path

from nacos_client.cipher_key import VARIABLE, CipherKey, read_key, require_cryptography
from nacos_client.errors import BadDocument, BadKey
from nacos_client.ports import Document

PREFIX, AES = "cipher", "aes"

FileStamp = tuple[int, int, int]
"""Inode, size and time of change of a file."""


def is_encrypted(data_id: str) -> bool:
    """Return whether the text of a document is encrypted, by its data id."""
    return _algorithm(data_id) is not None


def _algorithm(data_id: str) -> str | None:
    """Return the second word of a data id, if the first is `cipher`, as Nacos' servers read it."""
    prefix, dash, rest = data_id.partition("-")
    return rest.partition("-")[0] if prefix == PREFIX and dash and rest else None


def _refuse_other_ciphers(data_id: str) -> None:
    algorithm = _algorithm(data_id)
    if algorithm != AES:
        raise BadKey(f"{algorithm!r} is not understood, only {PREFIX}-{AES}-")


class DocumentCipher:
    """Encrypts and decrypts the documents of one client; it may wait for a disk.

    The file is read anew each time, so that it can be replaced.
    """

    def __init__(self, key_file: Path | None) -> None:
        self._key_file = key_file

    def stamp(self) -> FileStamp | None:
        """Tell the present file from the one that takes its place; None while there is none."""
        try:
            found = self._key_file.stat() if self._key_file else None
        except OSError:
            return None
        return (found.st_ino, found.st_size, found.st_mtime_ns) if found else None

    def decrypted(self, data_id: str, document: Document) -> Document:
        """Return the document with its text in the clear; one that is not encrypted as it is.

        Raises:
            BadDocument: it cannot be decrypted; the message names the file, and nothing secret.
        """
        if not is_encrypted(data_id):
            return document
        try:
            _refuse_other_ciphers(data_id)
            key, whose = self._key_of(document.data_key)
            try:
                return replace(document, content=key.decrypt(document.content))
            except ValueError:
                raise BadKey(f"it is not encrypted with {whose}, or is damaged") from None
        except BadKey as error:
            raise BadDocument(f"{data_id} cannot be decrypted: {error}") from error

    def encrypted(self, data_id: str, content: str) -> tuple[str, str]:
        """Return text and key of a document, as Nacos shall keep them; "" is no key.

        Raises:
            BadDocument: it has to be encrypted, and cannot be.
        """
        if not is_encrypted(data_id):
            return content, ""
        try:
            _refuse_other_ciphers(data_id)
            of_file = self._of_file()
        except BadKey as error:
            raise BadDocument(f"{data_id} cannot be encrypted: {error}") from error
        key = CipherKey.new()
        return key.encrypt(content), of_file.encrypt(key.for_plugin)

    def _key_of(self, data_key: str) -> tuple[CipherKey, str]:
        """Return the key of a document, and in words which one it is."""
        if not data_key:
            return self._of_file(), f"the key in {VARIABLE}={self._key_file}"
        try:
            in_the_clear = CipherKey.of_plugin(data_key)
        except ValueError:
            pass
        else:
            require_cryptography()
            return in_the_clear, "the key that Nacos keeps beside it"
        try:
            return CipherKey.of_plugin(self._of_file().decrypt(data_key)), "its own key"
        except ValueError:
            raise BadKey(
                f"{VARIABLE}={self._key_file} holds another key than the document's own key is"
                " encrypted with"
            ) from None

    def _of_file(self) -> CipherKey:
        if self._key_file is None:
            raise BadKey(f"set {VARIABLE} to a file with the key")
        return read_key(self._key_file)
