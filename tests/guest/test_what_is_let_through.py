"""What agents' kernels take from access links and from the core, and what they refuse."""

from __future__ import annotations

import struct
import sys
import time
from ipaddress import IPv6Address

import pytest

from agents.messages import ipv6_packet
from agents.schemes import SCHEMES
from tests.guest.lab import AGENTS, HOSTS, INJECT_HEADER, INJECT_PACKET, STRANGER, Lab, batch, ip

DESTINATION_OPTIONS, HOP_BY_HOP, ROUTING, FRAGMENT = 60, 0, 43, 44
TUNNEL, IPV4, MOBILITY = 41, 4, 135
WRAPPINGS = [
    (),
    (FRAGMENT,),
    (DESTINATION_OPTIONS,),
    (FRAGMENT, DESTINATION_OPTIONS),
    (FRAGMENT, ROUTING),
    (HOP_BY_HOP, FRAGMENT, DESTINATION_OPTIONS),
    (DESTINATION_OPTIONS,) * 20,
]


def wrapped(wrapping: tuple[int, ...], protocol: int, payload: bytes, source: str, destination: str) -> bytes:
    """An IPv6 packet that carries ``payload`` behind extension headers without a meaning: options of padding, a routing header with no
    segments left, a fragment that is the whole."""
    kinds = (*wrapping, protocol)
    headers = b"".join(
        bytes((following, 0, *((0, 0, 0, 0, 0, 1) if kind == FRAGMENT else (1, 4, 0, 0, 0, 0) if kind != ROUTING else (0,) * 6)))
        for kind, following in zip(wrapping, kinds[1:], strict=True)
    )
    octets = headers + payload
    fixed = struct.pack("!IHBB", 6 << 28, len(octets), kinds[0], 64)
    return fixed + IPv6Address(source).packed + IPv6Address(destination).packed + octets


def inner(source: str, destination: str) -> bytes:
    """A packet to be tunnelled: UDP from another's address."""
    return wrapped((), 17, bytes((20, 93, 20, 93, 0, 8, 0, 0)), source, destination)


@pytest.mark.parametrize("scheme", ["pmip", "s-pmip", "sd-pmip"])
def test_only_peers_tunnel_whatever_headers_come_before(lab: Lab, scheme: str) -> None:
    """A Fragment header hides from routing rules what comes behind; each wrapping is one that the kernel does decapsulate for a peer."""
    lab.start_all(scheme)
    lab.attach("mn1", "mag1")
    node, forged = lab.address("mn1"), inner("2001:db8:100:2::bad", HOSTS["mn1"][0].replace("/64", "9"))
    targets = [AGENTS[name] for name in ("mag1", "lma") if name == "mag1" or "LMA" in SCHEMES[scheme].agents]
    lab.send("core", [wrapped(wrapping, TUNNEL, forged, STRANGER, target) for wrapping in WRAPPINGS for target in targets])
    lab.send("mn1", [wrapped(wrapping, TUNNEL, forged, node, target) for wrapping in WRAPPINGS for target in AGENTS.values()])
    agents = ["mag1", "mag2", *(["lma"] if "LMA" in SCHEMES[scheme].agents else [])]
    assert [lab.received_through_tunnels(name) for name in agents] == [0] * len(agents)
    lab.send("mag2", [wrapped(wrapping, TUNNEL, forged, AGENTS["mag2"], AGENTS["mag1"]) for wrapping in WRAPPINGS])
    assert lab.received_through_tunnels("mag1") == len(WRAPPINGS)


def fragments(first: int, octets: bytes, at: int, source: str, destination: str, number: int) -> list[bytes]:
    """A packet whose extension headers and payload are ``octets``, the first of kind ``first``, in two fragments, cut ``at`` octets."""
    parts = []
    for offset, part in ((0, octets[:at]), (at, octets[at:])):
        header = struct.pack("!BBHI", first, 0, offset | (offset == 0), number)
        parts.append(wrapped((), FRAGMENT, header + part, source, destination))
    return parts


def test_only_peers_tunnel_in_fragments(lab: Lab) -> None:
    """Also where the header that tells of the tunnel comes in the second fragment, or in none."""
    lab.start_all("s-pmip")
    lab.attach("mn1", "mag1")
    lab.address("mn1")
    forged = inner("2001:db8:100:2::bad", HOSTS["mn1"][0].replace("/64", "9"))
    options = bytes((TUNNEL, 0, 1, 4, 0, 0, 0, 0))
    more = bytes((DESTINATION_OPTIONS, 0, 1, 4, 0, 0, 0, 0))
    cuts = [
        (8, options + forged),
        (16, options + forged),
        (56, options + forged),
        (8, more + options + forged),
        (16, more + options + forged),
    ]
    for number, source in enumerate((STRANGER, AGENTS["mag2"])):
        node = "core" if source == STRANGER else "mag2"
        for cut, (at, octets) in enumerate(cuts):
            lab.send(node, fragments(DESTINATION_OPTIONS, octets, at, source, AGENTS["mag1"], 100 * number + cut))
        assert lab.received_through_tunnels("mag1") == (0 if source == STRANGER else 2)
    damaged = [bytes((TUNNEL, 200, 1, 4, 0, 0, 0, 0)), bytes((TUNNEL,)), b""]
    lab.send("core", [wrapped((), DESTINATION_OPTIONS, octets, STRANGER, AGENTS["mag1"]) for octets in damaged])
    assert lab.received_through_tunnels("mag1") == 2


