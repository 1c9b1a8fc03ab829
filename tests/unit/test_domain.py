"""Domains as data: units, presets, settings, TOML files and the routes that follow from them."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments import deploy
from experiments.scenario import Case, Flow, Run, Scenario
from topologies import presets, routing, toml
from topologies.addresses import routed_aggregate, routed_prefix
from topologies.domain import Domain, DomainError, LinkKind, LinkSettings
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
def test_bad_quantities_say_what_was_expected_in_one_line(parse: object, text: str, expected: str) -> None:
    with pytest.raises(UnitError) as caught:
        parse(text)  # type: ignore[operator]
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


@pytest.mark.parametrize(("preset", "sizes"), [(presets.star, {"mags": 0}), (presets.star, {"mns": -1}), (presets.tree, {"depth": 0})])
def test_sizes_that_make_no_network_are_refused(preset: object, sizes: dict[str, int]) -> None:
    with pytest.raises(DomainError, match="expected"):
        preset(**sizes)  # type: ignore[operator]


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
        ('mag = "mag1"', 'mag = "mag1"\nmac = "zz"', "expected mac to be a unicast link-layer address"),
        ('mag = "mag1"', 'mag = "mag1"\nhome_network_prefix = "2001:db8::/64"', "expected home_network_prefix to be a /64 of"),
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
    with pytest.raises(DomainError, match="hosts number 2: expected association to be words such as att=3 hi=1"):
        toml.parse(_FILE_OF_TWO_INTERFACES.format(words="att=many"))


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
    domain = toml.parse(_FILE_OF_TWO_INTERFACES.format(words=""))
    (profile,) = deploy.profiles(Run("two", domain, Case("pmip", "anchor"), Scenario(1.0), 1, 1, "virtual"))
    assert profile.mn_id == "mn@dmm.example"
    assert profile.home_network_prefixes == tuple(host.home_network_prefix for host in domain.hosts)


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
    told = deploy.configurations(Run("many", domain, Case("s-pmip", "notify"), Scenario(1.0), 1, 1, "virtual"))
    assert list(told) == ["lma", *(mag.name for mag in domain.mags)]
    assert len({id(config.profiles) for config in told.values()}) == 1
    assert (told["mag7"].address, told["mag7"].core) == (domain.mags[6].address, "mag7-eth0")
    assert not any(profile.routed_prefixes for profile in told["lma"].profiles)
    plain = deploy.configurations(Run("many", domain, Case("none", "none"), Scenario(1.0), 1, 1, "virtual"))
    assert plain["mag1"].profiles[2].routed_prefixes["mag30"] == routed_prefix(domain, domain.mags[29], domain.hosts[2])


def test_a_guests_memory_and_time_follow_the_run() -> None:
    def run(mags: int, duration: float, rate: float = 100.0) -> Run:
        flows = (Flow("cn1", "mn1", 0.0, duration, rate),)
        return Run("needs", presets.star(mags=mags), Case("s-pmip", "notify"), Scenario(duration, flows), 1, 1, "virtual")

    small, large, long, busy = run(3, 10.0), run(200, 10.0), run(3, 3600.0), run(3, 10.0, 20_000.0)
    assert deploy.memory(small) < 1 << 30 < deploy.memory(large) < 4 << 30
    for virtual in (True, False):
        assert deploy.wall_limit(small, virtual) < deploy.wall_limit(large, virtual)
        assert deploy.wall_limit(long, virtual) > 3600
    assert deploy.wall_limit(busy, True) > deploy.wall_limit(small, True) + 1000
    job = deploy.job(small, Path("/results"), virtual=True)
    assert (job.memory, job.wall_limit, job.seed) == (deploy.memory(small), deploy.wall_limit(small, True), 1)
