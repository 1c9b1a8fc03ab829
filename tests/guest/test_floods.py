"""What floods can take: neighbours, the journal, the queues of sockets. All of it is counted; nothing is timed."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from agents.linux.daemon import STRANGERS_RATE
from agents.linux.neighbours import REMEMBERED, SIGNALLING_BURST, SIGNALLING_RATE
from tests.guest.lab import AGENTS, HOSTS, Lab, ip

SOLICIT = """
import socket, struct, sys, time
address = lambda text: socket.inet_pton(socket.AF_INET6, text)
kind, count, rate, device, station, target = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), *sys.argv[4:]
octets = lambda mac: bytes.fromhex(mac.replace(":", ""))
to = "00:00:5e:00:52:13" if kind == "neighbour" else "33:33:00:00:00:02"
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
raw.bind((device, 0))
for number in range(count):
    source = address("fe80::1:0") [:14] + struct.pack("!H", number if kind == "neighbour" else 1)
    message = struct.pack("!BBHI", 135, 0, 0, 0) + address(target) + bytes([1, 1]) + octets(station)
    if kind == "router":
        message, target = struct.pack("!BBHI", 133, 0, 0, 0), "ff02::2"
    words = source + address(target) + struct.pack("!II", len(message), 58) + message
    total = -sum(struct.unpack(f"!{len(words) // 2}H", words)) % 0xFFFF
    message = message[:2] + struct.pack("!H", total) + message[4:]
    packet = struct.pack("!IHBB", 6 << 28, len(message), 58, 255) + source + address(target) + message
    raw.send(octets(to) + octets(station) + struct.pack("!H", 0x86DD) + packet)
    time.sleep(1 / rate)
"""
SCAN = """
import socket, sys, time
prefix, count, rate = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
port = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
for number in range(count):
    port.sendto(b"", (f"{prefix}5000:{number:x}", 9))
    time.sleep(1 / rate)
"""
NONSENSE = """
import socket, sys, time
target, count, rate = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW, 135)
for number in range(count):
    raw.sendto(bytes([59, 1, 5]) + bytes(13), (target, 0))
    time.sleep(1 / rate)
"""


@contextmanager
def flood(node: str, program: str, *arguments: object) -> Iterator[None]:
    """Have a node send while the block runs."""
    with subprocess.Popen(["ip", "netns", "exec", node, sys.executable, "-c", program, *map(str, arguments)]) as process:
        time.sleep(3.0)
        yield
        process.kill()


def neighbours(node: str) -> int:
    """How many neighbours a node's kernel keeps on its access links, those that it seeks included."""
    return sum("-air" in line and "PERMANENT" not in line for line in ip("-6", "-n", node, "neigh", "show", "nud", "all").splitlines())


def told(lab: Lab, node: str) -> Counter[tuple[str, str]]:
    """How often something happened, and for what reason, by what the journal's lines count."""
    events: Counter[tuple[str, str]] = Counter()
    for line in lab.journal(node):
        events[line["event"], line.get("reason", "")] += line.get("times", 1)
    return events


def test_solicitations_from_ever_new_sources_leave_room_for_others(lab: Lab) -> None:
    lab.start_all("s-pmip")
    lab.attach("mn1", "mag1")
    lab.address("mn1")
    arguments = "neighbour", 4000, 400, "mn1-eth0", HOSTS["mn1"][1], "fe80::200:5eff:fe00:5213"
    with flood("mn1", SOLICIT, *arguments):
        assert 10 < neighbours("mag1") <= REMEMBERED
        lab.attach("cn1", "mag1")
        assert lab.pings("mn1", lab.address("cn1"), 3) == 3


def test_a_scan_of_a_prefix_costs_its_node_nothing(lab: Lab) -> None:
    lab.start_all("s-pmip")
    lab.attach("mn1", "mag1")
    lab.attach("cn1", "mag2")
    lab.address("cn1")
    address = lab.address("mn1")
    assert lab.pings("cn1", address, 2) == 2
    with flood("cn1", SCAN, HOSTS["mn1"][0].removesuffix("/64") + "0:", 10_000, 400):
        assert 10 < neighbours("mag1") <= REMEMBERED
        ip("-n", "mag1", "link", "set", "mn1-air", "down")
        time.sleep(0.5)
        ip("-n", "mag1", "link", "set", "mn1-air", "up")
        time.sleep(0.5)
        assert lab.pings("cn1", address, 5) == 5


def test_nonsense_of_a_node_is_limited_before_it_is_read(lab: Lab) -> None:
    lab.start_all("s-pmip")
    lab.attach("mn1", "mag1")
    lab.address("mn1")
    began = time.time()
    with flood("mn1", NONSENSE, AGENTS["mag1"], 10_000, 1000):
        lab.attach("cn1", "mag1")
        lab.address("cn1")
    lasted = time.time() - began + 2
    events = told(lab, "mag1")
    assert events["malformed", ""] == events["ignored", "malformed"] <= SIGNALLING_BURST + SIGNALLING_RATE * lasted
    assert len([line for line in lab.journal("mag1") if line["event"] == "malformed"]) <= 21 * lasted


def test_nonsense_of_a_stranger_is_read_by_the_ration_and_no_peer_waits(lab: Lab) -> None:
    lab.start_all("s-pmip")
    lab.attach("mn1", "mag1")
    lab.address("mn1")
    ip("-n", "core", "addr", "add", "2001:db8:0:1::bad/64", "dev", "br0", "nodad")
    began = time.time()
    with flood("core", NONSENSE, AGENTS["mag1"], 10_000, 1000), flood("core", NONSENSE, AGENTS["lma"], 10_000, 1000):
        lab.attach("cn1", "mag1")
        lab.address("cn1")
    lasted = time.time() - began + 2
    for node in ("mag1", "lma"):
        assert STRANGERS_RATE <= told(lab, node)["malformed", ""] <= STRANGERS_RATE * lasted
        lines = [line for line in lab.journal(node) if line["event"] in ("malformed", "ignored")]
        assert len(lines) <= 2 * 21 * lasted
    assert [line["packets"] > 0 for line in lab.journal("mag1") if line["event"] == "not read"]


def test_router_solicitations_are_answered_a_few_times_a_second(lab: Lab) -> None:
    lab.start_all("s-pmip")
    lab.attach("mn1", "mag1")
    lab.address("mn1")
    with flood("mn1", SOLICIT, "router", 10_000, 1000, "mn1-eth0", HOSTS["mn1"][1], "ff02::2"):
        lab.attach("cn1", "mag1")
        lab.address("cn1")
    events = told(lab, "mag1")
    assert events["ignored", "too often"] > 10
    assert events["advertised", ""] < 60
    assert len(lab.journal("mag1")) < 500
