"""Parts made one by one: what one of them fails at is named, and costs none of the others."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from experiments.declare.declarations import DeclarationError

T = TypeVar("T")
Otherwise = TypeVar("Otherwise")


class Attempts:
    """Makes parts, and keeps which could not be made.

    ``failures`` maps each of those, by what it is called, to the reason in one line.
    """

    def __init__(self) -> None:
        self.failures: dict[str, str] = {}

    def make(self, what: str, part: Callable[[], T], otherwise: Otherwise) -> T | Otherwise:
        """What ``part`` returns, or ``otherwise`` where it raises an error."""
        try:
            return part()
        except Exception as error:
            self.failures[what] = reason(error)
            return otherwise

    def lines(self) -> tuple[str, ...]:
        """What could not be made, a line each, with its reason."""
        return tuple(f"“{what}” could not be made: {why}" for what, why in self.failures.items())


_ROOT = Path(__file__).resolve().parents[2]


def reason(error: Exception) -> str:
    """An error in one line: its kind, what it says, and the place in the project's source that it came from; of a declaration that cannot
    be read only what it says, for that is whole."""
    said = " ".join(str(error).split())
    if isinstance(error, DeclarationError):
        return said
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(_ROOT) and "site-packages" not in frame.filename]
    where = f" ({Path(ours[-1].filename).name}, line {ours[-1].lineno})" if ours else ""
    return f"{type(error).__name__}{': ' * bool(said)}{said}{where}"
