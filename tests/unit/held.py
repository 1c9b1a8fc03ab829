"""What an agent holds in memory, table by table, without knowing which tables it has."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from enum import Enum
from typing import Any

from agents.buffering import Buffers
from agents.config import AgentConfig, Settings
from agents.ordering import RateLimit, Recent, TokenBuckets
from agents.prefixes import PrefixTable
from agents.profiles import Profile
from agents.schemes import Scheme
from agents.timers import Timers

_TOLD = (AgentConfig, Settings, Profile, Scheme, Enum)
_CONTAINERS = (dict, list, set, deque)
_NOT_STATE = ("_heap", "_profiles", "_buckets", "_by_length")
_SLACK = 64
"""Entries that a heap of timers may keep beyond twice those that are set."""


def _reach(thing: Any, path: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """Whatever an object of the agents' own has, all the way down, each once; but not what it was told at its start."""
    if id(thing) in seen or isinstance(thing, _TOLD):
        return
    seen.add(id(thing))
    yield path, thing
    if type(thing).__module__.startswith("agents."):
        slots = [name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())]
        for name in (*getattr(thing, "__dict__", ()), *slots):
            yield from _reach(getattr(thing, name), f"{path}.{name}", seen)


def _size(thing: Any) -> int:
    """How many values a container holds, containers among them and what they hold."""
    values = thing.values() if isinstance(thing, dict) else thing
    return sum(1 + _size(value) if isinstance(value, _CONTAINERS) else 1 for value in values)


def tables(agent: object, now: float) -> dict[str, int]:
    """The size of every container that ``agent`` reaches, by where it is; what holds no longer ``now`` does not count."""
    found = {}
    for path, thing in _reach(agent, type(agent).__name__, set()):
        if isinstance(thing, _CONTAINERS):
            found[path] = _size(thing)
        elif isinstance(thing, Timers):
            assert len(thing._heap) <= 2 * len(thing._set) + _SLACK, f"cancelled timers pile up in {path}"
        elif isinstance(thing, PrefixTable):
            found[f"{path} of all lengths"] = sum(1 for _ in thing.values())
        elif isinstance(thing, Recent | RateLimit):
            thing._forget(now)
        elif isinstance(thing, TokenBuckets):
            found[f"{path} of links"] = sum(isinstance(key, str) for key in thing._buckets)
    return {path: size for path, size in found.items() if path.rpartition(".")[2] not in _NOT_STATE}


def queues(agent: object) -> list[list[tuple[float, bytes]]]:
    """The packets that ``agent`` holds, one list for each home address, each packet with the time until which it may be held."""
    found = [thing for _, thing in _reach(agent, "", set()) if isinstance(thing, Buffers)]
    return [list(queue.packets) for held in found for queue in held._queues.values()]
