"""The daemon on a real kernel: namespaces, veth, SLAAC, a bridge for a core. Needs root and ``ip6tnl``, which a guest has."""

from __future__ import annotations

import ctypes
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from typing import Any

import pytest

from agents import daemon
from agents.config import AgentConfig, Profile, Settings
from agents.schemes import SCHEMES

CLONE_NEWNET = 0x40000000
AGENTS = {"mag1": "2001:db8:0:1::1", "mag2": "2001:db8:0:1::2", "lma": "2001:db8:0:1::100"}
HOSTS = {"mn1": ("2001:db8:100:1::/64", "02:00:00:00:00:01"), "cn1": ("2001:db8:100:2::/64", "02:00:00:00:00:02")}
MAGS = frozenset(IPv6Address(AGENTS[name]) for name in ("mag1", "mag2"))
PROFILES = tuple(Profile(f"{name}@dmm.example", (IPv6Network(prefix),)) for name, (prefix, _) in HOSTS.items())

INJECT = """
import socket, struct, sys
protocol, target, source, destination = int(sys.argv[1]), *sys.argv[2:]
address = lambda text: socket.inet_pton(socket.AF_INET6, text)
packet = struct.pack("!IHBB", 6 << 28, 8, 17, 64) + address(source) + address(destination) + bytes(8)
raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW, protocol)
raw.sendto(packet if protocol == 41 else bytes([59, 1, 5]) + bytes(13), (target, 0))
"""

INJECT_HEADER = """
import socket, sys
raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW, 135)
raw.sendto(bytes.fromhex(sys.argv[1]), (sys.argv[2], 0))
"""
TUNNEL_ECN = """
import socket, struct, sys
target, source, destination, inner, outer = *sys.argv[1:4], *map(int, sys.argv[4:])
address = lambda text: socket.inet_pton(socket.AF_INET6, text)
packet = struct.pack("!IHBB", 6 << 28 | inner << 20, 8, 17, 64) + address(source) + address(destination) + bytes(8)
raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW, 41)
raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, outer)
raw.sendto(packet, (target, 0))
"""
TAKE_TUNNELLED = """
import socket, sys
taken = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x86DD))
taken.bind((sys.argv[1], 0))
taken.settimeout(5)
print("ready", flush=True)
while True:
    packet = taken.recv(2000)
    if packet[6] == 41:
        print(packet.hex(), flush=True)
"""
ECN = [((0, 0), (0, 0)), ((1, 1), (1, 1)), ((2, 2), (2, 2)), ((2, 3), (3, 2)), ((1, 3), (3, 2)), ((3, 2), (3, 2))]
"""What the ECN field says inside and outside, as a packet comes to the anchor and as it leaves."""
LISTEN = """
import socket, sys
port = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
port.bind(("::", 5213))
port.settimeout(1.5)
print("listening", flush=True)
try:
    while True:
        print(port.recvfrom(100)[1][0], flush=True)
except TimeoutError:
    pass
"""

SEND = """
import socket, struct, sys
destination, *sources = sys.argv[1:]
address = lambda text: socket.inet_pton(socket.AF_INET6, text)
raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
for source in sources:
    udp = struct.pack("!HHHH", 5213, 5213, 8, 0)
    pseudo = address(source) + address(destination) + struct.pack("!II", 8, 17) + udp
    total = sum(struct.unpack(f"!{len(pseudo) // 2}H", pseudo))
    udp = udp[:6] + struct.pack("!H", (-total % 0xFFFF) or 0xFFFF)
    raw.sendto(struct.pack("!IHBB", 6 << 28, 8, 17, 64) + address(source) + address(destination) + udp, (destination, 0))
"""

