"""The ways that packets take through agents' kernels: who carries them, how far, and how large they may be."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter

import pytest

from agents.config import Settings
from agents.linux.tun import QUEUE
from experiments.declare.forgeries import STRANGER
from tests.guest.lab import AGENTS, PREFIXES, STATIONS, Lab
from tests.guest.nodes import Nodes
from tests.guest.packets import TUNNEL, congestion, data, ends, ipv6, too_big
from tests.guest.senders import next_tunnelled

ECN = [((0, 0), (0, 0)), ((1, 1), (1, 1)), ((2, 2), (2, 2)), ((2, 3), (3, 2)), ((1, 3), (3, 2)), ((3, 2), (3, 2))]
"""What the ECN field says inside and outside, as a packet comes to the anchor and as it leaves."""


@pytest.mark.parametrize("scheme", ["pmip", "s-pmip", "sd-pmip"])
def test_hosts_configure_themselves_and_reach_each_other(nodes: Nodes) -> None:
    address = nodes.address("mn1")
    assert address in PREFIXES["mn1"]
    assert nodes.pings("cn1", address, 5) == 5


@pytest.mark.parametrize("scheme", ["s-pmip", "sd-pmip"])
def test_only_the_first_packet_leaves_the_kernel(lab: Lab, scheme: str) -> None:
    address, _ = lab.begin(scheme, "mn1", "cn1")
    assert lab.pings("cn1", address, 5) == 5
    events = [line["event"] if "message" not in line else line["message"] for line in lab.journal("mag2")]
    start = events.index("packet")
    expected = ["packet", "PBQ", "PQA", "released", "route installed"]
    assert [event for event in events[start:] if event in expected][:5] == expected
    assert events.count("packet") == 1
    assert "tunnelled packet" not in events


def test_no_packet_waits_for_the_agent_when_a_route_takes_the_next_past_it(lab: Lab) -> None:
    """However many wait, they go first, or those that the kernel forwards would overtake them; more than there is room for is told."""
    own, target = lab.begin("s-pmip", "mn1", "cn1", settings=Settings(buffer_packets=10_000, buffer_bytes=10**8))
    os.kill(lab.pids["mag1"], signal.SIGSTOP)
    lab.send("mn1", [data(own, target)] * (QUEUE + 100))
    os.kill(lab.pids["mag1"], signal.SIGCONT)
    time.sleep(1)
    told: Counter[str] = Counter()
    for line in lab.journal("mag1"):
        assert line["event"] != "packet" or "times" in line or not told["route installed"]
        told[line["event"]] += line.get("times", 1) if line["event"] == "packet" else line.get("packets", 1)
    assert told["packet"] + told["not read"] == QUEUE + 100
    assert told["packet"] > QUEUE - 10  # the device has a word of its own there


def test_the_anchor_forwards_from_tunnel_to_tunnel_and_keeps_what_ecn_says(lab: Lab) -> None:
    """RFC 5213, 5.6.2 and 5.6.3; what leaves with congestion experienced inside is capable of it outside (RFC 3168, 9.1.1)."""
    (destination,) = lab.begin("pmip", "mn1")
    source = PREFIXES["cn1"][9]
    time.sleep(0.5)
    with lab.tap("mag1") as seen:
        for (inside, outside), after in ECN:
            sent = ipv6(TUNNEL, AGENTS["mag2"], AGENTS["lma"], data(source, destination, inside), outside)
            lab.send("mag2", [sent])
            outer, inner = next_tunnelled(seen)
            assert (ends(outer), ends(inner)) == ((AGENTS["lma"], AGENTS["mag1"]), (source, destination))
            assert (congestion(inner), congestion(outer)) == after


@pytest.mark.parametrize("local", [False, True])
def test_pmip_delivers_between_its_own_nodes_past_the_anchor_only_where_it_may(lab: Lab, local: bool) -> None:
    (address,) = lab.begin("pmip", "mn1", settings=Settings(local_routing=local))
    lab.attach("cn1", "mag1")
    assert lab.pings("cn1", address, 5) == 5
    assert lab.received_through_tunnels("lma") == (0 if local else 10)


@pytest.mark.parametrize(("mag", "local"), [("mag2", False), ("mag1", True), ("mag1", False)])
def test_localized_routing_takes_all_but_the_first_packets_past_the_anchor(lab: Lab, mag: str, local: bool) -> None:
    (address,) = lab.begin("pmip-lr", "mn1", settings=Settings(local_routing=local))
    lab.attach("cn1", mag)
    assert lab.pings("cn1", address, 5) == 5
    refused = mag == "mag1" and not local
    assert (lab.received_through_tunnels("lma") == 10) if refused else (1 <= lab.received_through_tunnels("lma") <= 4)
    said = [line["message"] for line in lab.journal("lma", "sent", "received") if line["message"] in ("LRI", "LRA")]
    assert said == (["LRI", "LRI", "LRA", "LRA"] if mag == "mag2" else ["LRI", "LRA"])
    assert f"ttl={64 - (3 if refused else 2 if mag == 'mag2' else 1)} " in lab.ping("cn1", address, "-c", "1", "-W", "3")


def test_localized_routing_ends_with_the_node_and_goes_on_at_its_next_mag(lab: Lab) -> None:
    address, _ = lab.begin("pmip-lr", "mn1", "cn1")
    assert lab.pings("cn1", address, 2) == 2
    prefix = str(PREFIXES["mn1"])
    assert prefix in lab.ip("mag2", "-6", "route", "show", "table", "103")
    lab.net.handover("mn1", "mag2", l2_gap=0.001)
    assert lab.pings("cn1", address, 10) >= 5
    assert prefix not in lab.ip("mag2", "-6", "route", "show", "table", "103")
    assert "mn1-air" not in lab.ip("mag1", "-6", "rule")


@pytest.mark.parametrize(("scheme", "hops"), [("pmip", 3), ("s-pmip", 2), ("sd-pmip", 2)])
def test_a_tunnel_is_one_hop_and_a_packet_at_its_last_is_reported(nodes: Nodes, hops: int) -> None:
    target = nodes.address("mn1")
    assert f"ttl={64 - hops} " in nodes.ping("cn1", target, "-c", "2", "-W", "3")
    assert "Time exceeded" in nodes.ping("cn1", target, "-c", "1", "-t", "1", "-W", "3")


def test_a_node_is_told_the_mtu_that_the_path_to_the_anchor_leaves(lab: Lab) -> None:
    def shrink(path: int) -> None:
        quoted = ipv6(TUNNEL, AGENTS["mag1"], AGENTS["lma"], data(own, PREFIXES["cn1"][1]))
        lab.send("lma", [too_big(path, AGENTS["lma"], AGENTS["mag1"], quoted)])
        time.sleep(0.2)

    (own,) = lab.begin("pmip", "mn1")
    assert lab.mtu("mn1") == 1460
    shrink(1400)
    assert lab.journal("mag1", "path changed")
    assert lab.mtu("mn1") == 1360
    lab.ip("mag1", "link", "set", "mn1-air", "mtu", "1300")
    shrink(1380)
    assert lab.mtu("mn1") == 1300


@pytest.mark.parametrize("scheme", ["pmip", "pmip-lr", "s-pmip", "sd-pmip"])
def test_what_every_path_has_to_take_goes_through_a_narrow_core_in_fragments(lab: Lab, scheme: str) -> None:
    """1,280 octets do not fit into a tunnel through 1,300: the packet outside is fragmented (RFC 2473, 7.1)."""
    lab.narrow_core(1300)
    _, target = lab.begin(scheme, "mn1", "cn1")
    assert [lab.pings("mn1", target, 2, octets=octets) for octets in (1260, 1261, 1280)] == [2, 2, 2]


@pytest.mark.parametrize("scheme", ["pmip", "pmip-lr", "s-pmip", "sd-pmip"])
def test_what_a_gateway_itself_has_to_say_reaches_nodes_elsewhere(nodes: Nodes, scheme: str) -> None:
    """A packet that is too large for another's access link, one for an address that nobody has, and a traceroute's last router."""
    target = nodes.address("cn1")
    nodes.ip("mag2", "link", "set", "cn1-air", "mtu", "1300")
    assert nodes.pings("mn1", target, 1) == 1
    assert "Packet too big: mtu=1300" in nodes.ping("mn1", target, "-c", "1", "-M", "do", "-s", "1352")
    assert f"From {AGENTS['mag2']}" in nodes.ping("mn1", PREFIXES["cn1"][0xDEAD], "-c", "1", "-W", "5")
    assert f"From {AGENTS['mag2']}" in nodes.ping("mn1", target, "-c", "1", "-t", str(3 if scheme == "pmip" else 2))


def test_a_forged_packet_too_big_costs_no_packet(lab: Lab) -> None:
    """A node is on no path between agents and is not believed; whoever on the core names a packet of the agent's is, and then packets come
    in fragments for a while."""
    node, target = lab.begin("s-pmip", "mn1", "cn1")
    assert lab.pings("mn1", target, 1) == 1

    def tell(sender: str, quoted: str, to: str) -> None:
        source = {"mn1": node, "cn1": target, "stranger": STRANGER}[sender]
        packet = ipv6(TUNNEL, AGENTS[quoted], AGENTS[to], data(node, target))
        lab.send(sender, [too_big(1280, source, AGENTS["mag1"], packet)])

    for sender, quoted in (("mn1", "mag1"), ("mn1", "mag2"), ("stranger", "mag2"), ("cn1", "mag1")):
        tell(sender, quoted, "mag2" if quoted == "mag1" else "lma")
    assert "mtu" not in lab.ip("mag1", "-6", "route", "get", str(AGENTS["mag2"]))
    assert lab.pings("mn1", target, 2, octets=1460) == 2
    tell("stranger", "mag1", "mag2")
    assert "mtu 1280" in lab.ip("mag1", "-6", "route", "get", str(AGENTS["mag2"]))
    assert [lab.pings("mn1", target, 3, octets=octets) for octets in (1240, 1241, 1280)] == [3, 3, 3]


@pytest.mark.parametrize("code", [0, 1, 2, 3])
def test_congestion_is_shown_outside_of_what_the_agent_tunnels_itself(lab: Lab, code: int) -> None:
    """RFC 5213, 5.6.3; the packet waits for its query, so it is the agent that tunnels it, and not the kernel."""
    _, target = lab.begin("s-pmip", "mn1", "cn1")
    with lab.tap("mag2") as seen:
        lab.ping("mn1", target, "-c", "1", "-Q", str(code))
        outer, inner = next_tunnelled(seen)
    assert (congestion(outer), congestion(inner)) == ((0, 1, 2, 2)[code], code)


def test_without_a_path_to_discover_the_core_s_mtu_counts(lab: Lab) -> None:
    lab.ip("mag1", "link", "set", "mag1-eth0", "mtu", "1400")
    lab.begin("sd-pmip", "mn1")
    assert lab.mtu("mn1") == 1360
    assert "mtu 1360" in lab.ip("mag1", "link", "show", "tnl")


def test_the_path_to_the_anchor_is_probed_where_the_domain_says_so(lab: Lab) -> None:
    lab.start_all("pmip", Settings(path_probe=0.5))
    time.sleep(1.2)
    probed = len(lab.journal("mag1", "path probed"))
    assert probed >= 2
    assert lab.counted("mag1", "Icmp6InEchoReplies") == probed


def test_two_interfaces_of_a_node_are_two_sessions_and_hand_one_over(lab: Lab) -> None:
    lab.start_all("pmip")
    lab.ip("wires", "link", "set", "cn1-air", "alias", f"mn1@dmm.example {STATIONS['cn1']} att=3 hi=2")
    lab.attach("mn1", "mag1")
    prefix = PREFIXES["mn1"]
    assert lab.attach("cn1", "mag1") in prefix
    updates = [line for line in lab.journal("mag1", "sent") if line.get("message") == "PBU"]
    assert [(line["handoff_indicator"], line["access_technology"]) for line in updates] == [(4, 4), (2, 3)]
    assert f"{prefix} dev cn1-air" in lab.ip("mag1", "-6", "route")
    assert f"{prefix} dev mn1-air" not in lab.ip("mag1", "-6", "route")
