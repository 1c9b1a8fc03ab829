"""Domains from TOML files; ``topologies/examples/campus.toml`` shows every key."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from typing import Any, TypeVar

from topologies import addresses
from topologies.check import check
from topologies.domain import Agent, Core, Domain, DomainError, Host, Link, LinkKind, LinkSettings, shorten
from topologies.settings import LINK_PARSERS, link_settings
from topologies.units import UnitError

T = TypeVar("T")
_LARGEST = 1 << 24


def load(path: str | Path) -> Domain:
    """The domain of a TOML file; DomainError, in one line that begins with the file's name, where it is not one."""
    try:
        return parse(_read(Path(path)))
    except OSError as error:
        raise DomainError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise DomainError(f"{path}: expected TOML in UTF-8: {error}") from None
    except (DomainError, UnitError) as error:
        raise DomainError(f"{path}: {error}") from None


def _read(path: Path) -> str:
    with path.open("rb") as file:
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise DomainError(f"expected a file of at most {_LARGEST >> 20} MB")
    return data.decode().replace("\r\n", "\n")


def parse(text: str) -> Domain:
    """The domain that TOML ``text`` describes; DomainError or UnitError, in one line, where it does not, or where it cannot work."""
    table = _Table(_document(text), "the file")
    name = table.take("name", str)
    lma = table.take("lma", dict, None)
    mags = tuple(_agent(entry, number) for number, entry in enumerate(table.entries("mags"), 1))
    hosts = tuple(_host(entry, number) for number, entry in enumerate(table.entries("hosts"), 1))
    core = tuple(_core(entry) for entry in table.entries("core"))
    links = [_link(entry) for entry in table.entries("links")]
    access = _link_settings(_Table(table.take("access", dict, {}), "access"))
    table.finish()
    anchor = _agent(_Table({"name": "lma", **lma}, "lma"), None) if lma is not None else None
    kinds = {mag.name: LinkKind.MAG for mag in mags} | ({anchor.name: LinkKind.LMA} if anchor else {})
    return check(Domain(name, mags, anchor, hosts, core, tuple(replace(link, kind=_kind(link, kinds)) for link in links), access))


def _document(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise DomainError("expected TOML that is not nested so deeply") from None
    except ValueError as error:  # also of a number with too many digits
        raise DomainError(f"expected TOML: {error}") from None


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
            raise DomainError(f"{self.where}: expected {key} to be {_KINDS[kind]}, not {_shown(value)}")
        return value

    def convert(self, key: str, make: Callable[[str], T], what: str, *default: Any) -> T:
        text = self.take(key, str, *([None] * len(default)))
        if text is None:
            return default[0]
        try:
            return make(text)
        except ValueError:
            raise DomainError(f"{self.where}: expected {key} to be {what}, not {_shown(text)}") from None

    def entries(self, key: str) -> list[_Table]:
        found = self.take(key, list, [])
        if not all(isinstance(entry, dict) for entry in found):
            raise DomainError(f"{self.where}: expected {key} to be tables, each under [[{key}]]")
        return [_Table(entry, f"{key} number {number}") for number, entry in enumerate(found, 1)]

    def finish(self) -> None:
        if self._left:
            raise DomainError(f"{self.where}: unknown key {_shown(next(iter(self._left)))}; expected {', '.join(self._known)}")


_KINDS: Mapping[type, str] = {str: "a string", dict: "a table", list: "a list", bool: "true or false", int: "a number", float: "a number"}


def _shown(value: Any) -> str:
    """A value of a file for a message: a string as it is unless it is long, of all else the kind."""
    return shorten(value) if isinstance(value, str) else _KINDS.get(type(value), "a date or time")


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
        mac=table.take("mac", str, usual.mac).lower(),
        home_network_prefix=table.convert("home_network_prefix", IPv6Network, "an IPv6 prefix", usual.home_network_prefix),
        association=" ".join(table.take("association", str, usual.association).split()),
    )
    table.finish()
    return host


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
    except DomainError as error:
        raise DomainError(f"{table.where}: {error}") from None


def _kind(link: Link, kinds: Mapping[str, LinkKind]) -> LinkKind:
    joined = {kinds.get(link.a), kinds.get(link.b)}
    return next((kind for kind in (LinkKind.LMA, LinkKind.MAG) if kind in joined), LinkKind.TRUNK)
