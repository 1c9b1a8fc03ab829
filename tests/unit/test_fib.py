"""What routes, tunnels and access links mean, whoever carries the packets."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network

import pytest
from memory_network import LMA, config, forwarding, hoa_of, mag_address, prefix_of

from agents.actions import (
    AssignLinkLocal,
    InstallAccessRoute,
    InstallLocalRoute,
    InstallRoute,
    InstallUplink,
    RemoveAccessRoute,
    RemoveLocalRoute,
    RemoveRoute,
    RemoveUplink,
    RouteAction,
)
from agents.config import FIXED_LINK_LOCAL, Settings
from agents.fib import DISCARDED, LOOPBACK, TRIGGER, TUNNEL, Fib, LinkLocal, Put, Route, RouteKind, Rule, TakeBack

LINK, OTHER = "mn1-air", "mn2-air"
HERE, NEIGHBOUR, THERE = hoa_of(1), hoa_of(2), hoa_of(3)
REMOTE, ELSEWHERE = mag_address(2), IPv6Address("2001:db8:ffff::1")


def mag(scheme: str, settings: Settings = Settings()) -> Fib:  # noqa: B008
    """A MAG with two nodes, both served."""
    fib = forwarding(config(scheme, settings=settings))
    for number, link in ((1, LINK), (2, OTHER)):
        fib.admit(link, frozenset({prefix_of(number)}))
        fib.carry_out(InstallAccessRoute(prefix_of(number), link))
        if scheme.startswith("pmip"):
            fib.carry_out(InstallUplink(link, LMA))
    return fib


def way(fib: Fib, source: IPv6Address, destination: IPv6Address, link: str | None) -> str | IPv6Address | None:
    """Where a packet goes: through a device, in a tunnel to an address, or nowhere ("discarded", "rejected", or None: not ours to say)."""
    found = fib.look_up(source, destination, link)
    if found is None:
        return None
    return found.care_of or found.device or {RouteKind.BLACKHOLE: "discarded", RouteKind.UNREACHABLE: "rejected"}[found.kind]


@pytest.mark.parametrize(
    ("scheme", "to_neighbour", "to_remote", "to_outside"),
    [("s-pmip", OTHER, TRIGGER, None), ("pmip", LMA, LMA, LMA), ("pmip-lr", LMA, LMA, LMA), ("none", OTHER, None, None)],
)
def test_what_a_node_sends(
    scheme: str, to_neighbour: str | IPv6Address, to_remote: str | IPv6Address | None, to_outside: IPv6Address | None
) -> None:
    fib = mag(scheme)
    destinations = (NEIGHBOUR, THERE, ELSEWHERE)
    assert [way(fib, HERE, to, LINK) for to in destinations] == [to_neighbour, to_remote, to_outside]


@pytest.mark.parametrize("scheme", ["s-pmip", "pmip", "pmip-lr", "sd-pmip"])
def test_nothing_is_forwarded_for_who_is_not_served_or_poses_as_another(scheme: str) -> None:
    fib = mag(scheme)
    assert fib.look_up(NEIGHBOUR, THERE, LINK) is DISCARDED
    fib.admit("mn3-air", frozenset({prefix_of(3)}))
    assert fib.look_up(THERE, HERE, "mn3-air") is DISCARDED
    fib.carry_out(InstallAccessRoute(prefix_of(3), "mn3-air"))
    assert fib.look_up(THERE, HERE, "mn3-air") is not DISCARDED
    fib.dismiss("mn3-air")
    fib.carry_out(RemoveAccessRoute(prefix_of(3), "mn3-air"))
    assert way(fib, HERE, THERE, LINK) == {"pmip": LMA, "pmip-lr": LMA}.get(scheme, TRIGGER)


@pytest.mark.parametrize("scheme", ["s-pmip", "pmip", "pmip-lr"])
def test_what_comes_out_of_a_tunnel_is_delivered_here_or_not_at_all(scheme: str) -> None:
    fib = mag(scheme)
    fib.carry_out(InstallRoute(prefix_of(3), REMOTE))
    assert [way(fib, THERE, to, TUNNEL) for to in (HERE, THERE, ELSEWHERE)] == [LINK, "discarded", "discarded"]


def test_what_the_agent_hands_back_is_delivered_here_and_never_loops() -> None:
    fib = mag("s-pmip")
    assert [way(fib, THERE, to, TRIGGER) for to in (HERE, THERE)] == [LINK, "discarded"]


def test_a_learnt_route_takes_packets_past_the_agent_until_it_goes() -> None:
    fib = mag("s-pmip")
    fib.carry_out(InstallRoute(prefix_of(3), REMOTE))
    assert (way(fib, HERE, THERE, LINK), fib.care_of(THERE)) == (REMOTE, REMOTE)
    fib.carry_out(InstallRoute(prefix_of(3), mag_address(3)))
    assert way(fib, HERE, THERE, LINK) == mag_address(3)
    fib.carry_out(RemoveRoute(prefix_of(3)))
    assert (way(fib, HERE, THERE, LINK), fib.care_of(THERE)) == (TRIGGER, LMA)


def test_localized_routes_go_before_the_uplink_and_without_them_all_goes_to_the_anchor() -> None:
    fib = mag("pmip-lr")
    fib.carry_out(InstallRoute(prefix_of(3), REMOTE))
    fib.carry_out(InstallLocalRoute(prefix_of(2)))
    assert [way(fib, HERE, to, LINK) for to in (NEIGHBOUR, THERE, ELSEWHERE)] == [OTHER, REMOTE, LMA]
    fib.dismiss(OTHER)
    fib.carry_out(RemoveAccessRoute(prefix_of(2), OTHER))
    fib.carry_out(RemoveRoute(prefix_of(3)))
    assert [way(fib, HERE, to, LINK) for to in (NEIGHBOUR, THERE)] == [LMA, LMA], "what finds nothing goes to the anchor"
    fib.carry_out(RemoveLocalRoute(prefix_of(2)))


def test_local_routing_delivers_past_the_anchor_what_is_here() -> None:
    fib = mag("pmip", Settings(local_routing=True))
    assert [way(fib, HERE, to, LINK) for to in (NEIGHBOUR, THERE)] == [OTHER, LMA]


def test_what_a_mag_itself_says_to_nodes_elsewhere_takes_the_uplink() -> None:
    fib = mag("pmip")
    assert [way(fib, mag_address(1), to, LOOPBACK) for to in (HERE, THERE, ELSEWHERE)] == [LINK, LMA, None]


def test_an_anchor_rejects_what_has_no_binding() -> None:
    fib = forwarding(config("pmip", number=None))
    fib.carry_out(InstallRoute(prefix_of(1), REMOTE))
    assert [way(fib, ELSEWHERE, to, None) for to in (HERE, THERE, ELSEWHERE)] == [REMOTE, "rejected", None]
    assert (fib.care_of(HERE), fib.care_of(THERE)) == (REMOTE, None)


def test_a_route_that_another_has_replaced_takes_nothing_with_it() -> None:
    fib = mag("s-pmip")
    fib.admit("new-air", frozenset({prefix_of(1)}))
    fib.carry_out(InstallAccessRoute(prefix_of(1), "new-air"))
    fib.carry_out(RemoveAccessRoute(prefix_of(1), LINK))
    assert way(fib, THERE, HERE, TUNNEL) == "new-air"


def test_the_link_local_address_comes_with_the_first_prefix_and_goes_with_the_last() -> None:
    fib = forwarding(config("s-pmip"))
    fib.admit(LINK, frozenset({prefix_of(1), prefix_of(2)}))
    address, gone = Put(LinkLocal(LINK, FIXED_LINK_LOCAL)), TakeBack(LinkLocal(LINK, FIXED_LINK_LOCAL).key)
    assert address in fib.carry_out(InstallAccessRoute(prefix_of(1), LINK))
    assert address not in fib.carry_out(InstallAccessRoute(prefix_of(2), LINK))
    assert gone not in fib.carry_out(RemoveAccessRoute(prefix_of(1), LINK))
    assert gone in fib.carry_out(RemoveAccessRoute(prefix_of(2), LINK))


def test_an_anchors_link_local_address_takes_the_place_of_an_earlier_one() -> None:
    fib = forwarding(config("pmip", settings=Settings(link_local=IPv6Address("::"))))
    given = LinkLocal(LINK, IPv6Address("fe80::5"))
    assert fib.carry_out(AssignLinkLocal(LINK, given.address)) == [TakeBack(given.key), Put(given)]
    assert not any(
        isinstance(put, Put) and isinstance(put.entry, LinkLocal) for put in fib.carry_out(InstallAccessRoute(prefix_of(1), LINK))
    )


@pytest.mark.parametrize("scheme", ["s-pmip", "pmip", "pmip-lr", "sd-pmip", "none"])
def test_what_comes_and_goes_leaves_nothing(scheme: str) -> None:
    fib = forwarding(config(scheme))
    before = state(fib)
    both: list[tuple[RouteAction, RouteAction]] = [
        (InstallAccessRoute(prefix_of(1), LINK), RemoveAccessRoute(prefix_of(1), LINK)),
        (InstallRoute(prefix_of(3), REMOTE), RemoveRoute(prefix_of(3))),
        (InstallLocalRoute(prefix_of(2)), RemoveLocalRoute(prefix_of(2))),
    ]
    fib.admit(LINK, frozenset({prefix_of(1)}))
    for install, _ in both:
        fib.carry_out(install)
    assert state(fib) != before
    fib.dismiss(LINK)
    for _, remove in reversed(both):
        fib.carry_out(remove)
    assert state(fib) == before
    assert all(isinstance(change, TakeBack) for change in fib.carry_out(RemoveUplink(LINK)))


def state(fib: Fib) -> set[Route | Rule]:
    return {*(route for table in (254, 255, 100, 101, 103) for route in fib.routes(table)), *fib.rules()}


def test_what_is_looked_at_does_not_grow_with_nodes_and_routes() -> None:
    fib = mag("pmip-lr")
    before = fib._rules.concerning(LINK, THERE)
    for number in range(1000):
        prefix = IPv6Network((0x20010DB801000000 + 0x1000 + number << 64, 64))
        fib.admit(f"x{number}-air", frozenset({prefix}))
        fib.carry_out(InstallAccessRoute(prefix, f"x{number}-air"))
        fib.carry_out(InstallLocalRoute(prefix))
        fib.carry_out(InstallUplink(f"x{number}-air", LMA))
    assert fib._rules.concerning(LINK, THERE) == before
