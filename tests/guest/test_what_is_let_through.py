"""What agents' kernels take from access links and from the core, and what they refuse."""

from __future__ import annotations

import time
from ipaddress import IPv6Address

import pytest

from agents.config import FIXED_LINK_LAYER, FIXED_LINK_LOCAL
from agents.messages import ipv6_packet
from agents.schemes import SCHEMES
from experiments.declare.forgeries import STRANGER
from tests.guest.lab import AGENTS, PREFIXES, STATIONS, Lab
from tests.guest.nodes import Nodes
from tests.guest.packets import (
    DESTINATION_OPTIONS,
    FRAGMENT,
    HOP_BY_HOP,
    IPV4,
    ROUTING,
    TUNNEL,
    data,
    ends,
    fragments,
    ipv6,
    nonsense,
    wrapped,
)

FORGED = data(PREFIXES["cn1"][0xBAD], PREFIXES["mn1"][9])
"""A packet to be tunnelled, from another's address."""
WRAPPINGS = [
    (),
    (FRAGMENT,),
    (DESTINATION_OPTIONS,),
    (FRAGMENT, DESTINATION_OPTIONS),
    (FRAGMENT, ROUTING),
    (HOP_BY_HOP, FRAGMENT, DESTINATION_OPTIONS),
    (DESTINATION_OPTIONS,) * 20,
]


ROUTER = IPv6Address(f"{FIXED_LINK_LOCAL}%mn1-eth0")


@pytest.mark.parametrize("scheme", ["pmip", "s-pmip", "sd-pmip"])
def test_only_peers_tunnel_whatever_headers_come_before(lab: Lab, scheme: str) -> None:
    """A Fragment header hides from routing rules what comes behind; each wrapping is one that the kernel does decapsulate for a peer."""
    (node,) = lab.begin(scheme, "mn1")
    targets = [AGENTS[name] for name in ("mag1", "lma") if name == "mag1" or "LMA" in SCHEMES[scheme].agents]
    lab.send("stranger", [wrapped(wrapping, TUNNEL, FORGED, STRANGER, target) for wrapping in WRAPPINGS for target in targets])
    lab.send("mn1", [wrapped(wrapping, TUNNEL, FORGED, node, target) for wrapping in WRAPPINGS for target in AGENTS.values()])
    agents = ["mag1", "mag2", *(["lma"] if "LMA" in SCHEMES[scheme].agents else [])]
    assert [lab.received_through_tunnels(name) for name in agents] == [0] * len(agents)
    lab.send("mag2", [wrapped(wrapping, TUNNEL, FORGED, AGENTS["mag2"], AGENTS["mag1"]) for wrapping in WRAPPINGS])
    assert lab.received_through_tunnels("mag1") == len(WRAPPINGS)


def test_only_peers_tunnel_in_fragments(lab: Lab) -> None:
    """Also where the header that tells of the tunnel comes in the second fragment, or in none."""
    lab.begin("s-pmip", "mn1")
    options = bytes((TUNNEL, 0, 1, 4, 0, 0, 0, 0))
    more = bytes((DESTINATION_OPTIONS, 0, 1, 4, 0, 0, 0, 0))
    cuts = [
        (8, options + FORGED),
        (16, options + FORGED),
        (56, options + FORGED),
        (8, more + options + FORGED),
        (16, more + options + FORGED),
    ]
    for number, source in enumerate((STRANGER, AGENTS["mag2"])):
        node = "stranger" if source == STRANGER else "mag2"
        for cut, (at, octets) in enumerate(cuts):
            lab.send(node, fragments(DESTINATION_OPTIONS, octets, at, source, AGENTS["mag1"], 100 * number + cut))
        assert lab.received_through_tunnels("mag1") == (0 if source == STRANGER else 2)
    damaged = [bytes((TUNNEL, 200, 1, 4, 0, 0, 0, 0)), bytes((TUNNEL,)), b""]
    lab.send("stranger", [wrapped((), DESTINATION_OPTIONS, octets, STRANGER, AGENTS["mag1"]) for octets in damaged])
    assert lab.received_through_tunnels("mag1") == 2


