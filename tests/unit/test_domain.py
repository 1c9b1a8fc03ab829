"""Domains as data: units, presets, settings, TOML files and the routes that follow from them."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from experiments.catalogue import CATALOGUE
from experiments.declare import jobs
from experiments.declare.deployment import Deployment, resolve
from experiments.declare.scenario import Case, Flow, Run, Scenario
from experiments.declare.selection import SelectionError, select
from topologies import presets, routing, toml
from topologies.addresses import mac, routed_aggregate, routed_aggregates, routed_prefix
from topologies.check import check
from topologies.domain import Agent, Core, Domain, DomainError, Link, LinkKind, LinkSettings
from topologies.settings import LINK_SETTINGS, apply_link_setting, apply_link_settings
from topologies.timing import links_between
from topologies.units import UnitError, parse_probability, parse_rate, parse_time

CAMPUS = Path(toml.__file__).with_name("examples") / "campus.toml"
MINIMAL = """
name = "small"
[[mags]]
name = "mag1"
[[mags]]
name = "mag2"
[[hosts]]
name = "mn1"
mag = "mag1"
[[core]]
name = "s1"
[[links]]
a = "mag1"
b = "s1"
delay = "1ms"
[[links]]
a = "mag2"
b = "s1"
delay = "4ms"
"""


@pytest.mark.parametrize(
    ("text", "seconds"), [("3ms", 0.003), ("1.5s", 1.5), ("250us", 0.00025), ("7 ns", 7e-9), ("0", 0.0), (".5s", 0.5), ("20ms", 0.02)]
)
def test_times_are_seconds(text: str, seconds: float) -> None:
    assert parse_time(text) == seconds


@given(st.integers(0, 10_000))
def test_whole_milliseconds_are_the_nearest_float(milliseconds: int) -> None:
    assert parse_time(f"{milliseconds}ms") == milliseconds / 1000


@pytest.mark.parametrize(("text", "rate"), [("10Mbit", 1e7), ("1Gbit", 1e9), ("64kbit", 64e3), ("800bit", 800), ("none", None)])
def test_rates_are_bits_per_second(text: str, rate: float | None) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize(("text", "probability"), [("2%", 0.02), ("0.01", 0.01), ("0", 0), ("100%", 1), ("1", 1), ("0.5 %", 0.005)])
def test_probabilities(text: str, probability: float) -> None:
    assert parse_probability(text) == probability


@pytest.mark.parametrize(
    ("parse", "text", "expected"),
    [
        (parse_time, "3", "3ms"),
        (parse_time, "-3ms", "3ms"),
        (parse_time, "3 parsecs", "3ms"),
        (parse_time, "", "3ms"),
        (parse_time, "nan", "3ms"),
        (parse_time, "٣ms", "3ms"),
        (parse_rate, "10MB", "10Mbit"),
        (parse_rate, "0bit", "10Mbit"),
        (parse_probability, "101%", "2%"),
        (parse_probability, "1.5", "2%"),
        (parse_probability, "often", "2%"),
    ],
)
def test_bad_quantities_say_what_was_expected_in_one_line(parse: Callable[[str], object], text: str, expected: str) -> None:
    with pytest.raises(UnitError) as caught:
        parse(text)
    assert expected in str(caught.value)
    assert repr(text) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_star_is_the_default_domain_of_the_design() -> None:
    domain = presets.star()
    assert [(mag.name, str(mag.address)) for mag in domain.mags] == [(f"mag{i}", f"2001:db8::1:{i}") for i in (1, 2, 3)]
    assert domain.lma is not None
    assert domain.lma.address == IPv6Address("2001:db8::1")
    mn, cn = domain.hosts
    assert (mn.name, mn.mag, mn.mn_id, mn.mac) == ("mn1", "mag2", "mn1@dmm.example", "02:00:00:00:00:01")
    assert (cn.name, cn.mag, cn.mac) == ("cn1", "mag1", "02:00:00:00:00:02")
    assert mn.home_network_prefix == IPv6Network("2001:db8:100:1::/64")
    assert domain.access.delay == 0.002
    assert routing.path_delay(domain, "mag1", "mag2") == pytest.approx(0.010)
    assert routing.path_delay(domain, "mag1", "lma") == pytest.approx(0.025)
    assert routing.path_delay(domain, "lma", "lma") == 0


def test_hosts_are_spread_over_the_mags_in_turn() -> None:
    domain = presets.star(mags=3, mns=4, cns=2)
    assert [host.mag for host in domain.hosts] == ["mag2", "mag3", "mag1", "mag2", "mag1", "mag2"]
    assert len({host.mac for host in domain.hosts}) == len({host.home_network_prefix for host in domain.hosts}) == 6


def test_star_without_lma_has_no_lma_link() -> None:
    domain = presets.star(lma=False)
    assert domain.lma is None
    assert {link.kind for link in domain.links} == {LinkKind.MAG}


def test_tree_has_a_subnet_for_each_link_and_agents_on_theirs() -> None:
    domain = presets.tree(depth=3, fanout=2)
    assert len(domain.mags) == 8
    assert len(domain.core) == 1 + 2 + 4
    assert len({link.subnet for link in domain.links}) == len(domain.links)
    for end in routing.core_interfaces(domain):
        assert end.address is not None
        assert end.prefix is not None
        assert end.address in end.prefix
    assert routing.path_delay(domain, "mag1", "mag8") == pytest.approx(2 * (0.005 + 2 * 0.005))
    assert routing.path_delay(domain, "mag1", "lma") == pytest.approx(0.005 + 2 * 0.005 + 0.020)


def test_numbers_in_addresses_are_hexadecimal_and_stay_apart() -> None:
    domain = presets.star(mags=20, mns=20, cns=0)
    mag, host = domain.mags[16], domain.hosts[11]
    assert mag.address == IPv6Address("2001:db8::1:11")
    assert routed_aggregate(domain, mag) == IPv6Network("2001:db8:211::/48")
    assert routed_prefix(domain, mag, host) == IPv6Network("2001:db8:211:c::/64")
    assert not any(routed_aggregate(domain, mag).overlaps(host.home_network_prefix) for mag in domain.mags for host in domain.hosts)


@pytest.mark.parametrize(
    ("preset", "sizes"),
    [
        (presets.star, {"mags": 0}),
        (presets.star, {"mns": -1}),
        (presets.star, {"mags": 1023}),
        (presets.star, {"mns": 1 << 16}),
        (presets.tree, {"depth": 0}),
    ],
)
def test_sizes_that_make_no_network_are_refused(preset: Callable[..., object], sizes: dict[str, int]) -> None:
    with pytest.raises(DomainError, match="expected"):
        preset(**sizes)


def _follow(domain: Domain, start: str, destination: IPv6Address) -> list[str]:
    """The routers and agents that a packet passes, by longest prefix over the static and the connected routes."""
    ends = [end for end in routing.core_interfaces(domain) if end.address is not None]
    at = {end.address: end.node for end in ends}
    way = [start]
    while at.get(destination) != way[-1]:
        assert len(way) < 20, f"a loop: {way}"
        connected = [end for end in ends if end.node == way[-1] and end.prefix is not None and destination in end.prefix]
        if connected:
            way.append(at[destination])
            continue
        matches = [route for route in routing.routes(domain, way[-1]) if destination in route.prefix]
        best = max(matches, key=lambda route: route.prefix.prefixlen)
        way.append(at[best.via])
    return way


@pytest.mark.parametrize("domain", [presets.star(), presets.tree(depth=3), toml.load(CAMPUS)], ids=lambda domain: domain.name)
def test_static_routes_lead_from_every_node_to_every_address_on_the_shortest_way(domain: Domain) -> None:
    bridges = {core.name for core in domain.core if not core.routed}
    for start in routing.paths(domain, domain.mags[0].name):
        if start in bridges:
            continue
        for end in routing.core_interfaces(domain):
            if end.address is not None and end.node != start and end.node in {agent.name for agent in routing.agents(domain)}:
                shortest = [node for node in routing.paths(domain, start)[end.node] if node not in bridges]
                assert _follow(domain, start, end.address) == shortest


@pytest.mark.parametrize("domain", [presets.tree(depth=3), toml.load(CAMPUS)], ids=lambda domain: domain.name)
def test_every_router_forwards_home_addresses_to_the_lma(domain: Domain) -> None:
    assert domain.lma is not None
    at = {end.address: end.node for end in routing.core_interfaces(domain)}
    for router in (core.name for core in domain.core if core.routed):
        way = [router]
        while way[-1] != domain.lma.name:
            (route,) = (r for r in routing.routes(domain, way[-1]) if domain.hosts[0].home_network_prefix.subnet_of(r.prefix))
            way.append(at[route.via])
        assert tuple(way) == routing.paths(domain, router)[domain.lma.name]


def test_each_mag_reaches_the_routed_prefixes_of_all_others() -> None:
    domain = presets.tree()
    for mag in domain.mags:
        wanted = {routed_aggregate(domain, other) for other in domain.mags if other != mag}
        assert wanted <= {route.prefix for route in routing.routes(domain, mag.name)}


def test_multicast_of_every_mag_reaches_every_other_mag_once() -> None:
    domain = presets.tree(depth=2, fanout=3)
    interfaces = {(end.node, end.name): end.link for end in routing.core_interfaces(domain)}
    for mag in domain.mags:
        reached, waiting = [], [(mag.name, interfaces[mag.name, mag.core])]
        while waiting:
            came_from, link = waiting.pop()
            far = next(end for end in routing.core_interfaces(domain) if end.link == link and end.node != came_from)
            if far.node.startswith("mag"):
                reached.append(far.node)
                continue
            route = next(route for route in routing.multicast_routes(domain, far.node) if route.source == mag.address)
            assert route.incoming == far.name
            waiting += [(far.node, interfaces[far.node, name]) for name in route.outgoing]
        assert sorted(reached) == sorted(other.name for other in domain.mags if other != mag)


def test_a_setting_changes_the_links_of_its_kind_and_no_other() -> None:
    before = presets.star()
    after = apply_link_settings(before, {"access.delay": "3ms", "mag.rate": "10Mbit", "lma.loss": "2%", "mag.jitter": "1ms"})
    assert after.access == LinkSettings(delay=0.003)
    assert {link.settings for link in after.links if link.kind == "mag"} == {LinkSettings(delay=0.005, rate=1e7, jitter=0.001)}
    assert {link.settings for link in after.links if link.kind == "lma"} == {LinkSettings(delay=0.020, loss=0.02)}
    assert before == presets.star()


def test_unknown_settings_are_refused_with_the_known_ones() -> None:
    with pytest.raises(DomainError) as caught:
        apply_link_setting(presets.star(), "mag.colour", "blue")
    assert all(name in str(caught.value) for name in LINK_SETTINGS)
    with pytest.raises(UnitError):
        apply_link_setting(presets.star(), "mag.delay", "soon")


def test_the_example_file_is_a_domain() -> None:
    domain = toml.load(CAMPUS)
    assert [link.kind.value for link in domain.links] == ["mag", "mag", "mag", "trunk", "trunk", "lma"]
    assert domain.links[3].settings == LinkSettings(delay=0.002, rate=1e9)
    assert routing.path_delay(domain, "mag1", "mag3") == pytest.approx(0.006)


def test_a_file_needs_little() -> None:
    domain = toml.parse(MINIMAL)
    assert domain.lma is None
    assert domain.mags == presets.star(mags=2).mags
    assert domain.hosts[0] == replace(presets.star().hosts[0], mag="mag1")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('name = "small"', 'name = "small', "expected TOML"),
        ('name = "small"', 'colour = "blue"', "expected a key 'name'"),
        ('name = "small"', 'name = "small"\ncolour = "blue"', "unknown key 'colour'; expected name, lma, mags"),
        ('delay = "1ms"', "delay = 1", "links number 1: expected delay to be a string"),
        ('delay = "1ms"', 'delay = "1"', "links number 1: expected a time with a unit"),
        ('delay = "1ms"', 'color = "red"', "links number 1: unknown key 'color'; expected a, b"),
        ('mag = "mag1"', 'mag = "mag9"', "expected the MAG of mn1 to be one of mag1, mag2, not 'mag9'"),
        (
            'mag = "mag1"',
            'mag = "mag1"\nmac = "zz"',
            "expected mn1 to have a unicast link-layer address such as 02:00:00:00:00:01, not 'zz'",
        ),
        ('mag = "mag1"', 'mag = "mag1"\nhome_network_prefix = "here"', "hosts number 1: expected home_network_prefix to be an IPv6 prefix"),
        (
            'mag = "mag1"',
            'mag = "mag1"\nhome_network_prefix = "2001:db8::/64"',
            "the home network prefix of mn1 to be a /64 of 2001:db8:100::/40",
        ),
        ('b = "s1"\ndelay = "4ms"', 'b = "s2"\ndelay = "4ms"', "not 's2'"),
        ('a = "mag2"', 'a = "mag1"', "expected one core link at mag1, not 2"),
        ('name = "mn1"', 'name = "averylongname"', "expected names of 1 to 9 letters and digits"),
        ('name = "mn1"', 'name = "mag1"', "expected one node to be called 'mag1', not 2"),
        ('[[core]]\nname = "s1"', '[[core]]\nname = "s1"\n[[core]]\nname = "s2"', "expected links that join s2 to mag1"),
        ('name = "mag2"', 'name = "mag2"\naddress = "2001:db9::1"', "expected the address of mag2 to be in 2001:db8::/64"),
        ('name = "mag2"', 'name = "mag2"\naddress = "first"', "mags number 2: expected address to be an IPv6 address"),
        ('[[core]]\nname = "s1"', "core = 1", "expected"),
    ],
)
def test_malformed_files_say_what_was_expected_in_one_line(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert old in MINIMAL
    path = tmp_path / "bad.toml"
    path.write_text(MINIMAL.replace(old, new, 1))
    with pytest.raises(DomainError) as caught:
        toml.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_may_give_a_node_a_second_interface() -> None:
    text = _FILE_OF_TWO_INTERFACES.format(words="att=3 hi=1")
    first, second = toml.parse(text).hosts
    assert (first.alias, second.alias) == ("mn@dmm.example 02:00:00:00:00:01", "mn@dmm.example 02:00:00:00:00:02 att=3 hi=1")
    for words in ("att=many", "hi=1 next=2001:db8::1:1"):
        with pytest.raises(DomainError, match="expected the association of mn2 to be words such as att=3 hi=1, not"):
            toml.parse(_FILE_OF_TWO_INTERFACES.format(words=words))


@pytest.mark.parametrize("words", ["", "att=3", "hi=2", "hi=4"])
def test_a_second_interface_says_that_it_is_one(words: str) -> None:
    with pytest.raises(
        DomainError, match="expected mn2, which has the MN-ID of mn1, to say that it is another interface: association hi=1"
    ):
        toml.parse(_FILE_OF_TWO_INTERFACES.format(words=words))


def test_interfaces_of_one_node_may_share_a_prefix() -> None:
    first, second = toml.parse(_FILE_OF_TWO_INTERFACES.format(words="hi=1")).hosts
    domain = toml.parse(_FILE_OF_TWO_INTERFACES.format(words="hi=1"))
    shared = replace(second, home_network_prefix=first.home_network_prefix, association="hi=2")
    assert check(replace(domain, hosts=(first, shared))).hosts[1].home_network_prefix == first.home_network_prefix
    with pytest.raises(DomainError, match="expected mn2, which shares the prefix of mn1, to say that it takes the session over"):
        check(replace(domain, hosts=(first, replace(shared, association="hi=1"))))
    with pytest.raises(DomainError, match="expected mn2 to have a home network prefix of its own, not that of mn1, 2001:db8:100:1::/64"):
        check(replace(domain, hosts=(first, replace(shared, mn_id="another"))))


_FILE_OF_TWO_INTERFACES = """
name = "two"
[[mags]]
name = "mag1"
[[hosts]]
name = "mn1"
mag = "mag1"
mn_id = "mn@dmm.example"
[[hosts]]
name = "mn2"
mag = "mag1"
mn_id = "mn@dmm.example"
association = "{words}"
[[core]]
name = "s1"
[[links]]
a = "mag1"
b = "s1"
"""


def test_domains_are_named_by_preset_or_file(tmp_path: Path) -> None:
    assert presets.named("star") == presets.star()
    assert presets.named(str(CAMPUS)).name == "campus"
    with pytest.raises(DomainError, match="expected star, tree or a"):
        presets.named("ring")
    with pytest.raises(DomainError, match="No such file"):
        presets.named(str(tmp_path / "none.toml"))


def test_hosts_of_one_mn_id_share_a_policy_profile() -> None:
    domain = toml.parse(_FILE_OF_TWO_INTERFACES.format(words="hi=1"))
    (profile,) = resolve(Run("two", domain, Case("pmip", "anchor"), Scenario(1.0), 1, 1, "virtual")).profiles
    assert profile.mn_id == "mn@dmm.example"
    assert profile.home_network_prefixes == tuple(host.home_network_prefix for host in domain.hosts)


# Domains that a kernel could not build, or whose hosts would wait for an address in vain


def test_a_large_domain_is_checked() -> None:
    """Which takes time in proportion to its size; its hosts and MAGs have prefixes of their own."""
    domain = presets.star(mags=1000, mns=5000, cns=5000)
    assert len({host.home_network_prefix for host in domain.hosts}) == 10_000
    everything = routed_aggregates(domain)
    assert all(sum(routed_aggregate(domain, mag).subnet_of(network) for network in everything) == 1 for mag in domain.mags[::99])


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"mn_id": ""}, "the MN-ID of mn1 to be printable, not empty and without spaces, not ''"),
        ({"mn_id": "a b"}, "without spaces, not 'a b'"),
        ({"mn_id": "a\0@example.org"}, "without spaces, not 'a\\x00@example.org'"),
        ({"mn_id": "a\u00a0b"}, "without spaces"),
        ({"mn_id": "\udc80"}, "without spaces"),
        ({"mn_id": "x" * 193}, "to have at most 192 octets, not 193"),
        ({"mn_id": "ü" * 97}, "to have at most 192 octets, not 194"),
        ({"mn_id": "x" * 192, "association": "att=3"}, "to have at most 186 octets, not 192"),
        ({"association": "next=2001:db8::1:1"}, "the association of mn1 to be words such as att=3 hi=1"),
        ({"mac": "02:00:00:00:00:02"}, "cn1 to have a link-layer address of its own, not 02:00:00:00:00:02, which is that of mn1"),
        ({"mac": "00:00:5e:00:52:13"}, "of its own, not 00:00:5e:00:52:13, which is that of all MAGs"),
        ({"mac": "00:00:00:00:00:00"}, "which is that of nobody"),
        ({"mac": mac(1, 1)}, "which is that of the testbed"),
        ({"mac": mac(255, 0xFFFFFF)}, "which is that of the testbed"),
        ({"mac": "02-00-00-00-00-01"}, "a unicast link-layer address"),
        ({"mac": "03:00:00:00:00:01"}, "a unicast link-layer address"),
        ({"mac": "02:00:00:00:01"}, "a unicast link-layer address"),
        ({"home_network_prefix": IPv6Network("2001:db8:100:2::/64")}, "cn1 to have a home network prefix of its own, not that of mn1"),
        ({"home_network_prefix": IPv6Network("2001:db8:100::/63")}, "to be a /64 of 2001:db8:100::/40"),
        ({"mag": "s1"}, "the MAG of mn1 to be one of mag1, mag2, mag3, not 's1'"),
        ({"name": "mn-1"}, "names of 1 to 9 letters and digits, not 'mn-1'"),
        ({"name": "wires"}, "not to be called 'wires'"),
        ({"name": "cn1"}, "one node to be called 'cn1', not 2"),
    ],
)
def test_hosts_that_cannot_work_are_refused(change: dict[str, Any], expected: str) -> None:
    domain = presets.star()
    mn, cn = domain.hosts
    with pytest.raises(DomainError) as caught:
        check(replace(domain, hosts=(replace(mn, **change), cn)))
    assert expected in str(caught.value) or expected.replace("mn1", "cn1") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change", [{"mn_id": "x" * 192}, {"mn_id": "jürgen@dömäin.example"}, {"mac": mac(256, 0)}, {"association": "ts=5"}]
)
def test_hosts_that_can_work_are_not(change: dict[str, Any]) -> None:
    domain = presets.star()
    changed = replace(domain, hosts=(replace(domain.hosts[0], **change), domain.hosts[1]))
    assert check(changed) == changed


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("2001:db8::1:1", "one interface to have the address 2001:db8::1:1, not one of mag1 and one of lma"),
        ("2001:db8::", "which is that of every router in 2001:db8::/64"),
        ("2001:db8:9::1", "to be in 2001:db8::/64, not 2001:db8:9::1"),
        ("2001:db8:100:1::1", "to be in 2001:db8::/64"),
        *((address, "to be a global unicast address") for address in ("ff15::5213", "fe80::1", "::1", "::", "fec0::1", "2001:db8::1%a")),
    ],
)
def test_an_agent_has_an_address_that_others_can_reach_and_nobody_else_has(address: str, expected: str) -> None:
    with pytest.raises(DomainError) as caught:
        check(replace(presets.star(), lma=Agent("lma", IPv6Address(address))))
    assert expected in str(caught.value)


ROUTED = presets.tree()


@pytest.mark.parametrize(
    ("links", "core", "expected"),
    [
        ([Link("s1", "s2", LinkSettings()), Link("s2", "s1", LinkSettings())], ["s2"], "expected bridges without a loop"),
        ([Link("s1", "s2", LinkSettings()), Link("s2", "s3", LinkSettings()), Link("s3", "s1", LinkSettings())], ["s2", "s3"], "a loop"),
        ([Link("s1", "s1", LinkSettings())], [], "not from s1 to itself"),
        ([Link("s1", "mn1", LinkSettings())], [], "links between lma, mag1, mag2, mag3, s1, not 'mn1'"),
        ([Link("s1", "lo", LinkSettings())], ["lo"], "not to be called 'lo'"),
        ([], ["s2"], "expected links that join s2 to mag1"),
        ([Link("s1", "s2", LinkSettings(), IPv6Network("2001:db8::/63"))], ["s2"], "between s1 and s2 to be a /64 of global unicast"),
        ([Link("s1", "s2", LinkSettings(), IPv6Network("ff05::/64"))], ["s2"], "to be a /64 of global unicast addresses, not ff05::/64"),
        (
            [Link("s1", "r1", LinkSettings()), Link("s1", "r1", LinkSettings())],
            [],
            "the address 2001:db8::ff01, not one of r1 and one of r1",
        ),
        (
            [
                Link("s1", "s2", LinkSettings(), IPv6Network("2001:db8::/64")),
                Link("s2", "s3", LinkSettings(), IPv6Network("2001:db8:1::/64")),
            ],
            ["s2", "s3"],
            "expected one subnet for all that bridges join to s2, not 2001:db8::/64 and 2001:db8:1::/64",
        ),
    ],
)
def test_a_core_that_cannot_work_is_refused(links: list[Link], core: list[str], expected: str) -> None:
    domain = presets.star()
    nodes = (*domain.core, *(Core(name) for name in core), *([Core("r1", routed=True)] if any("r1" in (x.a, x.b) for x in links) else []))
    with pytest.raises(DomainError) as caught:
        check(replace(domain, core=nodes, links=(*domain.links, *links)))
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("subnet", "expected"),
    [
        (None, "expected a subnet of its own for the link between lma and r1, not 2001:db8::/64, as between r3 and r1"),
        ("2001:db8:0:1::/64", "not 2001:db8:0:1::/64, as between r2 and r1"),
        ("2001:db8:1ff:9::/64", "outside of 2001:db8:100::/40"),
        ("2001:db8:201:9::/64", "outside of 2001:db8:201::/48"),
    ],
)
def test_each_link_of_a_routed_core_has_a_subnet_of_its_own(subnet: str | None, expected: str) -> None:
    trunk = replace(ROUTED.links[1], subnet=None if subnet is None else IPv6Network(subnet))
    with pytest.raises(DomainError) as caught:
        check(replace(ROUTED, links=(ROUTED.links[0], trunk, *ROUTED.links[2:])))
    assert expected in str(caught.value)


def test_a_bridge_with_many_links_has_a_name_short_enough_for_their_numbers() -> None:
    domain = presets.star(mags=10)
    for name, good in (("bridge678", False), ("bridge67", True)):
        changed = replace(domain, core=(Core(name),), links=tuple(replace(link, b=name) for link in domain.links))
        if good:
            assert check(changed) == changed
        else:
            with pytest.raises(DomainError, match="expected a shorter name for bridge678"):
                check(changed)


@pytest.mark.parametrize(
    "settings",
    [
        {"delay": 10.1},
        {"delay": -0.1},
        {"delay": float("nan")},
        {"jitter": 2.2},
        {"loss": 1.0},
        {"loss": -0.1},
        {"rate": 999.0},
        {"rate": 35e9},
        {"rate": float("inf")},
    ],
)
def test_what_a_link_cannot_do_is_refused(settings: dict[str, float]) -> None:
    (name,) = settings
    with pytest.raises(DomainError, match=f"expected a link.*{'lose' if name == 'loss' else name}"):
        LinkSettings(**settings)
    with pytest.raises((DomainError, UnitError)):
        apply_link_setting(presets.star(), f"mag.{name}", f"{settings[name]}{ {'rate': 'bit', 'loss': ''}.get(name, 's') }")


def test_quantities_are_finite() -> None:
    with pytest.raises(UnitError, match="expected a time"):
        parse_time("9" * 400 + "s")


def test_schemes_with_an_lma_need_one(tmp_path: Path) -> None:
    path = tmp_path / "small.toml"
    path.write_text(MINIMAL + '[[hosts]]\nname = "cn1"\nmag = "mag2"\n')
    with pytest.raises(SelectionError, match="scheme s-pmip needs an LMA, which the domain small does not have: name others with --scheme"):
        select(CATALOGUE["fig1"], domain=str(path))
    assert select(CATALOGUE["fig2"], domain=str(path)) is not None


def test_an_lma_that_takes_no_message_for_fresh_is_refused() -> None:
    with pytest.raises(SelectionError, match=r"0\.405 s from mag3 to lma, .* or timestamp_window longer, or set message_order=sequence"):
        select(CATALOGUE["fig1"], assignments=["lma.delay=400ms"])
    for more in ("timestamp_window=0.5s", "message_order=sequence"):
        assert select(CATALOGUE["fig1"], assignments=["lma.delay=400ms", more]) is not None
    assert select(CATALOGUE["fig2"], assignments=["lma.delay=400ms"]) is not None


# Files of the wrong kind


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\xff\xfe", "expected TOML in UTF-8"),
        (b"\0", "expected TOML"),
        (b"", "the file: expected a key 'name'"),
        (b"a = " + b"[" * 100_000, "expected TOML that is not nested so deeply"),
        (b"a = " + b"9" * 5000, "expected TOML"),
        (b"name = 0x" + b"f" * 9000, "expected name to be a string, not a number"),
        (b"name = 1979-05-27", "expected name to be a string, not a date or time"),
        (b"name = []", "expected name to be a string, not a list"),
        (b"[name]", "expected name to be a string, not a table"),
        (b'name = "' + b"x" * 1_000_000 + b'"\nlma = "a"', "expected lma to be a table, not 'a'"),
        (b'name = "a\\nb"\n[[mags]]\nname = "m"', "the domain's name to be printable characters, not 'a\\nb'"),
        (b'name = ""\n[[mags]]\nname = "m"', "the domain's name to be printable characters, not ''"),
        (b'name = "a"', "expected at least one MAG"),
        (b"name = " + b"#" * (1 << 24), "expected a file of at most 16 MB"),
    ],
    ids=range(14),
)
def test_files_of_the_wrong_kind_are_refused_in_one_line(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(DomainError) as caught:
        presets.named(str(path))
    assert str(caught.value).startswith(f"{path}: ")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    path = tmp_path / "folder.toml"
    path.mkdir()
    with pytest.raises(DomainError, match="Is a directory"):
        presets.named(str(path))


def dump(value: Any) -> str:
    """A value as TOML, tables in braces."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{dump(key)} = {dump(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(dump, value)) + "]"
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(character):08x}" for character in value) + '"'
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