def test_a_tunnel_ends_at_an_agents_own_address_only_and_carries_ipv6_only(lab: Lab) -> None:
    """Linux joins all routers' groups on links that exist when forwarding is switched on, as after a restart."""
    lab.start_all("s-pmip")
    lab.attach("mn1", "mag1")
    node, forged = lab.address("mn1"), inner("2001:db8:100:2::bad", HOSTS["mn1"][0].replace("/64", "9"))
    lab.stop("mag1")
    lab.start("mag1", "s-pmip")
    time.sleep(5)
    groups = ["ff05::2", "ff02::2", "ff02::1", "ff02::1:ff00:5213"]
    ends = [*groups, "fe80::200:5eff:fe00:5213", AGENTS["mag1"]]
    for wrapping in WRAPPINGS[:4]:
        lab.send("mn1", [wrapped(wrapping, protocol, forged, node, end) for end in ends for protocol in (TUNNEL, IPV4)], "mn1-eth0")
        for source in (STRANGER, AGENTS["mag2"]):
            lab.send("core", [wrapped(wrapping, TUNNEL, forged, source, group) for group in groups], "br0")
    ipv4 = bytes.fromhex("4500001c00000000401100000a0000010a000002145d145d00080000")
    lab.send("mag2", [wrapped((), IPV4, ipv4, AGENTS["mag2"], AGENTS["mag1"])])
    assert lab.received_through_tunnels("mag1") == 0


@pytest.mark.parametrize("scheme", ["pmip", "s-pmip", "sd-pmip"])
def test_signalling_of_a_node_reaches_its_own_gateway_only_whatever_headers_come_before(lab: Lab, scheme: str) -> None:
    """Nor does it, in another's name, out of a tunnel that its own gateway, the anchor or a third ends."""
    lab.start_all(scheme)
    lab.attach("mn1", "mag1")
    node = lab.address("mn1")
    others = [name for name in AGENTS if name != "mag1"]
    lab.send("mn1", [nonsense(wrapping, node, AGENTS[name]) for wrapping in WRAPPINGS for name in others])
    posing = [nonsense(wrapping, AGENTS["mag2"], AGENTS[name]) for wrapping in WRAPPINGS[:2] for name in ("mag1", "lma")]
    lab.send("mn1", [wrapped(w, TUNNEL, packet, node, packet_to(packet)) for w in WRAPPINGS for packet in posing])
    lab.send("mag2", [wrapped((), TUNNEL, packet, AGENTS["mag2"], packet_to(packet)) for packet in posing])
    assert [line for name in AGENTS for line in lab.journal(name) if line["event"] == "malformed"] == []
    lab.send("mag2", [nonsense(wrapping, AGENTS["mag2"], AGENTS["mag1"]) for wrapping in WRAPPINGS])
    assert len([line for line in lab.journal("mag1") if line["event"] == "malformed"]) == len(WRAPPINGS)


def nonsense(wrapping: tuple[int, ...], source: str, destination: str) -> bytes:
    """A Binding Update that cannot be read, with a right checksum."""
    header = ipv6_packet(bytes((59, 1, 5, *bytes(13))), IPv6Address(source), IPv6Address(destination))[40:]
    return wrapped(wrapping, MOBILITY, header, source, destination)


def packet_to(packet: bytes) -> str:
    """Where a packet goes to."""
    return str(IPv6Address(packet[24:40]))


def test_a_tunnelled_packet_wakes_the_agent_only_where_its_node_is_not(lab: Lab) -> None:
    lab.start_all("sd-pmip")
    lab.attach("mn1", "mag1")
    here = lab.address("mn1")
    for destination in (here, "2001:db8:100:2::9", "2001:db8:0:77::1"):
        lab.inject("mag2", 41, AGENTS["mag1"], "2001:db8:100:2::1", destination)
    strays = [line for line in lab.journal("mag1") if line["event"] == "tunnelled packet"]
    assert [(line["destination"], line["source"]) for line in strays] == [("2001:db8:100:2::9", AGENTS["mag2"])]
    assert not [line for line in lab.journal("mag1") if line["event"] == "packet"]


def test_nothing_tunnelled_comes_in_from_an_access_link(lab: Lab) -> None:
    lab.start_all("sd-pmip")
    lab.attach("mn1", "mag1")
    source = lab.address("mn1")
    for mag in ("mag1", "mag2"):
        lab.inject("mn1", 41, AGENTS[mag], source, "2001:db8:100:2::9")
        assert not [line for line in lab.journal(mag) if line["event"] == "tunnelled packet"]


