"""Standard streams that never stand in the way: of any encoding, closed from the start, or a pipe whose reader has gone.

A reader who wants no more than the first line, or a terminal that has no tick, costs neither a run nor its report.
"""

from __future__ import annotations

import codecs
import io
import os
import re
import sys
from typing import Any, TextIO

_PLAIN = str.maketrans(
    {
        "✓": "v",
        "✗": "x",
        "→": "->",
        "±": "+/-",
        "≠": "!=",
        "…": "...",
        "µ": "u",
        "\N{MULTIPLICATION SIGN}": "x",
        "\N{EN DASH}": "-",
        "\N{THIN SPACE}": " ",
    }
)
_ERRORS = "dmmlab.plain"
_CONTROL = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069\\ud800-\\udfff]")
"""Characters that steer a terminal, or the direction of its text, and halves of characters; not the tab and the end of a line."""


def prepare() -> None:
    """Make this process's standard streams so, unless somebody else has put others in their place; a second call does nothing."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:  # it has the lowest free number, which no capture or report should have
        pass
    os.close(number)
    codecs.register_error(_ERRORS, _plain)
    if sys.stdout is sys.__stdout__:
        sys.stdout = _lasting(sys.stdout, 1)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _lasting(sys.stderr, 2)


def printable(text: str) -> str:
    """The text without characters that would steer a terminal: it may come from a file that somebody else wrote."""
    return _CONTROL.sub("", text)


def say(text: str, *, error: bool = False) -> None:
    """Print a line, or several, of which nothing steers the terminal; ``error`` for standard error."""
    print(printable(text), file=sys.stderr if error else sys.stdout)


def _plain(error: UnicodeError) -> tuple[str, int]:
    """What to write for characters that an encoding lacks: something like them in ASCII, or question marks."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(_PLAIN)
    return text.encode("ascii", "replace").decode("ascii"), error.end


def _lasting(stream: TextIO | None, number: int) -> TextIO:
    encoding = stream.encoding if stream is not None else "utf-8"
    buffered = io.BufferedWriter(_Lasting(number, "wb", closefd=False))
    return io.TextIOWrapper(buffered, encoding, _ERRORS, line_buffering=number == 2 or os.isatty(number))


class _Lasting(io.FileIO):
    """A descriptor that leads to nowhere once writing to it has failed, so that it fails once, and where nobody reads not at all."""

    def write(self, data: Any, /) -> int:
        """Write, as any file does."""
        try:
            return super().write(data)
        except OSError as error:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            if isinstance(error, BrokenPipeError):
                return memoryview(data).nbytes
            raise
