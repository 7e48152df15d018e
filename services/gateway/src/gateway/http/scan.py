"""The scan of an ordinary head: whole in one packet, and without anything that asks for judgement.

`scan.c` is the scan. Its extension module, built with the compiled form, takes the place of this
module, whose class scans nothing. What is not scanned is read by llhttp from its first byte, so a
scan changes what a head costs and never what it means: what it accepts, llhttp reads alike.
"""

RequestScan = tuple[bytes, bytes, bytes, dict[bytes, bytes], int, int]
"""Method, target, lines that pass unchanged, handled fields, bytes of the head and of the body."""
ResponseScan = tuple[int, bytes, dict[bytes, bytes], int, int]
"""Status, lines that pass unchanged, handled fields, bytes of the head and of the body."""


SCANS: bool = False
"""Heads are scanned: true of the extension module alone. Not final, or mypyc would write it in."""


class HeadScan:
    """A reader of ordinary heads of HTTP/1.1, whose connections go on after their messages.

    Each line is `Name: value` with one space and a value in ASCII; a handled field comes once; the
    body's length is told by `Content-Length`, or by its absence in a request.
    """

    __slots__ = ()

    def __init__(
        self, handled: frozenset[bytes], refused: frozenset[bytes], *, most_fields: int,
        most_bytes: int,
    ) -> None:  # fmt: skip
        """Take the bounds of a head.

        Args:
            handled: lower-case names of the fields that do not simply pass; at most 64.
            refused: lower-case names of the fields with which no head is ordinary.
            most_fields: fields of a head.
            most_bytes: bytes of a head.
        """

    def request(self, data: bytes) -> RequestScan | None:  # noqa: ARG002 - the extension module's
        """Scan the head with which `data` begins; None: llhttp is to read `data`."""
        return None

    def response(self, data: bytes) -> ResponseScan | None:  # noqa: ARG002 - the extension module's
        """Scan the head with which `data` begins; None: llhttp is to read `data`.

        `data` with bytes behind the end of the response is left to llhttp.
        """
        return None
