"""What a setting is, and the settings of links by dotted name, ``access.delay`` or ``mag.rate``, applied to a domain."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from topologies.domain import HIGHEST_RATE, LONGEST_DELAY, LOWEST_RATE, MOST_LOSS, Domain, DomainError, LinkKind, LinkSettings
from topologies.units import UnitError, parse_probability, parse_rate, parse_time, show_probability, show_rate, show_time


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of value as people write it: ``what`` names it, ``units`` are those it may have, ``read`` and ``show`` convert it.

    ``read`` raises UnitError where a text is no such value.
    """

    what: str
    units: str
    read: Callable[[str], Any]
    show: Callable[[Any], str] = str


TIME = Kind("a time", "s, ms, us, ns", parse_time, show_time)
RATE = Kind("a rate", "bit, kbit, Mbit or Gbit a second", parse_rate, show_rate)
PROBABILITY = Kind("a probability", "%, or none", parse_probability, show_probability)


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: what it means, the kind of its values, and the range in which it can work, both ends included; None for no end."""

    meaning: str
    kind: Kind
    least: float | None = None
    most: float | None = None

    def read(self, text: str) -> Any:
        """The value that ``text`` stands for; UnitError, in one line, where it is none or out of range."""
        value = self.kind.read(text)
        if value is None or ((self.least is None or value >= self.least) and (self.most is None or value <= self.most)):
            return value
        raise UnitError(f"expected {self.kind.what} {self.range}, not {text!r}")

    @property
    def range(self) -> str:
        """The range in words; empty where there is none."""
        ends = (("from", self.least), ("to", self.most))
        return " ".join(f"{word} {self.kind.show(end)}" for word, end in ends if end is not None)


_OF_LINKS: Mapping[str, Setting] = {
    "delay": Setting("one-way delay", TIME, 0.0, LONGEST_DELAY),
    "rate": Setting("how fast bits leave, or none for no limit", RATE, LOWEST_RATE, HIGHEST_RATE),
    "loss": Setting("part of the packets that is lost", PROBABILITY, 0.0, MOST_LOSS),
    "jitter": Setting("the delay varies by up to this much", TIME, 0.0, LONGEST_DELAY),
}
LINK_PARSERS: Mapping[str, Callable[[str], float | None]] = {name: setting.read for name, setting in _OF_LINKS.items()}
_ACCESS = "access"
_LINKS: Mapping[str, str] = {
    _ACCESS: "each access link",
    LinkKind.MAG: "each link between a MAG and the core",
    LinkKind.LMA: "the link between the LMA and the core",
    LinkKind.TRUNK: "each link within the core",
}
LINK_SETTINGS: Mapping[str, Setting] = {
    f"{kind}.{name}": replace(setting, meaning=f"{setting.meaning}, on {where}, both ways")
    for kind, where in _LINKS.items()
    for name, setting in _OF_LINKS.items()
}


def link_settings(values: Mapping[str, str], base: LinkSettings | None = None) -> LinkSettings:
    """``base`` with the settings in ``values`` (``{"delay": "3ms"}``) changed.

    DomainError: an unknown name, or a value that a link cannot have; UnitError: a value that cannot be read.
    """
    for name in values:
        if name not in LINK_PARSERS:
            raise DomainError(f"a link has no {name!r}; expected {', '.join(LINK_PARSERS)}")
    return replace(base or LinkSettings(), **{name: LINK_PARSERS[name](text) for name, text in values.items()})  # type: ignore[arg-type]


def links_of(domain: Domain, kind: str) -> tuple[LinkSettings, ...]:
    """What the links of a kind do: ``access``, or a LinkKind; empty where the domain has none."""
    return (domain.access,) if kind == _ACCESS else tuple(link.settings for link in domain.links if link.kind == kind)


def apply_link_setting(domain: Domain, name: str, text: str) -> Domain:
    """The domain with one setting changed on all links of a kind; errors as link_settings."""
    if name not in LINK_SETTINGS:
        raise DomainError(f"no link setting is called {name!r}; expected one of {', '.join(LINK_SETTINGS)}")
    kind, _, what = name.partition(".")
    change = {what: text}
    if kind == _ACCESS:
        return replace(domain, access=link_settings(change, domain.access))
    links = (replace(link, settings=link_settings(change, link.settings)) if link.kind == kind else link for link in domain.links)
    return replace(domain, links=tuple(links))


def apply_link_settings(domain: Domain, settings: Mapping[str, str]) -> Domain:
    """The domain with all of ``settings`` applied, in order; errors as apply_link_setting."""
    for name, text in settings.items():
        domain = apply_link_setting(domain, name, text)
    return domain
