"""Link settings by dotted name, ``access.delay`` or ``mag.rate``, applied to a domain."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from topologies.domain import Domain, DomainError, LinkKind, LinkSettings
from topologies.units import parse_probability, parse_rate, parse_time

LINK_PARSERS: Mapping[str, Callable[[str], float | None]] = {
    "delay": parse_time,
    "rate": parse_rate,
    "loss": parse_probability,
    "jitter": parse_time,
}
_ACCESS = "access"
LINK_SETTINGS: tuple[str, ...] = tuple(f"{links}.{what}" for links in (_ACCESS, *LinkKind) for what in LINK_PARSERS)


def link_settings(values: Mapping[str, str], base: LinkSettings | None = None) -> LinkSettings:
    """``base`` with the settings in ``values`` (``{"delay": "3ms"}``) changed.

    DomainError: an unknown name, or a value that a link cannot have; UnitError: a value that cannot be read.
    """
    for name in values:
        if name not in LINK_PARSERS:
            raise DomainError(f"a link has no {name!r}; expected {', '.join(LINK_PARSERS)}")
    return replace(base or LinkSettings(), **{name: LINK_PARSERS[name](text) for name, text in values.items()})  # type: ignore[arg-type]


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
