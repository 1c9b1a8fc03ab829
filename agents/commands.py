"""What whoever runs an agent may tell it while it runs: one line each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from ipaddress import IPv6Address

from agents.actions import Action
from agents.lma import Lma


class CommandError(ValueError):
    """A line that is no command for this agent; the message says what is expected."""


Command = Callable[[float], list[Action]]
"""What a command does to its agent, at a time in s since 1970."""

_COMMANDS: Mapping[str, Callable[[Lma, str], Command]] = {
    "revoke": lambda lma, mn_id: partial(lma.revoke, mn_id),
    "revoke-all": lambda lma, mag: partial(lma.revoke_all, _address(mag)),
}
"""Of an LMA: to end every session of a mobile node, by its MN-ID, or of a MAG, by its address (RFC 5846, 8.1)."""


def parse(line: str, agent: object) -> Command:
    """What a line tells ``agent`` to do; CommandError where it tells it nothing."""
    word, _, operand = line.strip().partition(" ")
    if not isinstance(agent, Lma) or word not in _COMMANDS or not operand:
        raise CommandError(f"expected 'revoke MN-ID' or 'revoke-all ADDRESS', told to an LMA, not {line.strip()[:80]!r}")
    return _COMMANDS[word](agent, operand)


def _address(text: str) -> IPv6Address:
    try:
        return IPv6Address(text)
    except ValueError:
        raise CommandError(f"expected the IPv6 address of a MAG, not {text[:80]!r}") from None
