from __future__ import annotations

import errno
import socket
from ipaddress import IPv6Address, IPv6Network
from struct import pack

import pytest
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from agents.associations import Association, Associations, Attached, Detached, association
from agents.fib import tunnel_mtu
from agents.linux.netlink import RTM_GETLINK, Netlink, NetlinkError, Request, encapsulation, message, route
from agents.messages import HandoffIndicator

SELF, PEER = IPv6Address("2001:db8:0:1::1"), IPv6Address("2001:db8:0:1::2")
UP, LOWER_UP = 0x1, 0x10000


def attribute(kind: int, payload: bytes) -> bytes:
    return pack("=HH", len(payload) + 4, kind) + payload + bytes(-len(payload) % 4)


def test_a_route_that_encapsulates_has_the_octets_of_linux_lwtunnel_h() -> None:
    octets = Request("route", 24, 0, route(IPv6Network("::/0"), 101, 1, 4, 7, encapsulation(SELF, PEER, 64))).encode(7, True)
    nested = attribute(1, bytes(8)) + attribute(2, PEER.packed) + attribute(3, SELF.packed) + attribute(4, b"\x40")
    body = pack("=BBBBBBBBI", socket.AF_INET6, 0, 0, 0, 101, 4, 0, 1, 0) + attribute(15, pack("=I", 101)) + attribute(21, pack("=H", 4))
    assert octets == pack("=IHHII", len(octets), 24, 0x5, 7, 0) + body + attribute(22, nested) + attribute(4, pack("=I", 7))


@pytest.mark.parametrize("device", [None, 3])
@pytest.mark.parametrize("prefix", ["2001:db8:100:1::/64", "2001:db8:100::/40", "2001:db8::1/128", "::/0"])
def test_a_route_is_what_pyroute2_makes_of_it(prefix: str, device: int | None) -> None:
    network = IPv6Network(prefix)
    fields = {"family": socket.AF_INET6, "dst_len": network.prefixlen, "table": 254, "proto": 4, "scope": 0, "type": 1}
    to = [("RTA_DST", str(network.network_address))] if network.prefixlen else []
    through = [] if device is None else [("RTA_OIF", device)]
    assert route(network, 254, 1, 4, device) == message(rtmsg, [*to, ("RTA_TABLE", 254), *through], **fields)


def test_a_request_names_its_subject() -> None:
    assert str(Request("route of", 24, 0, b"", subject=IPv6Network("2001:db8::/64"))) == "route of 2001:db8::/64"
    assert str(Request("list links", 18, 0, b"")) == "list links"


def test_refusals_are_raised_after_the_rest_was_carried_out_and_name_the_request() -> None:
    def absent(what: str, tolerated: frozenset[int] = frozenset()) -> Request:
        return Request(what, RTM_GETLINK, 0, message(ifinfmsg, [("IFLA_IFNAME", "no-such-link")]), tolerated)

    netlink = Netlink()
    netlink.add(absent("first", frozenset({errno.ENODEV})))
    netlink.add(absent("second"))
    netlink.add(absent("third"))
    with pytest.raises(NetlinkError, match="second") as caught:
        netlink.commit()
    assert caught.value.errno == errno.ENODEV
    netlink.commit()
    for _ in range(250):
        netlink.add(absent("many", frozenset({errno.ENODEV})))
    netlink.commit()
    netlink.close()


@pytest.mark.parametrize(
    ("flags", "name", "alias", "expected"),
    [
        (UP | LOWER_UP, "mn1-air", "mn1@dmm.example 02:00:00:00:00:01", ("mn1@dmm.example", b"\2\0\0\0\0\1")),
        (UP, "mn1-air", "mn1@dmm.example 02:00:00:00:00:01", None),
        (LOWER_UP, "mn1-air", "mn1@dmm.example 02:00:00:00:00:01", None),
        (UP | LOWER_UP, "mag1-eth0", "mn1@dmm.example 02:00:00:00:00:01", None),
        (UP | LOWER_UP, "mn1-air", "", None),
        (UP | LOWER_UP, "mn1-air", "mn1@dmm.example", None),
        (UP | LOWER_UP, "mn1-air", "mn1@dmm.example zz", None),
        (UP | LOWER_UP, "mn1-air", " 02:00:00:00:00:01", None),
    ],
)
def test_who_is_associated(flags: int, name: str, alias: str, expected: tuple[str, bytes] | None) -> None:
    found = association(5, flags, name, alias)
    assert (found and (found.mn_id, found.link_layer)) == expected


@pytest.mark.parametrize(("path", "expected"), [(1500, 1460), (9000, 8960), (1320, 1280), (1280, 1280)])
def test_a_tunnel_has_what_its_path_leaves_and_no_less_than_ipv6_asks(path: int, expected: int) -> None:
    assert tunnel_mtu(path) == expected


def test_events_follow_changes_only() -> None:
    one, other = Association("mn1-air", 5, "mn1@dmm.example", b"\1"), Association("mn1-air", 5, "mn2@dmm.example", b"\2")
    associations = Associations()
    states = [None, one, one, other, None, None]
    events = [list(associations.update(5, state)) for state in states]
    assert events == [[], [Attached(one)], [], [Detached(one), Attached(other)], [Detached(other)], []]


def test_an_alias_may_say_how_the_node_came_there() -> None:
    said = association(5, 0x10001, "mn1-air", "mn1@dmm.example 02:00:00:00:00:01 att=3 hi=1")
    assert said == Association("mn1-air", 5, "mn1@dmm.example", bytes.fromhex("020000000001"), 3, HandoffIndicator.NEW_INTERFACE)
    stamped = association(5, 0x10001, "mn1-air", "mn1@dmm.example 02:00:00:00:00:01 ts=77")
    assert stamped is not None
    assert stamped.timestamp == 77
    plain = association(5, 0x10001, "mn1-air", "mn1@dmm.example 02:00:00:00:00:01")
    assert plain is not None
    assert (plain.access_technology, plain.handoff) == (4, HandoffIndicator.UNKNOWN)


@pytest.mark.parametrize("words", ["att", "att=x", "att=256", "att=-1", "hi=9", "hi=1=2", "speed=3"])
def test_an_alias_with_other_words_says_nobody(words: str) -> None:
    assert association(5, 0x10001, "mn1-air", f"mn1@dmm.example 02:00:00:00:00:01 {words}") is None
