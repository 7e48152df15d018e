"""The errors between a service and Nacos.

NacosError
├── Unreachable     no server answered before the deadline; the client goes on trying
├── Denied          a server answered, and refused the user, the password or the permission
├── Refused         a server answered, and refused the request itself
├── Conflict        compare-and-set: the document is no longer the one that was read
├── BadDocument     a configuration document was read and is not acceptable
├── BadAddress      `ADVERTISE_IP` or `HOST` is no address at which callers find the instance
├── BadTls          the TLS to instances cannot be set up as it was asked for
└── BadKey          the key of encrypted documents cannot be used; users see BadDocument
"""


class NacosError(Exception):
    """Base of every error that this package raises on purpose."""


class Unreachable(NacosError):  # noqa: N818  (named for what was proved)
    """No Nacos server answered before the deadline."""


class Denied(NacosError):  # noqa: N818  (named for what was proved)
    """Nacos refused the credentials, or the user lacks the permission."""


class Refused(NacosError):  # noqa: N818  (named for what was proved)
    """Nacos answered with an error of its own.

    Attributes:
        code: the error code of the answer (Nacos' own numbers, or an HTTP status).
    """

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class Conflict(NacosError):  # noqa: N818  (named for what was proved)
    """The document changed since it was read; read it again and decide anew."""


class BadDocument(NacosError):  # noqa: N818  (named for what was proved)
    """A configuration document was kept out; the message says which key and why.

    Attributes:
        line: of the document that is wrong, counted from 1; None if it is not one line's fault, or
            not known.
    """

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


class BadAddress(NacosError):  # noqa: N818  (named for what was proved)
    """`ADVERTISE_IP` or `HOST` is no address for callers, or the two contradict each other."""


class BadTls(NacosError):  # noqa: N818  (named for what was proved)
    """A file or a name for the TLS to instances cannot be used; the message says which and why."""


class BadKey(NacosError):  # noqa: N818  (named for what was proved)
    """The key of encrypted documents cannot be used; the message names its file and no secret."""