def test_a_tunnel_ends_at_an_agents_own_address_only_and_carries_ipv6_only(lab: Lab) -> None:
    """Linux joins all routers' groups on links that exist when forwarding is switched on, as after a restart."""
    (node,) = lab.begin("s-pmip", "mn1")
    lab.stop("mag1")
    lab.start("mag1", "s-pmip")
    time.sleep(5)
    groups = list(map(IPv6Address, ("ff05::2", "ff02::2", "ff02::1", "ff02::1:ff00:5213")))
    targets = [*groups, FIXED_LINK_LOCAL, AGENTS["mag1"]]
    for wrapping in WRAPPINGS[:4]:
        lab.send("mn1", [wrapped(wrapping, protocol, FORGED, node, target) for target in targets for protocol in (TUNNEL, IPV4)])
        for source in (STRANGER, AGENTS["mag2"]):
            lab.send("stranger", [wrapped(wrapping, TUNNEL, FORGED, source, group) for group in groups])
    ipv4 = bytes.fromhex("4500001c00000000401100000a0000010a000002145d145d00080000")
    lab.send("mag2", [ipv6(IPV4, AGENTS["mag2"], AGENTS["mag1"], ipv4)])
    assert lab.received_through_tunnels("mag1") == 0


@pytest.mark.parametrize("scheme", ["pmip", "s-pmip", "sd-pmip"])
def test_signalling_of_a_node_reaches_its_own_gateway_only_whatever_headers_come_before(lab: Lab, scheme: str) -> None:
    """Nor does it, in another's name, out of a tunnel that its own gateway, the anchor or a third ends."""
    (node,) = lab.begin(scheme, "mn1")
    others = [name for name in AGENTS if name != "mag1"]
    lab.send("mn1", [nonsense(node, AGENTS[name], wrapping) for wrapping in WRAPPINGS for name in others])
    posing = [nonsense(AGENTS["mag2"], AGENTS[name], wrapping) for wrapping in WRAPPINGS[:2] for name in ("mag1", "lma")]
    lab.send("mn1", [wrapped(wrapping, TUNNEL, packet, node, ends(packet)[1]) for wrapping in WRAPPINGS for packet in posing])
    lab.send("mag2", [ipv6(TUNNEL, AGENTS["mag2"], ends(packet)[1], packet) for packet in posing])
    assert not any(lab.journal(name, "malformed") for name in AGENTS)
    lab.send("mag2", [nonsense(AGENTS["mag2"], AGENTS["mag1"], wrapping) for wrapping in WRAPPINGS])
    assert len(lab.journal("mag1", "malformed")) == len(WRAPPINGS)


def test_a_tunnelled_packet_wakes_the_agent_only_where_its_node_is_not(lab: Lab) -> None:
    (here,) = lab.begin("sd-pmip", "mn1")
    elsewhere = PREFIXES["cn1"][9]
    for destination in (here, elsewhere, IPv6Address("2001:db8:0:77::1")):
        lab.send("mag2", [ipv6(TUNNEL, AGENTS["mag2"], AGENTS["mag1"], data(PREFIXES["cn1"][1], destination))])
    strays = lab.journal("mag1", "tunnelled packet")
    assert [(line["destination"], line["source"]) for line in strays] == [(str(elsewhere), str(AGENTS["mag2"]))]
    assert not lab.journal("mag1", "packet")


def test_nothing_tunnelled_comes_in_from_an_access_link(lab: Lab) -> None:
    (own,) = lab.begin("sd-pmip", "mn1")
    for mag in ("mag1", "mag2"):
        lab.send("mn1", [ipv6(TUNNEL, own, AGENTS[mag], data(own, PREFIXES["cn1"][9]))])
        assert not lab.journal(mag, "tunnelled packet")


def test_signalling_from_an_access_link_is_told_apart_or_never_forwarded(lab: Lab) -> None:
    (own,) = lab.begin("s-pmip", "mn1")
    lab.send("mn1", [nonsense(own, target) for target in AGENTS.values()])
    assert [line["link"] for line in lab.journal("mag1", "malformed")] == ["mn1-air"]
    assert not any(lab.journal(name, "malformed") for name in ("mag2", "lma"))


