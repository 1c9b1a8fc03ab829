"""What a newcomer waits for at a MAG while somebody floods it, beside what it waits for undisturbed: a guest in real time, both cores.

The newcomer comes to the same MAG as the node that floods; what it waits for is the address that it gets once it is registered. Nothing
is captured. ``python -m experiments.bench.floods FOLDER`` is what runs in the guest.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address
from itertools import count
from pathlib import Path
from statistics import median

import msgspec

from experiments.bench.figures import Figure, folder, in_guest
from experiments.declare.deployment import Deployment, resolve
from experiments.declare.forgeries import ICMPV6, STRANGER
from experiments.declare.scenario import Case, Run, Scenario
from experiments.play.agents import Agents
from topologies.addresses import ALL_MAGS_MAC, mac
from topologies.domain import Host
from topologies.linux.build import Testbed
from topologies.presets import star

_UNDISTURBED = 3
_RATE = 5500.0
"""Packets a second of a flood of what an agent reads."""
_NEIGHBOURS = 400.0
"""Packets a second of a flood that makes the kernel remember a neighbour for each."""
_TO_EACH, _LARGE = 50, 1000
"""Packets for each home address that nobody has, and their octets."""
_TIMES = 3.0
_UNDER_WAY = 4.0
"""s that a flood lasts before the newcomer comes: the kernel gives up a neighbour after 3 s."""
_PATIENCE = 20.0
_IPV6, _MOBILITY, _UDP = 0x86DD, 135, 17
_ALL_ROUTERS = IPv6Address("ff02::2")
_ROUTER_SOLICITATION, _NEIGHBOUR_SOLICITATION = 133, 135
_NONSENSE = bytes.fromhex("3b010500 0000 0000 0000 0000 00000000")


def _ipv6(following: int, source: IPv6Address, destination: IPv6Address, payload: bytes, hop_limit: int = 255) -> bytes:
    return struct.pack("!IHBB", 6 << 28, len(payload), following, hop_limit) + source.packed + destination.packed + payload


def _summed(following: int, source: IPv6Address, destination: IPv6Address, payload: bytes, at: int) -> bytes:
    """The payload with its checksum at ``at``."""
    words = source.packed + destination.packed + struct.pack("!II", len(payload), following) + payload
    checksum = -sum(struct.unpack(f"!{len(words) // 2}H", words)) % 0xFFFF
    return payload[:at] + struct.pack("!H", checksum) + payload[at + 2 :]


def _frame(to: str, own: str, packet: bytes) -> bytes:
    return bytes.fromhex((to + own).replace(":", "")) + _IPV6.to_bytes(2, "big") + packet


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a flood begins: the device, its own address there and the next one's link-layer address; whom it is to harm."""

    node: str
    device: str
    station: str
    gateway: str
    source: IPv6Address
    agent: IPv6Address
    scanned: Host


def _link_local(number: int) -> IPv6Address:
    return IPv6Address((0xFE80 << 112) + (0x0200 << 48) + 0x100000 + number)


def _neighbour_solicitations(place: _Place) -> Iterator[bytes]:
    target = IPv6Address("fe80::200:5eff:fe00:5213")
    for number in count():
        source = _link_local(number)
        body = (
            struct.pack("!BBHI", _NEIGHBOUR_SOLICITATION, 0, 0, 0) + target.packed + b"\1\1" + bytes.fromhex(place.station.replace(":", ""))
        )
        message = _summed(ICMPV6, source, target, body, 2)
        yield _frame(place.gateway, place.station, _ipv6(ICMPV6, source, target, message))


def _router_solicitations(place: _Place) -> Iterator[bytes]:
    source = _link_local(0)
    message = _summed(ICMPV6, source, _ALL_ROUTERS, struct.pack("!BBHI", _ROUTER_SOLICITATION, 0, 0, 0), 2)
    packet = _frame("33:33:00:00:00:02", place.station, _ipv6(ICMPV6, source, _ALL_ROUTERS, message))
    while True:
        yield packet


