"""What tests do and see at the nodes of a testbed, whoever started what runs there."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any

from tests.guest import senders
from tests.guest.packets import datagram, echo_request
from topologies.linux.build import Testbed

FORWARDING = "/proc/sys/net/ipv6/conf/all/forwarding"


class Nodes:
    """The nodes of ``net``, by name; their agents write their events to ``folder``/events.jsonl."""

    def __init__(self, net: Testbed, folder: Path) -> None:
        self.net = net
        self.events = folder / "events.jsonl"

    def attach(self, host: str, mag: str) -> IPv6Address:
        """Associate a host with a MAG; the host's address."""
        self.net.attach(host, mag)
        return self.address(host)

    def address(self, host: str) -> IPv6Address:
        """The address that the host configures, once it has."""
        return self.net.wait_for_address(host)

    def run(self, node: str, *command: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command in a node's namespace."""
        with self.net[node].within():
            return subprocess.run(command, input=given, capture_output=True, text=True)

    def ip(self, node: str, *arguments: str, given: str | None = None) -> str:
        """What iproute2 says in a node's namespace; ``wires`` has the radios that are associated with no MAG."""
        done = self.run(node, "ip", *arguments, given=given)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def batch(self, node: str, commands: Iterable[str]) -> None:
        """Have iproute2 do many things in a node's namespace."""
        self.ip(node, "-batch", "-", given="\n".join(commands))

    def read(self, node: str, file: str) -> str:
        """What a file of /proc says in a node's namespace."""
        with self.net[node].within():
            return Path(file).read_text()

    def narrow_core(self, mtu: int) -> None:
        """Have the core take packets of ``mtu`` octets only."""
        for end in (end for link in self.net.links if link.plugged for end in (link.intf1, link.intf2)):
            self.ip(end.node.name, "link", "set", end.name, "mtu", str(mtu))

    def pings(self, host: str, target: IPv6Address, count: int, octets: int = 104) -> int:
        """How many of ``count`` echo requests were answered, packets of so many octets."""
        found = re.search(r"(\d+) received", self.ping(host, target, *f"-c {count} -i 0.2 -W 3 -s {octets - 48}".split()))
        return int(found[1]) if found else 0

    def ping(self, host: str, target: IPv6Address, *options: str) -> str:
        """What ping says."""
        return self.run(host, "ping", *options, str(target)).stdout

    def heard(self, sender: str, receiver: str, destination: IPv6Address, sources: list[IPv6Address]) -> set[IPv6Address]:
        """From which of ``sources`` packets of ``sender`` reach ``receiver``."""
        with self.net[receiver].within():
            port = senders.listener()
        with port:
            self.send(sender, [datagram(source, destination) for source in sources])
            return set(map(IPv6Address, senders.heard(port)))

    def answered(self, host: str, target: IPv6Address, sources: list[IPv6Address]) -> int:
        """To how many Echo Requests of ``host`` to ``target`` its MAG sends replies, wherever to; one has each of ``sources``."""
        before = self.counted("mag1", "Icmp6OutEchoReplies")
        self.send(host, [echo_request(source, target) for source in sources])
        time.sleep(0.1)
        return self.counted("mag1", "Icmp6OutEchoReplies") - before

    def counted(self, node: str, what: str) -> int:
        """What the node's kernel has counted."""
        (count,) = re.findall(rf"{what}\s+(\d+)", self.read(node, "/proc/thread-self/net/snmp6"))
        return int(count)

    def mtu(self, host: str) -> int:
        """What the host takes for its link's MTU."""
        return int(self.read(host, f"/proc/sys/net/ipv6/conf/{host}-eth0/mtu"))

    def received_through_tunnels(self, node: str) -> int:
        """How many packets the node has taken out of tunnels."""
        (link,) = json.loads(self.ip(node, "-s", "-j", "link", "show", "tnl"))
        return int(link["stats64"]["rx"]["packets"])

    def send(self, node: str, packets: Iterable[bytes]) -> None:
        """Send whole IPv6 packets from a node."""
        with self.net[node].within():
            senders.send(f"{node}-eth0", packets)
        time.sleep(0.1)

    def tap(self, node: str) -> socket.socket:
        """What sees the packets that come to a node."""
        with self.net[node].within():
            return senders.tap(f"{node}-eth0")

    @contextmanager
    def flood(self, node: str, packets: Iterable[bytes], rate: float, send: Callable[..., None] = senders.send, *to: str) -> Iterator[None]:
        """Have a node send ``rate`` packets a second while the block runs."""
        pid = self.net[node].spawn(partial(send, f"{node}-eth0", *to, senders.paced(packets, rate)))
        time.sleep(3.0)
        yield
        os.kill(pid, signal.SIGKILL)

    def journal(self, node: str, *events: str) -> list[dict[str, Any]]:
        """What an agent has told, all of it or of some events."""
        lines = map(json.loads, self.events.read_text().splitlines())
        return [line for line in lines if line["node"] == node and (not events or line["event"] in events)]

    def state(self, node: str) -> list[str]:
        """What agents change at a node, access links left out."""
        listings = (("-6", "rule"), ("-6", "route", "show", "table", "all"), ("-br", "link"))
        text = "".join(self.ip(node, *listing) for listing in listings)
        return [*(line for line in text.splitlines() if "-air" not in line), self.read(node, FORWARDING)]
