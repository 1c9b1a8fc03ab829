"""What a node's capture holds, as columns: test packets, and which records are signalling or Layer 2 Update frames.

A capture has link type LINUX_SLL2: a header of 20 bytes with the interface, its kind, the packet's direction and the
frame's source address, then the IPv6 packet, possibly inside one more IPv6 header (RFC 2473).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv6Address

import numpy as np

from experiments.declare.traffic import HEADER, MAGIC, PORT
from experiments.measure.pcap import Capture, CaptureFileError, Integers, Mask

LINK_TYPE = 276
"""LINKTYPE_LINUX_SLL2."""

ADDRESS_TAIL = 7
"""So many octets of an address as fit a column of numbers; the interface identifier, all but its first octet."""

_SLL2 = 20
_IPV6 = 40
_ETHERNET = 1
_TUN = 65534
_OTHER_HOST = 3
_OUTGOING = 4
_ETH_P_802_2 = 4
_NULL_LSAP = 0
_ETH_P_IPV6 = 0x86DD
_UDP = 17
_IPV6_IN_IPV6 = 41
_FRAGMENT = 44
_ICMPV6 = 58
_MOBILITY = 135
_SKIPPED = (0, 43, _FRAGMENT, 60)
_MOST_EXTENSION_HEADERS = 4
_UNREACHABLE, _TOO_BIG = 1, 2
_ROUTER_SOLICITATION, _ROUTER_ADVERTISEMENT = 133, 134


@dataclass(frozen=True, slots=True)
class TestPackets:
    """Every sight of a test packet in one capture, in order of time; row i of each array is one sight.

    Attributes:
        times: ns since 1970.
        flows, sequences: which packet it is.
        sizes: bytes of the IPv6 packet, outer header included.
        wire: on a link, not on a device of the node itself (a tunnel, a TUN).
        outgoing: the node sends it; otherwise the node takes it in.
        encapsulated: inside an outer IPv6 header.
        access: on an access link.
        tun: on a TUN device, which leads to the agent.
        towards: the last ``ADDRESS_TAIL`` octets of the outer header's destination as a number, 0 where there is none.
    """

    times: Integers
    flows: Integers
    sequences: Integers
    sizes: Integers
    wire: Mask
    outgoing: Mask
    encapsulated: Mask
    access: Mask
    tun: Mask
    towards: Integers


@dataclass(frozen=True, slots=True)
class ErrorRecord:
    """An ICMPv6 error that the node sends about a test packet."""

    time: int
    flow: int
    sequence: int
    type: int
    code: int


@dataclass(frozen=True, slots=True)
class SignalRecord:
    """One signalling packet on a link: where in the capture's data its IPv6 packet and its message are, and where the captured bytes end.

    ``mobility`` tells a Mobility Header from ICMPv6.
    """

    time: int
    outgoing: bool
    tunnelled: bool
    mobility: bool
    at: int
    message_at: int
    end: int


@dataclass(frozen=True, slots=True)
class Update:
    """A Layer 2 Update frame that came in, or that the node itself sent, as access points do and hosts should not.

    ``mac`` is its source: the link-layer address of the host that associated.
    """

    time: int
    mac: str
    outgoing: bool


@dataclass(frozen=True, slots=True)
class Dissected:
    """What matters in one capture."""

    packets: TestPackets
    signals: tuple[SignalRecord, ...]
    updates: tuple[Update, ...]
    errors: tuple[ErrorRecord, ...]


def mac_number(mac: str) -> int:
    """A link-layer address as a number."""
    return int(mac.replace(":", ""), 16)


def address_number(address: IPv6Address) -> int:
    """An address as ``TestPackets.towards`` has it."""
    return int.from_bytes(address.packed[-ADDRESS_TAIL:], "big")


def dissect(capture: Capture, macs: Iterable[str]) -> Dissected:
    """Dissect a capture; ``macs`` are the link-layer addresses on access links: those of hosts, and of MAGs there.

    Raises:
        CaptureFileError: the capture's link type is not LINUX_SLL2.
    """
    if capture.link_type != LINK_TYPE:
        raise CaptureFileError(f"link type {capture.link_type}, expected {LINK_TYPE} (LINUX_SLL2)")
    whole = capture.lengths >= _SLL2
    starts, times, ends = capture.starts[whole], capture.times[whole], capture.ends[whole]
    protocol = capture.integers(starts, 2, ends)
    device = capture.integers(starts + 8, 2, ends)
    wire, tun = device == _ETHERNET, device == _TUN
    packet_type = capture.integers(starts + 10, 1, ends)
    source = capture.integers(starts + 12, 6, ends)
    ours = packet_type != _OTHER_HOST
    at = starts + _SLL2
    updates = np.flatnonzero(wire & ours & _layer_2_updates(capture, at, ends, protocol, packet_type == _OUTGOING))
    ipv6 = np.flatnonzero((protocol == _ETH_P_IPV6) & ours & (ends - at >= _IPV6) & (capture.integers(at, 1, ends) >> 4 == 6))
    at, times, ends, wire, tun = at[ipv6], times[ipv6], ends[ipv6], wire[ipv6], tun[ipv6]
    outgoing, source = packet_type[ipv6] == _OUTGOING, source[ipv6]
    following, payload = _upper_layer(capture, at, ends)
    encapsulated = following == _IPV6_IN_IPV6
    inside = np.flatnonzero(encapsulated & (ends - payload >= _IPV6))
    following[inside], payload[inside] = _upper_layer(capture, payload[inside], ends[inside])

    access = np.isin(source, np.array([mac_number(mac) for mac in macs], dtype=np.int64)) & wire
    rows = _test_packets(capture, following, payload, ends)
    rows = rows[np.argsort(times[rows], kind="stable")]
    packets = TestPackets(
        times=times[rows],
        flows=capture.integers(payload[rows] + 12, 2, ends[rows]),
        sequences=capture.integers(payload[rows] + 14, 4, ends[rows]),
        sizes=capture.integers(at[rows] + 4, 2, ends[rows]) + _IPV6,
        wire=wire[rows],
        outgoing=outgoing[rows],
        encapsulated=encapsulated[rows],
        access=access[rows],
        tun=tun[rows],
        towards=np.where(encapsulated[rows], capture.integers(at[rows] + _IPV6 - ADDRESS_TAIL, ADDRESS_TAIL, ends[rows]), 0),
    )

    mobility = following == _MOBILITY
    icmp = (following == _ICMPV6) & ~encapsulated
    errors = _errors(capture, times, payload, ends, icmp & outgoing)
    kind = capture.integers(payload[icmp], 1, ends[icmp])
    icmp[icmp] = (kind == _ROUTER_SOLICITATION) | (kind == _ROUTER_ADVERTISEMENT)
    signals = np.flatnonzero((mobility | icmp) & wire)
    signals = signals[np.argsort(times[signals], kind="stable")]
    columns = (times, outgoing, encapsulated, mobility, at, payload, ends)
    return Dissected(
        packets=packets,
        signals=tuple(SignalRecord(*row) for row in zip(*(column[signals].tolist() for column in columns), strict=True)),
        updates=tuple(
            Update(int(capture.times[whole][row]), _mac(capture, starts[row]), bool(packet_type[row] == _OUTGOING)) for row in updates
        ),
        errors=errors,
    )


def _layer_2_updates(capture: Capture, at: Integers, ends: Integers, protocol: Integers, outgoing: Mask) -> Mask:
    """Which records may be Layer 2 Update frames, to the null LSAP: the protocol of what a node sends is whatever its sender calls it."""
    named: Mask = np.where(outgoing, (protocol != _ETH_P_IPV6) | (ends > at), protocol == _ETH_P_802_2)
    found: Mask = named & (capture.integers(at, 1, ends) == _NULL_LSAP)
    return found


def _mac(capture: Capture, start: int) -> str:
    return bytes(capture.data[start + 12 : start + 18]).hex(":")


def _test_packets(capture: Capture, following: Integers, payload: Integers, ends: Integers) -> Integers:
    """The rows that are test packets, where ``following`` says what lies at ``payload``."""
    rows = np.flatnonzero((following == _UDP) & (ends - payload >= 8 + HEADER.size))
    rows = rows[capture.integers(payload[rows] + 2, 2, ends[rows]) == PORT]
    found: Integers = rows[capture.integers(payload[rows] + 8, len(MAGIC), ends[rows]) == int.from_bytes(MAGIC, "big")]
    return found


def _errors(capture: Capture, times: Integers, payload: Integers, ends: Integers, sent: Mask) -> tuple[ErrorRecord, ...]:
    """The ICMPv6 errors among ``sent`` whose quoted packet is a test packet, in order of time."""
    rows = np.flatnonzero(sent & (ends - payload >= 8 + _IPV6))
    rows = rows[np.isin(capture.integers(payload[rows], 1, ends[rows]), (_UNREACHABLE, _TOO_BIG))]
    following, quoted = _upper_layer(capture, payload[rows] + 8, ends[rows])
    about = _test_packets(capture, following, quoted, ends[rows])
    rows, quoted = rows[about], quoted[about]
    columns = (
        times[rows],
        capture.integers(quoted + 12, 2, ends[rows]),
        capture.integers(quoted + 14, 4, ends[rows]),
        capture.integers(payload[rows], 1, ends[rows]),
        capture.integers(payload[rows] + 1, 1, ends[rows]),
    )
    return tuple(sorted((ErrorRecord(*row) for row in zip(*(c.tolist() for c in columns), strict=True)), key=lambda e: e.time))


def _upper_layer(capture: Capture, at: Integers, ends: Integers) -> tuple[Integers, Integers]:
    """What the IPv6 packets at ``at`` carry behind their extension headers, and where; later fragments carry nothing (59)."""
    following = capture.integers(at + 6, 1, ends)
    payload = at + _IPV6
    for _ in range(_MOST_EXTENSION_HEADERS):
        rows = np.flatnonzero(np.isin(following, _SKIPPED) & (ends - payload >= 8))
        if not len(rows):
            break
        where, end = payload[rows], ends[rows]
        fragment = following[rows] == _FRAGMENT
        later = fragment & (capture.integers(where + 2, 2, end) >> 3 != 0)
        following[rows] = np.where(later, 59, capture.integers(where, 1, end))
        payload[rows] = where + np.where(fragment, 8, (capture.integers(where + 1, 1, end) + 1) * 8)
    return following, payload