TOO_BIG = """
import socket, struct, sys
mtu, mag, lma, source, destination = int(sys.argv[1]), *sys.argv[2:]
address = lambda text: socket.inet_pton(socket.AF_INET6, text)
inner = struct.pack("!IHBB", 6 << 28, 8, 17, 64) + address(source) + address(destination) + bytes(8)
outer = struct.pack("!IHBB", 6 << 28, len(inner), 41, 64) + address(mag) + address(lma) + inner
raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
raw.sendto(struct.pack("!BBHI", 2, 0, 0, mtu) + outer, (mag, 0))
"""


def ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=True).stdout


def batch(namespace: str | None, commands: list[str]) -> None:
    within = ["-n", namespace] if namespace else []
    subprocess.run(["ip", *within, "-batch", "-"], input="\n".join(commands), text=True, check=True, capture_output=True)


def missing() -> str | None:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return "needs root and iproute2"
    name = f"probe{os.getpid()}"
    if subprocess.run(["ip", "netns", "add", name], capture_output=True).returncode:
        return "no network namespaces here"
    tunnel = subprocess.run(["ip", "-n", name, "link", "add", "probe", "type", "ip6tnl", "external"], capture_output=True)
    ip("netns", "del", name)
    return "this kernel has no ip6tnl" if tunnel.returncode else None


