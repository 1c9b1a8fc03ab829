"""Settings by dotted name and with units: which exist, and applying them to a domain, a scenario and the agents."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from ipaddress import IPv6Address
from typing import Any, get_type_hints

from agents.authentication import key_octets
from agents.config import Settings
from experiments.scenario import Scenario
from topologies.domain import Domain
from topologies.settings import LINK_SETTINGS, apply_link_setting
from topologies.units import UnitError, parse_time

_GROUPS = ("binding", "query", "buffer", "update", "handover", "lr", "heartbeat", "revocation", "authentication")
_FIRST_FREE_SPI = 256


class SettingError(ValueError):
    """A setting is unknown or its value does not fit; the message is one line that says what was expected."""


def _dotted(field: str) -> str:
    group, _, rest = field.partition("_")
    return f"{group}.{rest}" if group in _GROUPS else field


def _integer(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise UnitError(f"expected a whole number, not {text!r}")
    return int(text)


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise UnitError(f"expected a number above 0, not {text!r}")
    return value


def _key(text: str) -> str:
    try:
        if text:
            key_octets(text)
    except ValueError as error:
        raise UnitError(f"{error}, not {text!r}") from None
    return text


def _spi(text: str) -> int:
    spi = _integer(text)
    if not _FIRST_FREE_SPI <= spi < 1 << 32:
        raise UnitError(f"expected a number from {_FIRST_FREE_SPI} to {(1 << 32) - 1}, not {text!r}")
    return spi


_OF_FIELDS: Mapping[str, Callable[[str], Any]] = {"query_rate": _number, "authentication_key": _key, "authentication_spi": _spi}


def _choice(kind: type[StrEnum], text: str) -> StrEnum:
    if text not in list(kind):
        raise UnitError(f"expected {' or '.join(kind)}, not {text!r}")
    return kind(text)


_SWITCH = {"true": True, "on": True, "1": True, "false": False, "off": False, "0": False}


def _boolean(text: str) -> bool:
    if text.lower() not in _SWITCH:
        raise UnitError(f"expected on or off, not {text!r}")
    return _SWITCH[text.lower()]


def _link_local(text: str) -> IPv6Address:
    try:
        address = IPv6Address(text)
    except ValueError:
        address = IPv6Address("::1")
    if not (address.is_link_local or address.is_unspecified):
        raise UnitError(f"expected a link-local address or ::, not {text!r}")
    return address


def _link_layer(text: str) -> str:
    if re.fullmatch(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", text.lower()) is None:
        raise UnitError(f"expected a link-layer address such as 00:00:5e:00:52:13, not {text!r}")
    return text.lower()


_PARSERS: Mapping[type, Callable[[str], Any]] = {
    bool: _boolean,
    int: _integer,
    float: parse_time,
    IPv6Address: _link_local,
    str: _link_layer,
}


def _parser(kind: Any, field: str) -> Callable[[str], Any]:
    if field in _OF_FIELDS:
        return _OF_FIELDS[field]
    if kind in _PARSERS:
        return _PARSERS[kind]
    if issubclass(kind, StrEnum):
        return lambda text: _choice(kind, text)
    raise TypeError(f"no way to read a setting of type {kind}")


_HINTS = get_type_hints(Settings)
AGENT_SETTINGS: Mapping[str, str] = {_dotted(f.name): f.name for f in fields(Settings)}


def _all_flows(scenario: Scenario, **change: Any) -> Scenario:
    return replace(scenario, flows=tuple(replace(flow, **change) for flow in scenario.flows))


_SCENARIO: Mapping[str, Callable[[Scenario, str], Scenario]] = {
    "flow.rate": lambda scenario, text: _all_flows(scenario, rate=_number(text)),
    "flow.size": lambda scenario, text: _all_flows(scenario, size=max(10, _integer(text))),
    "move.gap": lambda scenario, text: replace(scenario, moves=tuple(replace(m, l2_gap=parse_time(text)) for m in scenario.moves)),
}

KNOWN: tuple[str, ...] = (*LINK_SETTINGS, *_SCENARIO, *AGENT_SETTINGS)


@dataclass(frozen=True, slots=True)
class Assignment:
    """One ``name=value`` as a user gives it."""

    name: str
    value: str


def parse(text: str) -> Assignment:
    """``name=value``; SettingError where it is not that, or where nothing has that name."""
    name, separator, value = text.partition("=")
    if not separator or not value:
        raise SettingError(f"expected name=value, such as access.delay=3ms, not {text!r}")
    if name not in KNOWN:
        near = difflib.get_close_matches(name, KNOWN, 1)
        hint = f"did you mean {near[0]}?" if near else "`dmmlab list settings` shows them all"
        raise SettingError(f"no setting is called {name!r}; {hint}")
    return Assignment(name, value)


def apply(assignments: Iterable[Assignment], domain: Domain, scenario: Scenario) -> tuple[Domain, Scenario, dict[str, str]]:
    """The domain and the scenario with the settings applied, and the agents' settings by dotted name (checked, unconverted)."""
    agents: dict[str, str] = {}
    for assignment in assignments:
        try:
            if assignment.name in AGENT_SETTINGS:
                agent_settings({assignment.name: assignment.value})
                agents[assignment.name] = assignment.value
            elif assignment.name in _SCENARIO:
                scenario = _SCENARIO[assignment.name](scenario, assignment.value)
            else:
                domain = apply_link_setting(domain, assignment.name, assignment.value)
        except UnitError as error:
            raise SettingError(f"{assignment.name}: {error}") from None
    return domain, scenario, agents


def agent_settings(values: Mapping[str, str]) -> Settings:
    """The agents' settings, those in ``values`` (by dotted name) changed; UnitError or KeyError for bad ones."""
    changes = {AGENT_SETTINGS[name]: _parser(_HINTS[AGENT_SETTINGS[name]], AGENT_SETTINGS[name])(text) for name, text in values.items()}
    return replace(Settings(), **changes)


def describe() -> list[str]:
    """One line for each setting: its name, and its default where it has one."""
    defaults = Settings()
    agents = [f"{dotted:22} default {getattr(defaults, field) or 'none'}" for dotted, field in AGENT_SETTINGS.items()]
    return [*LINK_SETTINGS, *_SCENARIO, *agents]
