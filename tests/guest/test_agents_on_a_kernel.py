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
from agents.config import AgentConfig, Profile
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

    def start(self, name: str, scheme: str, run: Callable[[AgentConfig, Path, int], None] = daemon.run) -> None:
        row = SCHEMES[scheme]
        lma = IPv6Address(AGENTS["lma"]) if "LMA" in row.agents else None
        config = AgentConfig(name, IPv6Address(AGENTS[name]), f"{name}-eth0", row, row.default_policy, lma, MAGS, PROFILES)
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

    def start_all(self, scheme: str) -> None:
        for name in AGENTS:
            if name != "lma" or "LMA" in SCHEMES[scheme].agents:
                self.start(name, scheme)

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
        command = ["ip", "netns", "exec", host, "ping", "-c", str(count), "-i", "0.2", "-W", "3", target]
        output = subprocess.run(command, capture_output=True, text=True).stdout
        found = re.search(r"(\d+) received", output)
        return int(found[1]) if found else 0

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


def test_an_error_in_a_handler_ends_the_agent_with_a_traceback_and_nothing_left(lab: Lab) -> None:
    def run(config: AgentConfig, journal: Path, ready: int) -> None:
        def broken(*_: object) -> None:
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