class Lab:
    """Two MAGs and an LMA on one bridge; hosts whose radio ends move between them."""

    def __init__(self, folder: Path) -> None:
        self.events = folder / "events.jsonl"
        self.pids: dict[str, int] = {}
        for name in ("core", *AGENTS, *HOSTS):
            ip("netns", "add", name)
        batch(None, [f"link add {name}-eth0 netns {name} type veth peer name {name} netns core" for name in AGENTS])
        bridge = ["link add br0 type bridge mcast_snooping 0", "link set br0 up"]
        batch("core", bridge + [f"link set {name} master br0 up" for name in AGENTS])
        for name, address in AGENTS.items():
            core = f"{name}-eth0"
            batch(name, ["link set lo up", f"link set {core} addrgenmode none up", f"addr add {address}/64 dev {core} nodad"])
        for name, (_, mac) in HOSTS.items():
            own, air = f"{name}-eth0", f"{name}-air"
            ends = f"{own} address {mac} netns {name} type veth peer name {air} address 00:00:5e:00:52:13"
            batch(None, [f"link add {ends}", f"link set {air} alias '{name}@dmm.example {mac}'"])
            write = f"echo 0 >/proc/sys/net/ipv6/conf/{own}/accept_dad"
            ip("netns", "exec", name, "sh", "-c", write)
            batch(name, [f"link set {own} up"])

    def start(
        self,
        name: str,
        scheme: str,
        run: Callable[[AgentConfig, Path, int], None] = daemon.run,
        settings: Settings = Settings(),  # noqa: B008
    ) -> None:
        row = SCHEMES[scheme]
        lma = IPv6Address(AGENTS["lma"]) if "LMA" in row.agents else None
        address, core = IPv6Address(AGENTS[name]), f"{name}-eth0"
        config = AgentConfig(name, address, core, row, row.default_policy, lma, MAGS, PROFILES, settings=settings)
        ready, tell = os.pipe()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                namespace = os.open(f"/run/netns/{name}", os.O_RDONLY)
                if ctypes.CDLL(None).setns(namespace, CLONE_NEWNET) == 0:
                    run(config, self.events, tell)
                    status = 0
            finally:
                os._exit(status)
        os.close(tell)
        self.pids[name] = pid
        assert os.read(ready, 1), f"the agent of {name} did not start"
        os.close(ready)

    def start_all(self, scheme: str, settings: Settings = Settings()) -> None:  # noqa: B008
        for name in AGENTS:
            if name != "lma" or "LMA" in SCHEMES[scheme].agents:
                self.start(name, scheme, settings=settings)

    def stop(self, name: str) -> int:
        pid = self.pids.pop(name)
        os.kill(pid, signal.SIGTERM)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def kill(self, name: str) -> None:
        """End an agent so that it can withdraw nothing."""
        pid = self.pids.pop(name)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

    def attach(self, host: str, mag: str) -> None:
        ip("link", "set", f"{host}-air", "netns", mag)
        ip("-n", mag, "link", "set", f"{host}-air", "up")

    def address(self, host: str) -> str:
        """The address that the host configures, once it has."""
        for _ in range(100):
            found = re.search(r"inet6 (\S+)/", ip("-6", "-n", host, "addr", "show", "dev", f"{host}-eth0", "scope", "global"))
            if found:
                return found[1]
            time.sleep(0.05)
        raise AssertionError(f"{host} has no address")

    def pings(self, host: str, target: str, count: int) -> int:
        """How many of ``count`` echo requests were answered."""
        found = re.search(r"(\d+) received", self.ping(host, target, "-c", str(count), "-i", "0.2", "-W", "3"))
        return int(found[1]) if found else 0

    def ping(self, host: str, target: str, *options: str) -> str:
        """What ping says."""
        command = ["ip", "netns", "exec", host, "ping", *options, target]
        return subprocess.run(command, capture_output=True, text=True).stdout

    def heard(self, sender: str, receiver: str, destination: str, sources: list[str]) -> set[str]:
        """From which of ``sources`` packets of ``sender`` reach ``receiver``."""
        command = ["ip", "netns", "exec", receiver, sys.executable, "-c", LISTEN]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as listener:
            assert listener.stdout is not None
            assert listener.stdout.readline() == "listening\n"
            ip("netns", "exec", sender, sys.executable, "-c", SEND, destination, *sources)
            return set(listener.stdout.read().split())

    def mtu(self, host: str) -> int:
        """What the host takes for its link's MTU."""
        return int(ip("netns", "exec", host, "cat", f"/proc/sys/net/ipv6/conf/{host}-eth0/mtu"))

    def received_through_tunnels(self, node: str) -> int:
        """How many packets the node has taken out of tunnels."""
        (link,) = json.loads(ip("-n", node, "-s", "-j", "link", "show", "tnl"))
        return int(link["stats64"]["rx"]["packets"])

    def inject(self, node: str, protocol: int, target: str, source: str, destination: str) -> None:
        """Send one packet of ours, tunnelled (41) or a nonsensical Binding Update (135), from a node's namespace."""
        ip("netns", "exec", node, sys.executable, "-c", INJECT, str(protocol), target, source, destination)
        time.sleep(0.1)

    def journal(self, node: str) -> list[dict[str, Any]]:
        lines = map(json.loads, self.events.read_text().splitlines())
        return [line for line in lines if line["node"] == node]

    def state(self, node: str) -> list[str]:
        listings = (["-6", "rule"], ["-6", "route", "show", "table", "all"], ["-br", "link"])
        text = "".join(ip("-n", node, *listing) for listing in listings)
        forwarding = ip("netns", "exec", node, "cat", "/proc/sys/net/ipv6/conf/all/forwarding")
        return [*(line for line in text.splitlines() if "-air" not in line), forwarding]

    def close(self) -> None:
        for name in tuple(self.pids):
            self.stop(name)
        for name in ("core", *AGENTS, *HOSTS):
            ip("netns", "del", name)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    reason = missing()
    if reason:
        pytest.skip(reason)
    built = Lab(tmp_path)
    yield built
    built.close()


@pytest.mark.parametrize("scheme", ["none", "pmip", "s-pmip", "sd-pmip"])
def test_agents_leave_their_nodes_as_they_found_them(lab: Lab, scheme: str) -> None:
    before = {name: lab.state(name) for name in AGENTS}
    lab.start_all(scheme)
    started = {name: lab.state(name) for name in lab.pids}
    if scheme != "none":
        lab.attach("mn1", "mag1")
        lab.address("mn1")
    assert all(started[name] != before[name] for name in lab.pids)
    assert [lab.stop(name) for name in tuple(lab.pids)] == [0] * len(started)
    assert {name: lab.state(name) for name in AGENTS} == before


