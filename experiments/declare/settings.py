"""Settings by dotted name and with units: what each means and may be, and applying them to a domain, a scenario and the agents.

``python -m experiments.declare.settings`` writes docs/settings.md.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, fields, replace
from enum import StrEnum
from ipaddress import IPv6Address
from typing import Any, get_type_hints

from agents.authentication import key_octets
from agents.config import Settings
from engines.base import REPOSITORY
from experiments.declare import keys
from experiments.declare.scenario import Flow, Move, Scenario
from experiments.declare.traffic import HEADER
from topologies.domain import Domain
from topologies.presets import PRESETS
from topologies.settings import LINK_SETTINGS, TIME, Kind, Setting, apply_link_setting, links_of
from topologies.units import UnitError

PAGE = REPOSITORY / "docs" / "settings.md"
LARGEST_PAYLOAD = 0xFFFF - 8
"""bytes: what an IPv6 packet without a jumbo payload option holds behind a UDP header; the hosts send it in fragments."""

_GROUPS = ("binding", "query", "buffer", "update", "handover", "lr", "heartbeat", "revocation", "authentication")
_ORDERED = (
    ("binding_timeout", "binding_timeout_max"),
    ("revocation_timeout", "revocation_timeout_max"),
    ("query_margin", "query_lifetime"),
)
"""Pairs of the agents' settings of which the first may not be more than the second."""


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
        if text and not keys.is_fingerprint(text):
            key_octets(text)
    except ValueError as error:
        raise UnitError(f"{error}, not {text!r}") from None
    return text


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


def _choice(kind: type[StrEnum]) -> Kind:
    def read(text: str) -> StrEnum:
        if text not in list(kind):
            raise UnitError(f"expected {' or '.join(kind)}, not {text!r}")
        return kind(text)

    return Kind(" or ".join(kind), "", read)


def _whole(unit: str) -> Kind:
    return Kind("a whole number", unit, _integer)


def _decimal(unit: str) -> Kind:
    return Kind("a number", unit, _number, lambda value: f"{value:.9g}")


_KINDS: Mapping[type, Kind] = {
    bool: Kind("on or off", "", _boolean, lambda value: "on" if value else "off"),
    float: TIME,
    IPv6Address: Kind("a link-local address or ::", "", _link_local),
    str: Kind("a link-layer address", "", _link_layer),
}
_KEY = Kind("32 hexadecimal digits, or @FILE with a file that holds them", "", _key, lambda value: value or "none")


def _kind(field: str, hint: Any, unit: str) -> Kind:
    if field == "authentication_key":
        return _KEY
    if hint is int:
        return _whole(unit)
    if hint is float and unit:
        return _decimal(unit)
    return _KINDS[hint] if hint in _KINDS else _choice(hint)


_HINTS = get_type_hints(Settings)
_FIELDS: Mapping[str, str] = {_dotted(field.name): field.name for field in fields(Settings)}
AGENT_SETTINGS: Mapping[str, Setting] = {
    _dotted(field.name): Setting(
        field.metadata["meaning"],
        _kind(field.name, _HINTS[field.name], field.metadata["unit"]),
        *(field.metadata["limits"] or ()),
    )
    for field in fields(Settings)
}


@dataclass(frozen=True, slots=True)
class _OfScenario:
    """A setting that changes a field of every flow, or of every move, of a scenario."""

    setting: Setting
    of: type[Flow] | type[Move]
    field: str

    def apply(self, scenario: Scenario, text: str) -> Scenario:
        """The scenario with the setting changed; UnitError where ``text`` does not fit."""
        change = {self.field: self.setting.read(text)}
        if self.of is Flow:
            return replace(scenario, flows=tuple(replace(flow, **change) for flow in scenario.flows))
        return replace(scenario, moves=tuple(replace(move, **change) for move in scenario.moves))

    @property
    def default(self) -> str:
        """What an experiment has that declares nothing else."""
        (usual,) = (field.default for field in fields(self.of) if field.name == self.field)
        assert usual is not MISSING
        return f"the experiment's, usually {self.setting.kind.show(usual)}"


_SCENARIO: Mapping[str, _OfScenario] = {
    "flow.rate": _OfScenario(Setting("packets that each flow sends", _decimal("packets/s"), 0.01, 10_000.0), Flow, "rate"),
    "flow.size": _OfScenario(
        Setting("UDP payload of a packet, its number included", _whole("bytes"), HEADER.size, LARGEST_PAYLOAD), Flow, "size"
    ),
    "move.gap": _OfScenario(
        Setting(
            "how long a node that moves has no link (RFC 5213's timestamps tell two updates apart that are so far from each other)",
            TIME,
            0.001,
            3600.0,
        ),
        Move,
        "l2_gap",
    ),
}