DOCUMENT = tomllib.loads(CAMPUS.read_text(encoding="utf-8"))
TEXTS = st.text(max_size=20) | st.sampled_from(
    [
        "mag1",
        "s1",
        "r1",
        "lma",
        "2ms",
        "0",
        "100%",
        "1Gbit",
        "2001:db8::/64",
        "2001:db8:0:1::1",
        "ff02::1",
        "02:00:00:00:00:02",
        "hi=1",
        "x" * 300,
    ]
)
VALUES = st.recursive(
    TEXTS | st.booleans() | st.integers() | st.floats() | st.dates(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(TEXTS, values, max_size=3),
    max_leaves=5,
)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """The example with some keys and entries changed, added, doubled or left out."""
    document = copy.deepcopy(DOCUMENT)
    for _ in range(draw(st.integers(1, 4))):
        place: Any = document
        while True:
            keys = sorted(place) if isinstance(place, dict) else range(len(place))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(place[key], (dict, list)) and draw(st.booleans()):
                place = place[key]
                continue
            match draw(st.sampled_from(["change", "leave out", "double"])):
                case "change":
                    place[key] = draw(VALUES)
                case "leave out":
                    del place[key]
                case "double" if isinstance(place, list):
                    place.append(copy.deepcopy(place[key]))
                case "double":
                    place[draw(TEXTS)] = draw(VALUES)
            break
    return document


@given(documents() | st.dictionaries(TEXTS | st.sampled_from(sorted(DOCUMENT)), VALUES, max_size=5))
@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_any_document_is_a_domain_or_is_refused_in_one_line(document: dict[str, Any]) -> None:
    text = "\n".join(f"{dump(key)} = {dump(value)}" for key, value in document.items())
    try:
        domain = toml.parse(text)
    except (DomainError, UnitError) as error:
        said = str(error)
    else:
        assert check(domain) == domain
        for mag in domain.mags:
            routing.routes(domain, mag.name)
        return
    assert said
    assert "\n" not in said


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_any_text_is_a_domain_or_is_refused_in_one_line(data: st.DataObject) -> None:
    text = CAMPUS.read_text(encoding="utf-8")
    for _ in range(data.draw(st.integers(1, 5))):
        at, length = data.draw(st.integers(0, len(text))), data.draw(st.integers(0, 20))
        text = (
            text[:at]
            + data.draw(st.text(max_size=5) | st.sampled_from(list('"[]{}=#.\n0')) | st.just(text[at : at + 40]))
            + text[at + length :]
        )
    try:
        toml.parse(text)
    except (DomainError, UnitError) as error:
        said = str(error)
    else:
        return
    assert "\n" not in said


def test_who_can_be_reached_without_a_router_is_a_neighbour() -> None:
    star, tree = presets.star(mags=4), presets.tree()
    assert {(end.node, other.node) for end, other in routing.neighbours(star)} == set(
        permutations(("lma", "mag1", "mag2", "mag3", "mag4"), 2)
    )
    joined = {(link.a, link.b) for link in tree.links}
    assert {(end.node, other.node) for end, other in routing.neighbours(tree)} == joined | {(b, a) for a, b in joined}
    for domain in (star, tree):
        ends = routing.core_interfaces(domain)
        assert len({end.mac for end in ends}) == len(ends)
        assert routing.neighbour_count(domain) > len(list(routing.neighbours(domain)))


def test_what_is_remembered_by_domain_is_that_domains() -> None:
    """Domains of one name and size have one hash, and are told apart all the same."""
    one = presets.star()
    other = presets.star(mag=LinkSettings(delay=0.5))
    assert hash(one) == hash(other)
    assert [routing.path_delay(domain, "mag1", "mag2") for domain in (one, other)] == [0.01, 1.0]
    assert links_between(one, "mag1", "mag2") != links_between(other, "mag1", "mag2")


def test_agents_are_told_the_same_profiles_and_only_routed_ones_where_they_advertise_those() -> None:
    domain = presets.star(mags=30, mns=40)
    told = resolve(Run("many", domain, Case("s-pmip", "notify"), Scenario(1.0), 1, 1, "virtual")).configurations()
    assert list(told) == ["lma", *(mag.name for mag in domain.mags)]
    assert len({id(config.profiles) for config in told.values()}) == 1
    assert (told["mag7"].address, told["mag7"].core) == (domain.mags[6].address, "mag7-eth0")
    assert not any(profile.routed_prefixes for profile in told["lma"].profiles)
    plain = resolve(Run("many", domain, Case("none", "none"), Scenario(1.0), 1, 1, "virtual")).configurations()
    assert plain["mag1"].profiles[2].routed_prefixes["mag30"] == routed_prefix(domain, domain.mags[29], domain.hosts[2])


def test_a_guests_memory_and_time_follow_the_run() -> None:
    def run(mags: int, duration: float, rate: float = 100.0) -> Deployment:
        flows = (Flow("cn1", "mn1", 0.0, duration, rate),)
        return resolve(Run("needs", presets.star(mags=mags), Case("s-pmip", "notify"), Scenario(duration, flows), 1, 1, "virtual"))

    small, large, long, busy = run(3, 10.0), run(200, 10.0), run(3, 3600.0), run(3, 10.0, 20_000.0)
    assert jobs.memory(small) < 1 << 30 < jobs.memory(large) < 4 << 30
    for virtual in (True, False):
        assert jobs.wall_limit(small, virtual) < jobs.wall_limit(large, virtual)
        assert jobs.wall_limit(long, virtual) > 3600
    assert jobs.wall_limit(busy, True) > jobs.wall_limit(small, True) + 1000
    job = jobs.job_of(small, Path("/results"), virtual=True)
    assert (job.memory, job.wall_limit, job.seed) == (jobs.memory(small), jobs.wall_limit(small, True), 1)
