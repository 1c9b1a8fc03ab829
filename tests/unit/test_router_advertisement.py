from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from ipaddress import IPv6Address, IPv6Network
from operator import truediv
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoRequest,
    ICMPv6ND_RA,
    ICMPv6ND_Redirect,
    ICMPv6ND_RS,
    ICMPv6NDOptMTU,
    ICMPv6NDOptPrefixInfo,
    ICMPv6NDOptSrcLLAddr,
    ICMPv6TimeExceeded,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.packet import Packet

from agents.router_advertisement import (
    NeighbourDiscoveryError,
    decode_solicitation,
    encode_advertisements,
    encode_echo_request,
    encode_unreachable,
    may_report,
)

PREFIXES = (IPv6Network("2001:db8:100:1::/64"), IPv6Network("2001:db8:100:2::/64"))
HOST = IPv6Address("fe80::1")
UNSPECIFIED = IPv6Address("::")


def one_advertisement(*arguments: Any, **named: Any) -> bytes:
    (octets,) = encode_advertisements(*arguments, **named)
    return octets


@pytest.mark.parametrize("room", [1240, 1460])
def test_prefixes_that_one_advertisement_has_no_room_for_come_in_the_next(room: int) -> None:
    prefixes = tuple(IPv6Network(f"2001:db8:100:{number:x}::/64") for number in range(100))
    advertisements = encode_advertisements(prefixes[:90], 3600, 1460, prefixes[90:], bytes(6), room)
    assert len(advertisements) == 3
    assert max(map(len, advertisements)) <= room
    read = [ICMPv6ND_RA(octets) for octets in advertisements]
    assert [advertisement.routerlifetime for advertisement in read] == [3600] * 3
    named = [layer for one in read for layer in one.iterpayloads() if isinstance(layer, ICMPv6NDOptPrefixInfo)]
    assert [IPv6Network((option.prefix, option.prefixlen)) for option in named] == [*prefixes]
    assert [option.validlifetime for option in named] == [3600] * 90 + [0] * 10


def test_advertisement_reads_as_scapy_reads_it() -> None:
    advertisement = ICMPv6ND_RA(one_advertisement(PREFIXES, 3600, mtu=1460, link_layer=bytes.fromhex("00005e005213")))
    assert (advertisement.type, advertisement.code, advertisement.chlim, advertisement.routerlifetime) == (134, 0, 64, 3600)
    assert (advertisement.M, advertisement.O) == (0, 0)
    assert advertisement[ICMPv6NDOptSrcLLAddr].lladdr == "00:00:5e:00:52:13"
    assert advertisement[ICMPv6NDOptMTU].mtu == 1460
    for number, prefix in enumerate(PREFIXES, 1):
        option = advertisement.getlayer(ICMPv6NDOptPrefixInfo, number)
        assert (option.prefix, option.prefixlen) == (str(prefix.network_address), 64)
        assert (option.L, option.A, option.validlifetime, option.preferredlifetime) == (1, 1, 3600, 3600)


def test_advertisement_withdraws_prefixes_beside_those_that_it_hosts() -> None:
    advertisement = ICMPv6ND_RA(one_advertisement(PREFIXES[:1], 3600, withdrawn=PREFIXES[1:]))
    assert advertisement.routerlifetime == 3600
    options = [advertisement.getlayer(ICMPv6NDOptPrefixInfo, number) for number in (1, 2)]
    assert [IPv6Network((option.prefix, option.prefixlen)) for option in options] == list(PREFIXES)
    assert [(option.validlifetime, option.preferredlifetime) for option in options] == [(3600, 3600), (0, 0)]


def test_advertisement_without_link_layer_address_has_no_such_option() -> None:
    assert ICMPv6NDOptSrcLLAddr not in ICMPv6ND_RA(one_advertisement(PREFIXES, 3600))


def test_advertisement_without_mtu_has_no_mtu_option() -> None:
    assert ICMPv6NDOptMTU not in ICMPv6ND_RA(one_advertisement(PREFIXES, 3600))


@pytest.mark.parametrize(("lifetime", "router", "prefix"), [(0, 0, 0), (9001, 9000, 9001), (2**40, 9000, 2**32 - 1)])
def test_lifetimes_stay_within_their_fields(lifetime: int, router: int, prefix: int) -> None:
    advertisement = ICMPv6ND_RA(one_advertisement(PREFIXES[:1], lifetime))
    assert advertisement.routerlifetime == router
    assert advertisement[ICMPv6NDOptPrefixInfo].validlifetime == prefix


def test_an_echo_request_fills_its_packet() -> None:
    data = encode_echo_request(1500)
    assert len(data) == 1460
    assert ICMPv6EchoRequest in IPv6(bytes(IPv6(nh=58, plen=len(data))) + data)


def test_solicitation_gives_the_link_layer_address() -> None:
    data = bytes(ICMPv6ND_RS() / ICMPv6NDOptSrcLLAddr(lladdr="02:00:00:00:00:01"))
    assert decode_solicitation(data, HOST, 255).link_layer == bytes.fromhex("020000000001")
    assert decode_solicitation(bytes(ICMPv6ND_RS()), UNSPECIFIED, 255).link_layer is None