KNOWN: Mapping[str, Setting] = {**LINK_SETTINGS, **{name: row.setting for name, row in _SCENARIO.items()}, **AGENT_SETTINGS}


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
                agents[assignment.name] = _told(assignment)
            elif assignment.name in _SCENARIO:
                scenario = _SCENARIO[assignment.name].apply(scenario, assignment.value)
            else:
                domain = apply_link_setting(domain, assignment.name, assignment.value)
        except UnitError as error:
            raise SettingError(f"{assignment.name}: {error}") from None
    return domain, scenario, agents


def _told(assignment: Assignment) -> str:
    """What agents are told of a setting, checked; UnitError where it does not fit."""
    value = keys.taken(assignment.value) if assignment.name == keys.SETTING else assignment.value
    AGENT_SETTINGS[assignment.name].read(value)
    return value


def key_of(texts: Iterable[str]) -> str:
    """The key that ``name=value`` settings give, the last of several, or ""; SettingError where one is not the key or does not fit."""
    key = ""
    for assignment in map(parse, texts):
        if assignment.name != keys.SETTING:
            raise SettingError(f"expected no other setting than {keys.SETTING}, not {assignment.name}: the others are recorded")
        try:
            key = _told(assignment)
        except UnitError as error:
            raise SettingError(f"{assignment.name}: {error}") from None
    return key


def agent_settings(values: Mapping[str, str]) -> Settings:
    """The agents' settings, those in ``values`` (by dotted name) changed; UnitError or KeyError for bad ones."""
    return replace(Settings(), **{_FIELDS[name]: AGENT_SETTINGS[name].read(text) for name, text in values.items()})


def check(values: Mapping[str, str]) -> None:
    """SettingError where the agents' settings in ``values``, each of which can work, do not work with each other."""
    settings = agent_settings(values)
    for low, high in _ORDERED:
        least, most = (TIME.show(getattr(settings, field)) for field in (low, high))
        if getattr(settings, low) > getattr(settings, high):
            raise SettingError(f"{_dotted(low)}={least} is more than {_dotted(high)}={most}; change one of them")


# Listing them


@dataclass(frozen=True, slots=True)
class Row:
    """What a user is told of a setting."""

    name: str
    meaning: str
    unit: str
    default: str
    range: str


def rows() -> dict[str, tuple[Row, ...]]:
    """Every setting, by what it belongs to."""
    usual = Settings()
    agents = ((name, setting, setting.kind.show(getattr(usual, _FIELDS[name]))) for name, setting in AGENT_SETTINGS.items())
    return {
        "Links": tuple(_row(name, setting, _of_presets(name, setting)) for name, setting in LINK_SETTINGS.items()),
        "Scenario": tuple(_row(name, row.setting, row.default) for name, row in _SCENARIO.items()),
        "Agents": tuple(_row(name, setting, default) for name, setting, default in agents),
    }


def _row(name: str, setting: Setting, default: str) -> Row:
    return Row(name, setting.meaning, setting.kind.units, default, setting.range or setting.kind.what)


def _of_presets(name: str, setting: Setting) -> str:
    """What the links have in the presets, from the first that has such links."""
    kind, _, what = name.partition(".")
    found = next(links[0] for make in PRESETS.values() if (links := links_of(make(), kind)))
    return setting.kind.show(getattr(found, what))


def describe() -> list[str]:
    """Every setting in two lines: name, default, range and unit; what it means."""
    lines: list[str] = []
    for title, group in rows().items():
        lines += ["", f"{title}:"] if lines else [f"{title}:"]
        for row in group:
            unit = f" ({row.unit})" if row.unit else ""
            lines += [f"  {row.name:24} default {row.default}; {row.range}{unit}", f"      {row.meaning}"]
    return lines


_PREAMBLE = """\
# Settings

Made from the code by `.venv/bin/python -m experiments.declare.settings`; `dmmlab list settings` shows the same.
`--set NAME=VALUE` changes one, as often as one likes; what is out of range is refused before anything runs.
A time has a unit, such as 3ms or 1.5s. A link's default is that of the preset `star`, and of `tree` for trunks."""


def page() -> str:
    """docs/settings.md."""
    parts = [_PREAMBLE]
    for title, group in rows().items():
        parts += [f"\n## {title}\n", "| name | meaning | unit | default | range |", "| --- | --- | --- | --- | --- |"]
        parts += [f"| `{row.name}` | {row.meaning} | {row.unit} | {row.default} | {row.range} |" for row in group]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