@pytest.mark.parametrize("scheme", ["none", "pmip", "s-pmip", "sd-pmip"])
def test_an_agent_clears_away_what_one_that_was_killed_left(lab: Lab, scheme: str) -> None:
    def state(name: str) -> set[str]:
        """What agents installed, and not what the kernel derives from it."""
        return {line for line in lab.state(name)[:-1] if "proto kernel" not in line}

    before = {name: state(name) for name in AGENTS}
    lab.start_all(scheme)
    agents = tuple(lab.pids)
    started = {name: state(name) for name in agents}
    if scheme != "none":
        lab.attach("mn1", "mag1")
        lab.attach("cn1", "mag2")
        lab.address("cn1")
        assert lab.pings("cn1", lab.address("mn1"), 2) == 2
        assert {name: state(name) for name in agents} != started
    for name in agents:
        lab.kill(name)
    if scheme != "none":
        ip("-n", "mag1", "link", "set", "mn1-air", "down")
        ip("-n", "mag2", "link", "set", "cn1-air", "down")
    for name in agents:
        lab.start(name, scheme)
    assert {name: state(name) for name in agents} == started
    assert [lab.stop(name) for name in agents] == [0] * len(agents)
    assert {name: state(name) for name in AGENTS} == before


@pytest.mark.parametrize("scheme", ["pmip", "s-pmip", "sd-pmip"])
def test_a_mag_that_was_killed_serves_its_nodes_again(lab: Lab, scheme: str) -> None:
    lab.start_all(scheme)
    lab.attach("mn1", "mag1")
    lab.attach("cn1", "mag2")
    lab.address("cn1")
    address = lab.address("mn1")
    assert lab.pings("cn1", address, 2) == 2
    for mag in ("mag1", "mag2"):
        lab.kill(mag)
        lab.start(mag, scheme)
        time.sleep(0.1)
        assert lab.pings("cn1", address, 3) == 3


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


@pytest.mark.parametrize("scheme", ["pmip", "s-pmip", "sd-pmip"])
def test_a_node_is_advertised_to_as_soon_as_it_is_served(lab: Lab, scheme: str) -> None:
    lab.start_all(scheme)
    up = "import sys; from pyroute2 import NetNS, IPRoute\n"
    up += "with IPRoute() as ipr: ipr.link('set', index=ipr.link_lookup(ifname='mn1-air')[0], net_ns_fd='mag1', state='up')"
    subprocess.run([sys.executable, "-c", up], check=True)
    lab.address("mn1")
    events = [line["event"] for line in lab.journal("mag1")]
    assert events.index("attached") < events.index("advertised")
    assert "advertisement failed" not in events


def test_a_node_that_leaves_is_detached_and_its_routes_go(lab: Lab) -> None:
    lab.start_all("s-pmip")
    lab.attach("mn1", "mag1")
    lab.address("mn1")
    ip("-n", "mag1", "link", "set", "mn1-air", "netns", "mag2")
    ip("-n", "mag2", "link", "set", "mn1-air", "up")
    time.sleep(0.3)
    events = [(line["node"], line["event"]) for name in ("mag1", "mag2") for line in lab.journal(name)]
    assert ("mag1", "detached") in events
    assert ("mag2", "attached") in events
    prefix = HOSTS["mn1"][0]
    assert "mn1-air" not in ip("-6", "-n", "mag1", "rule")
    assert prefix not in ip("-6", "-n", "mag1", "route", "show", "table", "all")
    assert f"{prefix} dev mn1-air" in ip("-6", "-n", "mag2", "route")


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


def test_an_error_in_a_handler_ends_the_agent_with_a_traceback_and_nothing_left(lab: Lab) -> None:
    def run(config: AgentConfig, journal: Path, ready: int) -> None:
        def broken(*_: object, **__: object) -> None:
            raise RuntimeError("broken on purpose")

        daemon.Mag.attached = broken  # type: ignore[method-assign, assignment]
        daemon.run(config, journal, ready)

    before = lab.state("mag1")
    lab.start("mag1", "sd-pmip", run)
    lab.attach("mn1", "mag1")
    assert os.waitstatus_to_exitcode(os.waitpid(lab.pids.pop("mag1"), 0)[1]) == 1
    (line,) = (line for line in lab.journal("mag1") if line["event"] == "error")
    assert "broken on purpose" in line["traceback"]
    assert lab.state("mag1") == before


