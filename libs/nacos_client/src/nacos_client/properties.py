r"""The lines of Java properties, read as `java.util.Properties.load` reads them. Pure.

The rules are those of that method's documentation (Java 17): comments begin with `#` or `!`; the
key ends at the first `=`, `:` or blank; a backslash before the end of a line continues the line;
`\t`, `\n`, `\r`, `\f` and `\uXXXX` are characters, and any other escaped character is itself.
Blanks at the end of a value belong to it.
"""

import re
from collections.abc import Iterator

BLANKS = " \t\f"
_LINE_END = re.compile(r"\r\n|\r|\n")
_PAIR = re.compile(r"\A((?:\\.|[^\\=: \t\f])*)[ \t\f]*[=:]?[ \t\f]*(.*)", re.DOTALL)
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)", re.DOTALL)
_CONTROLS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}


def read_properties(text: str) -> dict[str, str]:
    r"""Read each key with its value; of a repeated key, the last value.

    Raises:
        ValueError: a `\u` is not followed by four hexadecimal digits, or such escapes make half
            of a character; the message names the line.
    """
    found: dict[str, str] = {}
    for number, line in _logical_lines(text):
        ((key, value),) = _PAIR.findall(line)
        try:
            found[_unescaped(key)] = _unescaped(value)
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from error
    return found


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield each line that is neither empty nor a comment, continued lines joined, and its number.

    The number is that of the last of the joined lines.
    """
    joined = ""
    number = 0
    for number, natural in enumerate(_LINE_END.split(text), start=1):
        line = natural.lstrip(BLANKS)
        if not joined and line.startswith(("#", "!")):
            continue
        if (len(line) - len(line.rstrip("\\"))) % 2:
            joined += line[:-1]
            continue
        if joined or line:
            yield number, joined + line
        joined = ""
    if joined:
        yield number, joined


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text
    plain = _ESCAPE.sub(lambda escape: _character(escape[1]), text)
    try:  # Java's characters are UTF-16, where one beyond U+FFFF is written as two escapes
        return plain.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    except UnicodeDecodeError as error:
        raise ValueError("a \\u escape is half of a character") from error


def _character(escaped: str) -> str:
    if escaped == "u":
        raise ValueError("\\u is not followed by four hexadecimal digits")
    if len(escaped) > 1:
        return chr(int(escaped[1:], 16))
    return _CONTROLS.get(escaped, escaped)