@pytest.mark.parametrize(
    ("data", "source", "hop_limit"),
    [
        (bytes(ICMPv6ND_RS()), HOST, 254),
        (bytes(ICMPv6ND_RS())[:7], HOST, 255),
        (b"", HOST, 255),
        (b"\x85\x01" + bytes(6), HOST, 255),
        (b"\x86" + bytes(7), HOST, 255),
        (bytes(ICMPv6ND_RS()) + b"\x01\x00" + bytes(6), HOST, 255),
        (bytes(ICMPv6ND_RS()) + b"\x01\x02" + bytes(6), HOST, 255),
        (bytes(ICMPv6ND_RS()) + b"\x01", HOST, 255),
        (bytes(ICMPv6ND_RS() / ICMPv6NDOptSrcLLAddr()), UNSPECIFIED, 255),
    ],
)
def test_solicitations_to_discard(data: bytes, source: IPv6Address, hop_limit: int) -> None:
    with pytest.raises(NeighbourDiscoveryError):
        decode_solicitation(data, source, hop_limit)


def test_unreachable_quotes_the_packet_up_to_the_minimum_mtu() -> None:
    packet = bytes(IPv6(src="2001:db8:100:1::1", dst="2001:db8:100:2::2") / ICMPv6EchoRequest(data=bytes(1400)))
    report = encode_unreachable(packet)
    assert len(report) + 40 == 1280
    assert report[8:] == packet[: len(report) - 8]
    dissected = ICMPv6DestUnreach(encode_unreachable(packet[:60]))
    assert (dissected.type, dissected.code) == (1, 3)
    assert bytes(dissected.payload) == packet[:60]


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        (IPv6(src="2001:db8::1", dst="2001:db8::2") / ICMPv6EchoRequest(), True),
        (IPv6(src="2001:db8::1", dst="2001:db8::2", nh=17) / b"datagram", True),
        (IPv6(src="2001:db8::1", dst="2001:db8::2") / ICMPv6TimeExceeded(), False),
        (IPv6(src="2001:db8::1", dst="2001:db8::2", nh=58), False),
        (IPv6(src="2001:db8::1", dst="2001:db8::2", nh=135) / bytes((58, 0, 5, 0, 0, 0, 0, 0)), True),
        (IPv6(src="2001:db8::1", dst="ff0e::1", nh=17), False),
        (IPv6(src="::", dst="2001:db8::2", nh=17), False),
        (IPv6(src="ff02::1", dst="2001:db8::2", nh=17), False),
    ],
)
def test_what_an_error_may_answer(packet: IPv6, expected: bool) -> None:
    assert may_report(bytes(packet)) is expected
    assert not may_report(bytes(packet)[:39])


_CHAINS = {
    "destination options": lambda: IPv6ExtHdrDestOpt(),
    "hop-by-hop": lambda: IPv6ExtHdrHopByHop(),
    "routing": lambda: IPv6ExtHdrRouting(addresses=["2001:db8::9"], segleft=0),
    "first fragment": lambda: IPv6ExtHdrFragment(m=1),
    "first fragment, then options": lambda: IPv6ExtHdrFragment(m=1) / IPv6ExtHdrDestOpt(),
    "twenty headers": lambda: reduce(truediv, [IPv6ExtHdrDestOpt() for _ in range(20)]),
    "all of them": lambda: IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / IPv6ExtHdrRouting() / IPv6ExtHdrFragment(),
}


@pytest.mark.parametrize("chain", _CHAINS)
@pytest.mark.parametrize(
    ("carried", "expected"),
    [
        (lambda: ICMPv6EchoRequest(), True),
        (lambda: UDP(), True),
        (lambda: ICMPv6TimeExceeded(), False),
        (lambda: ICMPv6DestUnreach(), False),
        (lambda: ICMPv6ND_Redirect(), False),
    ],
    ids=["echo", "datagram", "time exceeded", "unreachable", "redirect"],
)
def test_an_error_is_found_behind_whatever_stands_before_it(chain: str, carried: Callable[[], Packet], expected: bool) -> None:
    packet = IPv6(src="2001:db8::1", dst="2001:db8::2") / _CHAINS[chain]() / carried()
    assert may_report(bytes(packet)) is expected


def test_an_authentication_header_counts_its_length_in_words_of_32_bits() -> None:
    before = bytes(IPv6(src="2001:db8::1", dst="2001:db8::2", nh=51) / (bytes((58, 4)) + bytes(22)))
    assert [may_report(before + bytes((kind, 0))) for kind in (1, 128)] == [False, True]


@pytest.mark.parametrize(("following", "expected"), [(17, True), (6, True), (58, False), (60, False), (43, False)])
def test_a_later_fragment_is_answered_where_it_is_of_no_icmpv6_message(following: int, expected: bool) -> None:
    packet = IPv6(src="2001:db8::1", dst="2001:db8::2") / IPv6ExtHdrFragment(nh=following, offset=3) / bytes([128] * 8)
    assert may_report(bytes(packet)) is expected


@given(st.binary(min_size=40, max_size=120))
def test_a_chain_that_breaks_off_is_not_answered(data: bytes) -> None:
    header = bytes(IPv6(src="2001:db8::1", dst="2001:db8::2", nh=60))
    assert may_report(header + b"\x3c\xff" + data) is False
    assert may_report(header[:6] + data[6:7] + header[7:] + data[40:]) in (True, False)