FOREIGN = ["2001:db8:77::1", "2001:db8:100:2::bad", "2001:db8:0:1::2", "fe80::ff:fe00:1"]


@pytest.mark.parametrize("scheme", ["pmip", "s-pmip", "sd-pmip"])
def test_a_node_is_forwarded_for_with_its_own_prefixes_only(lab: Lab, scheme: str) -> None:
    lab.start_all(scheme)
    lab.attach("mn1", "mag1")
    lab.attach("cn1", "mag2")
    own, target = lab.address("mn1"), lab.address("cn1")
    assert lab.pings("mn1", target, 2) == 2
    also_own = HOSTS["mn1"][0].replace("/64", "77")
    assert lab.heard("mn1", "cn1", target, [*FOREIGN, own, also_own]) == {own, also_own}


@pytest.mark.parametrize("scheme", ["pmip", "s-pmip", "sd-pmip"])
def test_a_node_without_a_binding_is_not_forwarded_for_but_may_speak_to_the_gateway(lab: Lab, scheme: str) -> None:
    lab.start_all(scheme)
    lab.attach("cn1", "mag2")
    target = lab.address("cn1")
    ip("link", "set", "mn1-air", "alias", f"nobody@dmm.example {HOSTS['mn1'][1]}")
    lab.attach("mn1", "mag1")
    own = HOSTS["mn1"][0].replace("/64", "9")
    router = "fe80::200:5eff:fe00:5213"
    batch("mn1", [f"addr add {own}/64 dev mn1-eth0 nodad", f"route add default via {router} dev mn1-eth0"])
    assert lab.pings("mn1", f"{router}%mn1-eth0", 2) == 2
    assert lab.heard("mn1", "cn1", target, [own]) == set()
    assert not [line for line in lab.journal("mag1") if line["event"] == "packet"]


@pytest.mark.parametrize("local", [False, True])
def test_pmip_delivers_between_its_own_nodes_past_the_anchor_only_where_it_may(lab: Lab, local: bool) -> None:
    lab.start_all("pmip", Settings(local_routing=local))
    for host in HOSTS:
        lab.attach(host, "mag1")
    lab.address("cn1")
    assert lab.pings("cn1", lab.address("mn1"), 5) == 5
    assert lab.received_through_tunnels("lma") == (0 if local else 10)


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


def test_the_address_of_an_access_link_may_come_with_the_binding(lab: Lab) -> None:
    lab.start_all("pmip", Settings(link_local=IPv6Address("::")))
    lab.attach("mn1", "mag1")
    lab.attach("cn1", "mag2")
    lab.address("cn1")
    assert lab.pings("cn1", lab.address("mn1"), 2) == 2
    (router,) = re.findall(r"default via (\S+)", ip("-6", "-n", "mn1", "route"))
    (own,) = re.findall(r"inet6 (\S+)/", ip("-6", "-n", "mag1", "addr", "show", "dev", "mn1-air"))
    assert router == own
    events = [line["event"] for line in lab.journal("mag1")]
    assert events.index("link-local address assigned") < events.index("advertised")


def test_a_domain_may_have_another_link_layer_address(lab: Lab) -> None:
    lab.start_all("pmip", Settings(link_layer="02:00:00:00:52:13"))
    lab.attach("mn1", "mag1")
    lab.address("mn1")
    assert "02:00:00:00:52:13" in ip("-n", "mag1", "link", "show", "mn1-air")
    assert re.search(r"fe80::200:5eff:fe00:5213 dev mn1-eth0 lladdr 02:00:00:00:52:13", ip("-n", "mn1", "neigh"))


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
