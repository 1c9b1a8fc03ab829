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
from contextlib import contextmanager
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from typing import Any

from agents.config import AgentConfig, Settings
from agents.linux import daemon
from agents.profiles import Profile, ProfileStore
from agents.schemes import SCHEMES

CLONE_NEWNET = 0x40000000
AGENTS = {"mag1": "2001:db8:0:1::1", "mag2": "2001:db8:0:1::2", "lma": "2001:db8:0:1::100"}
HOSTS = {"mn1": ("2001:db8:100:1::/64", "02:00:00:00:00:01"), "cn1": ("2001:db8:100:2::/64", "02:00:00:00:00:02")}
STRANGER = "2001:db8:0:1::666"
"""Whoever else is on the core: its namespace is ``core``."""
MAGS = frozenset(IPv6Address(AGENTS[name]) for name in ("mag1", "mag2"))
PROFILES = ProfileStore(Profile(f"{name}@dmm.example", (IPv6Network(prefix),)) for name, (prefix, _) in HOSTS.items())

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
INJECT_PACKET = """
import socket, sys
raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
raw.sendto(bytes.fromhex(sys.argv[1]), (sys.argv[2], 0))
"""
SEND_PACKETS = """
import socket, sys
device, *packets = sys.argv[1:]
raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
for packet in map(bytes.fromhex, packets):
    place = socket.inet_ntop(socket.AF_INET6, packet[24:40]), 0, 0, socket.if_nametoindex(device) if device else 0
    raw.sendto(packet, place)
"""
SEND_MANY = """
import socket, sys
port = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
for _ in range(int(sys.argv[2])):
    port.sendto(b"", (sys.argv[1], 9))
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

ECHO = """
import socket, struct, sys
target, *sources = sys.argv[1:]
target, _, device = target.partition("%")
address = lambda text: socket.inet_pton(socket.AF_INET6, text)
raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
destination, place = address(target), (target, 0, 0, socket.if_nametoindex(device) if device else 0)
for source in sources:
    echo = struct.pack("!BBHHH", 128, 0, 0, 1, 1)
    pseudo = address(source) + destination + struct.pack("!II", len(echo), 58) + echo
    total = sum(struct.unpack(f"!{len(pseudo) // 2}H", pseudo))
    echo = echo[:2] + struct.pack("!H", (-total % 0xFFFF) or 0xFFFF) + echo[4:]
    raw.sendto(struct.pack("!IHBB", 6 << 28, len(echo), 58, 64) + address(source) + destination + echo, place)
"""

TOO_BIG = """
import socket, struct, sys
mtu, mag, lma, source, destination, *to = int(sys.argv[1]), *sys.argv[2:]
address = lambda text: socket.inet_pton(socket.AF_INET6, text)
inner = struct.pack("!IHBB", 6 << 28, 8, 17, 64) + address(source) + address(destination) + bytes(8)
outer = struct.pack("!IHBB", 6 << 28, len(inner), 41, 64) + address(mag) + address(lma) + inner
raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
raw.sendto(struct.pack("!BBHI", 2, 0, 0, mtu) + outer, (*to, mag)[:1] + (0,))
"""


def ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def batch(namespace: str | None, commands: list[str]) -> None:
    within = ["-n", namespace] if namespace else []
    subprocess.run(["ip", *within, "-batch", "-"], input="\n".join(commands), text=True, check=True, capture_output=True)


@contextmanager
def namespace(name: str) -> Iterator[None]:
    """This process is in a node's namespace meanwhile."""
    own, other = os.open("/proc/self/ns/net", os.O_RDONLY), os.open(f"/run/netns/{name}", os.O_RDONLY)
    enter = ctypes.CDLL(None).setns
    try:
        assert enter(other, CLONE_NEWNET) == 0
        yield
    finally:
        assert enter(own, CLONE_NEWNET) == 0
        os.close(own)
        os.close(other)


def missing() -> str | None:
    """Why there can be no lab here, or None."""
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
        stranger = [f"addr add {STRANGER}/64 dev br0 nodad"]
        batch("core", bridge + [f"link set {name} master br0 up" for name in AGENTS] + stranger)
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
        profiles: ProfileStore = PROFILES,
    ) -> None:
        row = SCHEMES[scheme]
        lma = IPv6Address(AGENTS["lma"]) if "LMA" in row.agents else None
        address, core = IPv6Address(AGENTS[name]), f"{name}-eth0"
        config = AgentConfig(name, address, core, row, row.default_policy, lma, MAGS, profiles, settings=settings)
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

    def start_all(
        self,
        scheme: str,
        settings: Settings = Settings(),  # noqa: B008
        profiles: ProfileStore = PROFILES,
    ) -> None:
        for name in AGENTS:
            if name != "lma" or "LMA" in SCHEMES[scheme].agents:
                self.start(name, scheme, settings=settings, profiles=profiles)

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

    def narrow_core(self, mtu: int) -> None:
        """Have the core take packets of ``mtu`` octets only."""
        for name in AGENTS:
            ip("-n", name, "link", "set", f"{name}-eth0", "mtu", str(mtu))
        batch("core", [f"link set {name} mtu {mtu}" for name in (*AGENTS, "br0")])

    def pings(self, host: str, target: str, count: int, octets: int = 104) -> int:
        """How many of ``count`` echo requests were answered, packets of so many octets."""
        size = str(octets - 48)
        found = re.search(r"(\d+) received", self.ping(host, target, "-c", str(count), "-i", "0.2", "-W", "3", "-s", size))
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

    def answered(self, host: str, target: str, sources: list[str]) -> int:
        """To how many Echo Requests of ``host`` to ``target`` its MAG sends replies, wherever to; one has each of ``sources``."""
        before = self._echo_replies()
        ip("netns", "exec", host, sys.executable, "-c", ECHO, target, *sources)
        time.sleep(0.2)
        return self._echo_replies() - before

    def _echo_replies(self) -> int:
        counters = ip("netns", "exec", "mag1", "cat", "/proc/net/snmp6")
        (replies,) = re.findall(r"Icmp6OutEchoReplies\s+(\d+)", counters)
        return int(replies)

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

    def send(self, node: str, packets: list[bytes], device: str | None = None) -> None:
        """Send whole IPv6 packets from a node's namespace, to groups and link-local addresses through ``device``."""
        octets = [packet.hex() for packet in packets]
        ip("netns", "exec", node, sys.executable, "-c", SEND_PACKETS, device or "", *octets)
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
        time.sleep(1)  # the kernel destroys namespaces, and the pairs that end in them, when it has nothing else to do