def test_a_header_that_cannot_be_read_is_answered(lab: Lab) -> None:
    lab.start_all("pmip")
    unreadable = map(bytes.fromhex, ("3b01ff00000000000000000000000000", "3a010500000000010000000000000000"))
    lab.send("mag2", [ipv6_packet(header, AGENTS["mag2"], AGENTS["lma"]) for header in unreadable])
    time.sleep(0.1)
    (error,) = [line for line in lab.journal("mag2") if line.get("message") == "BE"]
    assert (error["source"], error["status"], error["home_address"]) == (str(AGENTS["lma"]), 2, "::")
    assert [line["source"] for line in lab.journal("lma", "reported parameter problem")] == [str(AGENTS["mag2"])]


def test_a_header_with_a_wrong_checksum_reaches_no_agent(lab: Lab) -> None:
    """What would be answered, a message of no known type, is not where its checksum is wrong."""
    lab.start_all("pmip")
    right = ipv6_packet(bytes.fromhex("3b01ff00000000000000000000000000"), AGENTS["mag2"], AGENTS["lma"])
    wrong = right[:45] + bytes((right[45] ^ 1,)) + right[46:]
    answers = []
    for octets in (wrong, right):
        lab.send("mag2", [octets])
        time.sleep(0.1)
        answers.append(len([line for line in lab.journal("mag2") if line.get("message") == "BE"]))
    assert answers == [0, 1]


FOREIGN = [IPv6Address("2001:db8:77::1"), PREFIXES["cn1"][0xBAD], AGENTS["mag2"], IPv6Address("fe80::ff:fe00:1")]


@pytest.mark.parametrize("scheme", ["pmip", "pmip-lr", "s-pmip", "sd-pmip"])
def test_a_node_is_forwarded_for_with_its_own_prefixes_only(nodes: Nodes) -> None:
    own, target = nodes.address("mn1"), nodes.address("cn1")
    assert nodes.pings("mn1", target, 2) == 2
    also_own = PREFIXES["mn1"][0x77]
    assert nodes.heard("mn1", "cn1", target, [*FOREIGN, own, also_own]) == {own, also_own}


@pytest.mark.parametrize("scheme", ["pmip", "sd-pmip"])
def test_a_node_is_answered_with_its_own_addresses_only(lab: Lab, scheme: str) -> None:
    """Whoever else it pretends to be gets nothing for that: not the echo replies of its MAG, to whatever address of the MAG's it speaks."""
    (own,) = lab.begin(scheme, "mn1")
    others = [AGENTS["mag2"], PREFIXES["cn1"][0xBAD], IPv6Address("2001:db8:77::1")]
    for target in (AGENTS["mag1"], FIXED_LINK_LOCAL, IPv6Address("ff02::2"), IPv6Address("ff02::1")):
        assert lab.answered("mn1", target, others) == 0
        assert lab.answered("mn1", target, [own]) == 1
    assert lab.pings("mn1", ROUTER, 1) == lab.pings("mn1", AGENTS["mag1"], 1) == 1


@pytest.mark.parametrize("scheme", ["pmip", "s-pmip", "sd-pmip"])
def test_a_node_without_a_binding_has_no_router_and_is_not_forwarded_for(lab: Lab, scheme: str) -> None:
    """Nobody answers for the router's address, so that what the node sends waits with it; one that knows where to send it all the same is
    not forwarded for."""
    (target,) = lab.begin(scheme, "cn1")
    lab.ip("wires", "link", "set", "mn1-air", "alias", f"nobody@dmm.example {STATIONS['mn1']}")
    lab.net.attach("mn1", "mag1")
    own, device = PREFIXES["mn1"][9], "dev mn1-eth0"
    lab.batch("mn1", [f"addr add {own}/64 {device} nodad", f"route add default via {FIXED_LINK_LOCAL} {device}"])
    assert lab.pings("mn1", ROUTER, 2) == 0
    lab.batch("mn1", [f"neigh replace {FIXED_LINK_LOCAL} lladdr {FIXED_LINK_LAYER} {device}"])
    assert lab.heard("mn1", "cn1", target, [own]) == set()
    assert not lab.journal("mag1", "packet")