def test_signalling_from_an_access_link_is_told_apart_or_never_forwarded(lab: Lab) -> None:
    lab.start_all("s-pmip")
    lab.attach("mn1", "mag1")
    source = lab.address("mn1")
    for target in AGENTS.values():
        lab.inject("mn1", 135, target, source, source)
    assert [line["link"] for line in lab.journal("mag1") if line["event"] == "malformed"] == ["mn1-air"]
    assert not [line for name in ("mag2", "lma") for line in lab.journal(name) if line["event"] == "malformed"]


def test_a_header_that_cannot_be_read_is_answered(lab: Lab) -> None:
    lab.start_all("pmip")
    for unreadable in ("3b01ff00000000000000000000000000", "3a010500000000010000000000000000"):
        ip("netns", "exec", "mag2", sys.executable, "-c", INJECT_HEADER, unreadable, AGENTS["lma"])
    time.sleep(0.2)
    (error,) = [line for line in lab.journal("mag2") if line.get("message") == "BE"]
    assert (error["source"], error["status"], error["home_address"]) == (AGENTS["lma"], 2, "::")
    reported = [line["source"] for line in lab.journal("lma") if line["event"] == "reported parameter problem"]
    assert reported == [AGENTS["mag2"]]


def test_a_header_with_a_wrong_checksum_reaches_no_agent(lab: Lab) -> None:
    """What would be answered, a message of no known type, is not where its checksum is wrong."""
    lab.start_all("pmip")
    unknown = bytes.fromhex("3b01ff00000000000000000000000000")
    right = ipv6_packet(unknown, IPv6Address(AGENTS["mag2"]), IPv6Address(AGENTS["lma"]))
    wrong = right[:45] + bytes((right[45] ^ 1,)) + right[46:]
    answers = []
    for octets in (wrong, right):
        ip("netns", "exec", "mag2", sys.executable, "-c", INJECT_PACKET, octets.hex(), AGENTS["lma"])
        time.sleep(0.2)
        answers.append(len([line for line in lab.journal("mag2") if line.get("message") == "BE"]))
    assert answers == [0, 1]


FOREIGN = ["2001:db8:77::1", "2001:db8:100:2::bad", "2001:db8:0:1::2", "fe80::ff:fe00:1"]


@pytest.mark.parametrize("scheme", ["pmip", "pmip-lr", "s-pmip", "sd-pmip"])
def test_a_node_is_forwarded_for_with_its_own_prefixes_only(lab: Lab, scheme: str) -> None:
    lab.start_all(scheme)
    lab.attach("mn1", "mag1")
    lab.attach("cn1", "mag2")
    own, target = lab.address("mn1"), lab.address("cn1")
    assert lab.pings("mn1", target, 2) == 2
    also_own = HOSTS["mn1"][0].replace("/64", "77")
    assert lab.heard("mn1", "cn1", target, [*FOREIGN, own, also_own]) == {own, also_own}


@pytest.mark.parametrize("scheme", ["pmip", "sd-pmip"])
def test_a_node_is_answered_with_its_own_addresses_only(lab: Lab, scheme: str) -> None:
    """Whoever else it pretends to be gets nothing for that: not the echo replies of its MAG, to whatever address of the MAG's it speaks."""
    lab.start_all(scheme)
    lab.attach("mn1", "mag1")
    own = lab.address("mn1")
    others = [AGENTS["mag2"], "2001:db8:100:2::bad", "2001:db8:77::1"]
    router = "fe80::200:5eff:fe00:5213%mn1-eth0"
    for target in (AGENTS["mag1"], router, "ff02::2%mn1-eth0", "ff02::1%mn1-eth0"):
        assert lab.answered("mn1", target, others) == 0
        assert lab.answered("mn1", target, [own]) == 1
    assert lab.pings("mn1", router, 1) == lab.pings("mn1", AGENTS["mag1"], 1) == 1


@pytest.mark.parametrize("scheme", ["pmip", "s-pmip", "sd-pmip"])
def test_a_node_without_a_binding_has_no_router_and_is_not_forwarded_for(lab: Lab, scheme: str) -> None:
    """Nobody answers for the router's address, so that what the node sends waits with it; one that knows where to send it all the same is
    not forwarded for."""
    lab.start_all(scheme)
    lab.attach("cn1", "mag2")
    target = lab.address("cn1")
    ip("link", "set", "mn1-air", "alias", f"nobody@dmm.example {HOSTS['mn1'][1]}")
    lab.attach("mn1", "mag1")
    own = HOSTS["mn1"][0].replace("/64", "9")
    router = "fe80::200:5eff:fe00:5213"
    batch("mn1", [f"addr add {own}/64 dev mn1-eth0 nodad", f"route add default via {router} dev mn1-eth0"])
    assert lab.pings("mn1", f"{router}%mn1-eth0", 2) == 0
    batch("mn1", [f"neigh replace {router} lladdr 00:00:5e:00:52:13 dev mn1-eth0"])
    assert lab.heard("mn1", "cn1", target, [own]) == set()
    assert not [line for line in lab.journal("mag1") if line["event"] == "packet"]