def _nonsense(place: _Place) -> Iterator[bytes]:
    message = _summed(_MOBILITY, place.source, place.agent, _NONSENSE, 4)
    packet = _frame(place.gateway, place.station, _ipv6(_MOBILITY, place.source, place.agent, message, 64))
    while True:
        yield packet


def _scan(place: _Place) -> Iterator[bytes]:
    for number in count(0x1000):
        target = place.scanned.home_network_prefix[number]
        datagram = _summed(_UDP, place.source, target, struct.pack("!HHHH", 9, 9, 8, 0), 6)
        yield _frame(place.gateway, place.station, _ipv6(_UDP, place.source, target, datagram, 64))


def _unknown(place: _Place) -> Iterator[bytes]:
    home = int(place.scanned.home_network_prefix.network_address) & ~((1 << 88) - 1)
    for number in count(0x10000 * _TO_EACH):
        target = IPv6Address(home + (number // _TO_EACH << 64) + 1)
        datagram = _summed(_UDP, place.source, target, struct.pack("!HHHH", 9, 9, 8 + _LARGE, 0) + bytes(_LARGE), 6)
        yield _frame(place.gateway, place.station, _ipv6(_UDP, place.source, target, datagram, 64))


@dataclass(frozen=True, slots=True)
class _Flood:
    """What is sent from where (an attached node, its correspondent or the core), to which agent, and how many a second."""

    what: str
    packets: Callable[[_Place], Iterator[bytes]]
    attacker: str
    agent: str
    rate: float = _RATE


_FLOODS = (
    _Flood("Neighbour Solicitations from ever new sources", _neighbour_solicitations, "mn1", "mag1", _NEIGHBOURS),
    _Flood("a scan of another node's /64", _scan, "cn1", "mag1", _NEIGHBOURS),
    _Flood("a fast scan of another node's /64", _scan, "cn1", "mag1"),
    _Flood("nonsense PBUs from a node", _nonsense, "mn1", "mag1"),
    _Flood("nonsense PBUs from a stranger on the core", _nonsense, "core", "mag1"),
    _Flood("nonsense PBUs from a stranger to the LMA", _nonsense, "core", "lma"),
    _Flood("Router Solicitations", _router_solicitations, "mn1", "mag1"),
    _Flood("packets for ever new home addresses", _unknown, "mn1", "mag1"),
)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a newcomer waited for, in s; how many octets the journal grew by a second; pings answered after a link returns, of 5."""

    waited: float
    journal: float
    memory: float
    pings: int


def measure() -> list[Figure]:
    """One line for each flood."""
    with folder() as made:
        in_guest("uml", (sys.executable, "-m", "experiments.bench.floods", made), Path(made))
        undisturbed, seen = msgspec.json.decode((Path(made) / "floods").read_bytes(), type=tuple[float, list[_Seen]])
    return [
        Figure(
            f"a newcomer's wait during {flood.what}, flooded / undisturbed",
            one.waited / undisturbed,
            _TIMES,
            "times",
            limit=True,
            detail=f"{one.waited:.2f} s / {undisturbed:.2f} s; journal {one.journal / 1e3:.1f} kB/s, agents {one.memory / 1e6:+.1f} MB, "
            f"{one.pings} of 5 pings once a link returns",
        )
        for flood, one in zip(_FLOODS, seen, strict=True)
    ]


def _in_guest(results: Path) -> None:
    domain = star(mags=2, mns=2 + _UNDISTURBED + len(_FLOODS), cns=1)
    run = resolve(Run("bench", domain, Case("s-pmip", "notify"), Scenario(duration=1.0, flows=()), number=1, seed=1, engine="uml"))
    with Testbed(domain) as testbed:
        testbed.start()
        time.sleep(1.0)
        agents = Agents(testbed, run, results)
        agents.start_all()
        hosts = {host.name: host for host in domain.hosts}
        for name, mag in (("mn1", "mag1"), ("mn2", "mag1"), ("cn1", "mag2")):
            testbed.attach(name, mag)
            testbed.wait_for_address(name, hosts[name].home_network_prefix)
        for host in domain.hosts:
            with testbed.get(host.name).within():
                Path(f"/proc/sys/net/ipv6/conf/{host.interface}/accept_dad").write_text("0")
        newcomers = iter([f"mn{number}" for number in range(3, len(domain.hosts))])
        _pings(testbed, hosts["mn2"])
        undisturbed = median(_wait(testbed, hosts[next(newcomers)]) for _ in range(_UNDISTURBED))
        seen = [_play(testbed, run, flood, hosts, hosts[next(newcomers)], results) for flood in _FLOODS]
        agents.check_alive()
    (results / "floods").write_bytes(msgspec.json.encode((undisturbed, seen)))


def _wait(testbed: Testbed, newcomer: Host) -> float:
    """How long a node that comes to mag1 waits for its address, in s; where it does not get it, how long it was waited for."""
    began = time.monotonic()
    testbed.attach(newcomer.name, "mag1")
    try:
        testbed.wait_for_address(newcomer.name, newcomer.home_network_prefix, _PATIENCE)
    except TimeoutError:
        return _PATIENCE
    return time.monotonic() - began


def _pings(testbed: Testbed, host: Host) -> int:
    address = str(testbed.addresses(host.name)[0])
    said = testbed.get("cn1").cmd("ping", "-c", "5", "-i", "0.2", "-W", "2", address)
    return int(said.partition(" received")[0].rpartition(" ")[2])


def _play(testbed: Testbed, run: Deployment, flood: _Flood, hosts: dict[str, Host], newcomer: Host, results: Path) -> _Seen:
    addresses = {agent.name: agent.address for agent in run.agents}
    place = _place(testbed, flood, hosts, addresses)
    journal, size, memory = results / "events.jsonl", (results / "events.jsonl").stat().st_size, _memory()
    began = time.monotonic()
    process = testbed.get(place.node).spawn(lambda: _send(place, flood))
    time.sleep(_UNDER_WAY)
    waited = _wait(testbed, newcomer)
    testbed.detach("mn2")
    time.sleep(0.5)
    testbed.attach("mn2", "mag1")
    time.sleep(1.0)
    answered = _pings(testbed, hosts["mn2"])
    os.kill(process, signal.SIGKILL)
    lasted = time.monotonic() - began
    grown = (journal.stat().st_size - size) / lasted, _memory() - memory
    print(f"dmmlab: {flood.what}: {waited:.2f} s, pings {answered}/5, {grown[0] / 1e3:.1f} kB/s, {grown[1] / 1e6:+.1f} MB", flush=True)
    time.sleep(6.0)
    return _Seen(waited, *grown, answered)


def _place(testbed: Testbed, flood: _Flood, hosts: dict[str, Host], addresses: dict[str, IPv6Address]) -> _Place:
    agent, scanned = addresses[flood.agent], hosts["mn2"]
    if flood.attacker == "core":
        gateway = str(testbed.get(flood.agent).intf(f"{flood.agent}-eth0").MAC())
        return _Place("s1", "s1", mac(3, 1), gateway, STRANGER, agent, scanned)
    host = hosts[flood.attacker]
    return _Place(host.name, host.interface, host.mac, ALL_MAGS_MAC, testbed.addresses(host.name)[0], agent, scanned)


def _send(place: _Place, flood: _Flood) -> None:
    packets = flood.packets(place)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind((place.device, 0))
        began = time.monotonic()
        for number, packet in enumerate(packets):
            ahead = number / flood.rate - (time.monotonic() - began)
            if ahead > 0.002:
                time.sleep(ahead)
            try:
                sock.send(packet)
            except OSError:
                continue


def _memory() -> float:
    """Octets that this process's children have in memory."""
    pages = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[1]) == os.getpid():
                pages += int(stat.with_name("statm").read_text().split()[1])
        except (OSError, ValueError):
            continue
    return float(pages * os.sysconf("SC_PAGE_SIZE"))


if __name__ == "__main__":
    _in_guest(Path(sys.argv[1]))
