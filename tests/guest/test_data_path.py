"""The ways that packets take through agents' kernels: who carries them, how far, and how large they may be."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from ipaddress import IPv6Address, IPv6Network

import pytest

from agents.config import Settings
from agents.linux.tun import QUEUE
from tests.guest.lab import AGENTS, ECN, HOSTS, SEND_MANY, TAKE_TUNNELLED, TOO_BIG, TUNNEL_ECN, Lab, ip


@pytest.mark.parametrize("scheme", ["pmip", "s-pmip", "sd-pmip"])
def test_hosts_configure_themselves_and_reach_each_other(lab: Lab, scheme: str) -> None:
    lab.start_all(scheme)
    lab.attach("mn1", "mag1")
    lab.attach("cn1", "mag2")
    address = IPv6Address(lab.address("mn1"))
    assert address in IPv6Network(HOSTS["mn1"][0])
    lab.address("cn1")
    assert lab.pings("cn1", str(address), 5) == 5


@pytest.mark.parametrize("scheme", ["s-pmip", "sd-pmip"])
def test_only_the_first_packet_leaves_the_kernel(lab: Lab, scheme: str) -> None:
    lab.start_all(scheme)
    lab.attach("mn1", "mag1")
    lab.attach("cn1", "mag2")
    lab.address("cn1")
    assert lab.pings("cn1", lab.address("mn1"), 5) == 5
    events = [line["event"] if "message" not in line else line["message"] for line in lab.journal("mag2")]
    start = events.index("packet")
    expected = ["packet", "PBQ", "PQA", "released", "route installed"]
    assert [event for event in events[start:] if event in expected][:5] == expected
    assert events.count("packet") == 1
    assert "tunnelled packet" not in events


def test_no_packet_waits_for_the_agent_when_a_route_takes_the_next_past_it(lab: Lab) -> None:
    """However many wait, they go first, or those that the kernel forwards would overtake them; more than there is room for is told."""
    lab.start_all("s-pmip", Settings(buffer_packets=10_000, buffer_bytes=10**8))
    for host, mag in (("mn1", "mag1"), ("cn1", "mag2")):
        lab.attach(host, mag)
    target = lab.address("cn1")
    lab.address("mn1")
    os.kill(lab.pids["mag1"], signal.SIGSTOP)
    ip("netns", "exec", "mn1", sys.executable, "-c", SEND_MANY, target, str(QUEUE + 100))
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
    lab.start_all("pmip")
    lab.attach("mn1", "mag1")
    destination = lab.address("mn1")
    time.sleep(0.5)
    listen = ["ip", "netns", "exec", "mag1", sys.executable, "-c", TAKE_TUNNELLED, "mag1-eth0"]
    with subprocess.Popen(listen, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as listener:
        assert listener.stdout is not None
        assert listener.stdout.readline() == "ready\n"
        for before, after in ECN:
            arguments = AGENTS["lma"], "2001:db8:100:2::9", destination, *map(str, before)
            ip("netns", "exec", "mag2", sys.executable, "-c", TUNNEL_ECN, *arguments)
            outer = bytes.fromhex(listener.stdout.readline())
            inner = outer[40:]
            assert (IPv6Address(outer[8:24]), IPv6Address(outer[24:40])) == (IPv6Address(AGENTS["lma"]), IPv6Address(AGENTS["mag1"]))
            assert (IPv6Address(inner[8:24]), IPv6Address(inner[24:40])) == (IPv6Address("2001:db8:100:2::9"), IPv6Address(destination))
            assert (inner[1] >> 4 & 3, outer[1] >> 4 & 3) == after
        listener.terminate()


@pytest.mark.parametrize("local", [False, True])
def test_pmip_delivers_between_its_own_nodes_past_the_anchor_only_where_it_may(lab: Lab, local: bool) -> None:
    lab.start_all("pmip", Settings(local_routing=local))
    for host in HOSTS:
        lab.attach(host, "mag1")
    lab.address("cn1")
    assert lab.pings("cn1", lab.address("mn1"), 5) == 5
    assert lab.received_through_tunnels("lma") == (0 if local else 10)


@pytest.mark.parametrize(("mag", "local"), [("mag2", False), ("mag1", True), ("mag1", False)])
def test_localized_routing_takes_all_but_the_first_packets_past_the_anchor(lab: Lab, mag: str, local: bool) -> None:
    lab.start_all("pmip-lr", Settings(local_routing=local))
    lab.attach("mn1", "mag1")
    lab.attach("cn1", mag)
    lab.address("cn1")
    address = lab.address("mn1")
    assert lab.pings("cn1", address, 5) == 5
    refused = mag == "mag1" and not local
    assert (lab.received_through_tunnels("lma") == 10) if refused else (1 <= lab.received_through_tunnels("lma") <= 4)
    said = [line["message"] for line in lab.journal("lma") if line["event"] in ("sent", "received") and line["message"] in ("LRI", "LRA")]
    assert said == (["LRI", "LRI", "LRA", "LRA"] if mag == "mag2" else ["LRI", "LRA"])
    assert f"ttl={64 - (3 if refused else 2 if mag == 'mag2' else 1)} " in lab.ping("cn1", address, "-c", "1", "-W", "3")


def test_localized_routing_ends_with_the_node_and_goes_on_at_its_next_mag(lab: Lab) -> None:
    lab.start_all("pmip-lr")
    lab.attach("mn1", "mag1")
    lab.attach("cn1", "mag2")
    lab.address("cn1")
    address = lab.address("mn1")
    assert lab.pings("cn1", address, 2) == 2
    prefix = HOSTS["mn1"][0]
    assert prefix in ip("-6", "-n", "mag2", "route", "show", "table", "103")
    ip("-n", "mag1", "link", "set", "mn1-air", "netns", "mag2")
    ip("-n", "mag2", "link", "set", "mn1-air", "up")
    assert lab.pings("cn1", address, 10) >= 5
    assert prefix not in ip("-6", "-n", "mag2", "route", "show", "table", "103")
    assert "mn1-air" not in ip("-6", "-n", "mag1", "rule")


@pytest.mark.parametrize(("scheme", "hops"), [("pmip", 3), ("s-pmip", 2), ("sd-pmip", 2)])
def test_a_tunnel_is_one_hop_and_a_packet_at_its_last_is_reported(lab: Lab, scheme: str, hops: int) -> None:
    lab.start_all(scheme)
    lab.attach("mn1", "mag1")
    lab.attach("cn1", "mag2")
    lab.address("cn1")
    target = lab.address("mn1")
    assert f"ttl={64 - hops} " in lab.ping("cn1", target, "-c", "2", "-W", "3")
    assert "Time exceeded" in lab.ping("cn1", target, "-c", "1", "-t", "1", "-W", "3")


def test_a_node_is_told_the_mtu_that_the_path_to_the_anchor_leaves(lab: Lab) -> None:
    def shrink(path: int) -> None:
        inner = own, "2001:db8:100:2::1"
        ip("netns", "exec", "lma", sys.executable, "-c", TOO_BIG, str(path), AGENTS["mag1"], AGENTS["lma"], *inner)
        time.sleep(0.3)

    lab.start_all("pmip")
    lab.attach("mn1", "mag1")
    own = lab.address("mn1")
    assert lab.mtu("mn1") == 1460
    shrink(1400)
    assert "path changed" in [line["event"] for line in lab.journal("mag1")]
    assert lab.mtu("mn1") == 1360
    ip("-n", "mag1", "link", "set", "mn1-air", "mtu", "1300")
    shrink(1380)
    assert lab.mtu("mn1") == 1300


@pytest.mark.parametrize("scheme", ["pmip", "pmip-lr", "s-pmip", "sd-pmip"])
def test_what_every_path_has_to_take_goes_through_a_narrow_core_in_fragments(lab: Lab, scheme: str) -> None:
    """1,280 octets do not fit into a tunnel through 1,300: the packet outside is fragmented (RFC 2473, 7.1)."""
    lab.narrow_core(1300)
    lab.start_all(scheme)
    for host, mag in (("mn1", "mag1"), ("cn1", "mag2")):
        lab.attach(host, mag)
    target = lab.address("cn1")
    lab.address("mn1")
    assert [lab.pings("mn1", target, 2, octets=octets) for octets in (1260, 1261, 1280)] == [2, 2, 2]


@pytest.mark.parametrize("scheme", ["pmip", "pmip-lr", "s-pmip", "sd-pmip"])
def test_what_a_gateway_itself_has_to_say_reaches_nodes_elsewhere(lab: Lab, scheme: str) -> None:
    """A packet that is too large for another's access link, one for an address that nobody has, and a traceroute's last router."""
    lab.start_all(scheme)
    for host, mag in (("mn1", "mag1"), ("cn1", "mag2")):
        lab.attach(host, mag)
    target = lab.address("cn1")
    lab.address("mn1")
    ip("-n", "mag2", "link", "set", "cn1-air", "mtu", "1300")
    assert lab.pings("mn1", target, 1) == 1
    assert "Packet too big: mtu=1300" in lab.ping("mn1", target, "-c", "1", "-M", "do", "-s", "1352")
    assert f"From {AGENTS['mag2']}" in lab.ping("mn1", HOSTS["cn1"][0].replace("/64", "dead"), "-c", "1", "-W", "5")
    assert f"From {AGENTS['mag2']}" in lab.ping("mn1", target, "-c", "1", "-t", str(3 if scheme == "pmip" else 2))


def test_a_forged_packet_too_big_costs_no_packet(lab: Lab) -> None:
    """A node is on no path between agents and is not believed; whoever on the core names a packet of the agent's is, and then packets come
    in fragments for a while."""
    lab.start_all("s-pmip")
    for host, mag in (("mn1", "mag1"), ("cn1", "mag2")):
        lab.attach(host, mag)
    target, node = lab.address("cn1"), lab.address("mn1")
    assert lab.pings("mn1", target, 1) == 1
    inner = node, target
    for sender, quoted in (("mn1", "mag1"), ("mn1", "mag2"), ("core", "mag2"), ("cn1", "mag1")):
        arguments = "1280", AGENTS[quoted], AGENTS["mag2" if quoted == "mag1" else "lma"], *inner, AGENTS["mag1"]
        ip("netns", "exec", sender, sys.executable, "-c", TOO_BIG, *arguments)
    assert "mtu" not in ip("-n", "mag1", "-6", "route", "get", AGENTS["mag2"])
    assert lab.pings("mn1", target, 2, octets=1460) == 2
    ip("netns", "exec", "core", sys.executable, "-c", TOO_BIG, "1280", AGENTS["mag1"], AGENTS["mag2"], *inner)
    assert "mtu 1280" in ip("-n", "mag1", "-6", "route", "get", AGENTS["mag2"])
    assert [lab.pings("mn1", target, 3, octets=octets) for octets in (1240, 1241, 1280)] == [3, 3, 3]


@pytest.mark.parametrize("code", [0, 1, 2, 3])
def test_congestion_is_shown_outside_of_what_the_agent_tunnels_itself(lab: Lab, code: int) -> None:
    """RFC 5213, 5.6.3; the packet waits for its query, so it is the agent that tunnels it, and not the kernel."""
    lab.start_all("s-pmip")
    for host, mag in (("mn1", "mag1"), ("cn1", "mag2")):
        lab.attach(host, mag)
    target = lab.address("cn1")
    lab.address("mn1")
    command = ["ip", "netns", "exec", "mag2", sys.executable, "-c", TAKE_TUNNELLED, "mag2-eth0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as taker:
        assert taker.stdout is not None
        assert taker.stdout.readline() == "ready\n"
        lab.ping("mn1", target, "-c", "1", "-Q", str(code))
        packet = bytes.fromhex(taker.stdout.readline())
        taker.kill()
    assert (packet[1] >> 4 & 3, packet[41] >> 4 & 3) == ((0, 1, 2, 2)[code], code)


def test_without_a_path_to_discover_the_core_s_mtu_counts(lab: Lab) -> None:
    ip("-n", "mag1", "link", "set", "mag1-eth0", "mtu", "1400")
    lab.start_all("sd-pmip")
    lab.attach("mn1", "mag1")
    lab.address("mn1")
    assert lab.mtu("mn1") == 1360
    assert "mtu 1360" in ip("-n", "mag1", "link", "show", "tnl")


def test_the_path_to_the_anchor_is_probed_where_the_domain_says_so(lab: Lab) -> None:
    lab.start_all("pmip", Settings(path_probe=0.5))
    time.sleep(1.2)
    probed = [line for line in lab.journal("mag1") if line["event"] == "path probed"]
    counters = ip("netns", "exec", "mag1", "cat", "/proc/net/snmp6")
    assert len(probed) >= 2
    assert int(re.findall(r"Icmp6InEchoReplies\s+(\d+)", counters)[0]) == len(probed)


def test_two_interfaces_of_a_node_are_two_sessions_and_hand_one_over(lab: Lab) -> None:
    lab.start_all("pmip")
    ip("link", "set", "cn1-air", "alias", f"mn1@dmm.example {HOSTS['cn1'][1]} att=3 hi=2")
    lab.attach("mn1", "mag1")
    lab.address("mn1")
    lab.attach("cn1", "mag1")
    assert IPv6Address(lab.address("cn1")) in IPv6Network(HOSTS["mn1"][0])
    updates = [line for line in lab.journal("mag1") if line["event"] == "sent" and line.get("message") == "PBU"]
    assert [(line["handoff_indicator"], line["access_technology"]) for line in updates] == [(4, 4), (2, 3)]
    prefix = HOSTS["mn1"][0]
    assert f"{prefix} dev cn1-air" in ip("-6", "-n", "mag1", "route")
    assert f"{prefix} dev mn1-air" not in ip("-6", "-n", "mag1", "route")
