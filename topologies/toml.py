"""Domains from TOML files; ``topologies/examples/campus.toml`` shows every key."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from typing import Any, TypeVar

from agents.links import known
from topologies import addresses
from topologies.domain import Agent, Core, Domain, DomainError, Host, Link, LinkKind, LinkSettings
from topologies.routing import agents, core_interfaces, paths
from topologies.settings import LINK_PARSERS, link_settings
from topologies.units import UnitError

T = TypeVar("T")
_NAME_LENGTH = 9  # a name, "-eth" and a number of one digit, and the mark of a wire's hidden end make the 15 characters of an interface


def load(path: str | Path) -> Domain:
    """The domain of a TOML file; DomainError, in one line that begins with the file's name, where it is not one."""
    try:
        return parse(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise DomainError(f"{path}: {error.strerror}") from None
    except (DomainError, UnitError, UnicodeDecodeError) as error:
        raise DomainError(f"{path}: {error}") from None


def parse(text: str) -> Domain:
    """The domain that TOML ``text`` describes; DomainError or UnitError, in one line, where it does not."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DomainError(f"expected TOML: {error}") from None
    table = _Table(document, "the file")
    name = table.take("name", str)
    lma = table.take("lma", dict, None)
    mags = tuple(_agent(entry, number) for number, entry in enumerate(table.entries("mags"), 1))
    hosts = tuple(_host(entry, number) for number, entry in enumerate(table.entries("hosts"), 1))
    core = tuple(_core(entry) for entry in table.entries("core"))
    links = tuple(_link(entry) for entry in table.entries("links"))
    access = _link_settings(_Table(table.take("access", dict, {}), "access"))
    table.finish()
    anchor = _agent(_Table({"name": "lma", **lma}, "lma"), None) if lma is not None else None
    domain = Domain(name, mags, anchor, hosts, core, links, access)
    _check(domain)
    return replace(domain, links=tuple(replace(link, kind=_kind(domain, link)) for link in links))


class _Table:
    """A TOML table whose keys are taken one after the other, so that what is left over at the end is unknown."""

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self._left = dict(values)
        self._known: list[str] = []
        self.where = where

    def take(self, key: str, kind: type[T], *default: Any) -> T:
        self._known.append(key)
        if key not in self._left and default:
            return default[0]  # type: ignore[no-any-return]
        if key not in self._left:
            raise DomainError(f"{self.where}: expected a key {key!r}")
        value = self._left.pop(key)
        if not isinstance(value, kind):
            raise DomainError(f"{self.where}: expected {key} to be {_KINDS[kind]}, not {value!r}")
        return value

    def convert(self, key: str, make: Callable[[str], T], what: str, *default: Any) -> T:
        text = self.take(key, str, *([None] * len(default)))
        if text is None:
            return default[0]
        try:
            return make(text)
        except ValueError:
            raise DomainError(f"{self.where}: expected {key} to be {what}, not {text!r}") from None

    def entries(self, key: str) -> list[_Table]:
        found = self.take(key, list, [])
        if not all(isinstance(entry, dict) for entry in found):
            raise DomainError(f"{self.where}: expected {key} to be tables, each under [[{key}]]")
        return [_Table(entry, f"{key} number {number}") for number, entry in enumerate(found, 1)]

    def finish(self) -> None:
        if self._left:
            raise DomainError(f"{self.where}: unknown key {next(iter(self._left))!r}; expected {', '.join(self._known)}")


_KINDS: Mapping[type, str] = {str: "a string", dict: "a table", list: "a list", bool: "true or false"}


def _agent(table: _Table, number: int | None) -> Agent:
    default = addresses.lma_address() if number is None else addresses.mag_address(addresses.core_subnet(0), number)
    agent = Agent(table.take("name", str), table.convert("address", IPv6Address, "an IPv6 address", default))
    table.finish()
    return agent


def _host(table: _Table, number: int) -> Host:
    usual = addresses.host(table.take("name", str), table.take("mag", str), number)
    host = replace(
        usual,
        mn_id=table.take("mn_id", str, usual.mn_id),
        mac=table.convert("mac", _mac, "a unicast link-layer address", usual.mac),
        home_network_prefix=table.convert("home_network_prefix", _home, f"a /64 of {addresses.HOME}", usual.home_network_prefix),
    )
    words = table.convert("association", _association, "words such as att=3 hi=1", usual.association)
    table.finish()
    return replace(host, association=words)


def _association(text: str) -> str:
    if text.split():
        known(text.split())
    return text


def _mac(text: str) -> str:
    octets = bytes.fromhex(text.replace(":", ""))
    if len(octets) != 6 or octets[0] & 1 or text.count(":") != 5:
        raise ValueError(text)
    return octets.hex(":")


def _home(text: str) -> IPv6Network:
    prefix = IPv6Network(text)
    if prefix.prefixlen != 64 or not prefix.subnet_of(addresses.HOME):
        raise ValueError(text)
    return prefix


def _core(table: _Table) -> Core:
    core = Core(table.take("name", str), table.take("routed", bool, False))
    table.finish()
    return core


def _link(table: _Table) -> Link:
    a, b = table.take("a", str), table.take("b", str)
    subnet = table.convert("subnet", IPv6Network, "an IPv6 prefix", None)
    return Link(a, b, _link_settings(table), subnet)


def _link_settings(table: _Table) -> LinkSettings:
    values = {name: table.take(name, str, None) for name in LINK_PARSERS}
    table.finish()
    try:
        return link_settings({name: text for name, text in values.items() if text is not None})
    except UnitError as error:
        raise UnitError(f"{table.where}: {error}") from None


def _kind(domain: Domain, link: Link) -> LinkKind:
    ends = (link.a, link.b)
    if domain.lma and domain.lma.name in ends:
        return LinkKind.LMA
    return LinkKind.MAG if any(mag.name in ends for mag in domain.mags) else LinkKind.TRUNK


def _check(domain: Domain) -> None:
    """What the types do not say: names that exist and fit, one core link for an agent, addresses on their links, a core in one piece."""
    inside = [*(agent.name for agent in agents(domain)), *(core.name for core in domain.core)]
    everyone = [*inside, *(host.name for host in domain.hosts)]
    if not domain.mags:
        raise DomainError("expected at least one MAG under [[mags]]")
    for name in everyone:
        if not 0 < len(name) <= _NAME_LENGTH or not name.isascii() or not name.isalnum():
            raise DomainError(f"expected names of 1 to {_NAME_LENGTH} letters and digits, not {name!r}")
        if everyone.count(name) > 1:
            raise DomainError(f"expected one node to be called {name!r}, not {everyone.count(name)}")
    mags = [mag.name for mag in domain.mags]
    for host in domain.hosts:
        if host.mag not in mags:
            raise DomainError(f"expected the MAG of {host.name} to be one of {', '.join(mags)}, not {host.mag!r}")
    for link in domain.links:
        for end in (link.a, link.b):
            if end not in inside:
                raise DomainError(f"expected links between {', '.join(inside)}, not {end!r}")
    ends = core_interfaces(domain)
    for agent in agents(domain):
        own = [end for end in ends if end.node == agent.name]
        if len(own) != 1:
            raise DomainError(f"expected one core link at {agent.name}, not {len(own)}")
        if own[0].prefix is not None and agent.address not in own[0].prefix:
            raise DomainError(f"expected the address of {agent.name} to be in {own[0].prefix}, not {agent.address}")
    reached = paths(domain, mags[0])
    for name in inside:
        if name not in reached:
            raise DomainError(f"expected links that join {name} to {mags[0]}")
