"""Captures made by hand: pcap files of LINUX_SLL2 records, and those that a trace would have left."""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from typing import Any

from agents import messages
from experiments.declare.deployment import Deployment
from experiments.declare.traffic import PORT, payload
from experiments.measure.records import Packet, Signal, Trace
from topologies import routing
from topologies.domain import Host

ETHERNET, TUNNEL, TUN = 1, 769, 65534
IN, MULTICAST, OTHER, OUT = 0, 2, 3, 4
IPV6, LLC = 0x86DD, 4
MAG_MAC = "00:00:5e:00:52:13"
CORE_MAC = "02:aa:00:00:00:01"


@dataclass(frozen=True)
class Record:
    time: int
    packet: bytes
    direction: int = IN
    kind: int = ETHERNET
    mac: str = CORE_MAC
    protocol: int = IPV6

    def frame(self) -> bytes:
        mac = bytes.fromhex(self.mac.replace(":", ""))
        return struct.pack("!HHIHBB8s", self.protocol, 0, 2, self.kind, self.direction, 6, mac) + self.packet


def pcap(records: Iterable[Record], order: str = "<", nanoseconds: bool = True, snaplen: int = 262144, link_type: int = 276) -> bytes:
    magic, tick = (0xA1B23C4D, 1) if nanoseconds else (0xA1B2C3D4, 1000)
    out = [struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, snaplen, link_type)]
    for record in records:
        frame = record.frame()
        second, rest = divmod(record.time, 1_000_000_000)
        out.append(struct.pack(f"{order}IIII", second, rest // tick, len(frame[:snaplen]), len(frame)) + frame[:snaplen])
    return b"".join(out)


def options(order: str, *values: tuple[int, bytes]) -> bytes:
    """The options of a pcapng block, and their end."""
    padded = (struct.pack(f"{order}HH", code, len(value)) + value + bytes(-len(value) % 4) for code, value in values)
    return b"".join(padded) + bytes(4)


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    """A pcapng block."""
    body += bytes(-len(body) % 4)
    return struct.pack(f"{order}II", kind, 12 + len(body)) + body + struct.pack(f"{order}I", 12 + len(body))


def section(order: str = "<") -> bytes:
    """The beginning of a pcapng section, of a length that it does not say, with an option."""
    return block(0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1) + options(order, (4, b"tests")), order)


def interface(order: str = "<", *values: tuple[int, bytes], link_type: int = 276) -> bytes:
    """A pcapng interface description."""
    return block(1, struct.pack(f"{order}HHI", link_type, 0, 262144) + options(order, (2, b"any"), *values), order)


def pcapng_packet(number: int, stamp: int, frame: bytes, order: str = "<", snaplen: int = 262144) -> bytes:
    """A packet of the interface ``number``, with a comment."""
    held = frame[:snaplen]
    head = struct.pack(f"{order}5I", number, stamp >> 32, stamp & 0xFFFFFFFF, len(held), len(frame))
    return block(6, head + held + bytes(-len(held) % 4) + options(order, (1, b"a comment")), order)


def pcapng(records: Iterable[Record], order: str = "<", snaplen: int = 262144) -> bytes:
    """A pcapng file of one interface that counts nanoseconds."""
    packets = (pcapng_packet(0, record.time, record.frame(), order, snaplen) for record in records)
    return section(order) + interface(order, (9, b"\x09")) + b"".join(packets)


def ipv6(source: str, destination: str, protocol: int, data: bytes) -> bytes:
    addresses = IPv6Address(source).packed + IPv6Address(destination).packed
    return struct.pack("!IHBB", 6 << 28, len(data), protocol, 64) + addresses + data


def numbered_packet(flow: int, sequence: int, source: str, destination: str, size: int = 100) -> bytes:
    data = payload(flow, sequence, size)
    return ipv6(source, destination, 17, struct.pack("!HHHH", 40000, PORT, 8 + len(data), 0) + data)


def encapsulated(packet: bytes, source: str, destination: str) -> bytes:
    return ipv6(source, destination, 41, packet)


def render(trace: Trace, run: Deployment, folder: Path) -> None:
    """Write the captures that would show ``trace``: each packet and message at each node where and when the trace has it."""
    records: dict[str, list[Record]] = defaultdict(list)
    hosts = run.host
    agents = {agent.name: str(agent.address) for agent in routing.agents(run.domain)}
    for packet in trace.packets:
        _render_packet(records, packet, run, hosts, agents)
    for signal in trace.signals:
        data = _octets(signal)
        records[signal.sender].append(Record(signal.sent, data, OUT))
        for node, time in signal.arrivals:
            records[node].append(Record(time, data, MULTICAST if signal.tunnelled else IN))
            if signal.tunnelled:
                records[node].append(Record(time, data[40:], MULTICAST, TUNNEL))
    for association in trace.associations:
        records[association.mag].append(Record(association.time, bytes(6), 1, mac=hosts[association.node].mac, protocol=LLC))
    for node in (*agents, *hosts):
        ordered = sorted(records[node], key=lambda record: record.time)
        (folder / f"{node}.pcap").write_bytes(pcap(ordered))


def _render_packet(
    records: dict[str, list[Record]], packet: Packet, run: Deployment, hosts: dict[str, Host], agents: dict[str, str]
) -> None:
    flow = run.scenario.flows[packet.flow]
    source, destination = hosts[flow.source], hosts[flow.destination]
    plain = numbered_packet(
        packet.flow, packet.sequence, str(source.home_network_prefix[1]), str(destination.home_network_prefix[1]), flow.size
    )
    records[flow.source].append(Record(packet.sent, plain, OUT, mac=source.mac))
    if packet.received is not None:
        records[flow.destination] += [Record(packet.received, plain, IN, mac=MAG_MAC)] * packet.copies
    for node, time in packet.seen.items():
        if node in hosts:
            continue
        outer = encapsulated(plain, agents[node], "2001:db8::77")
        from_access = min((mag for mag in packet.seen if mag in agents), key=lambda mag: packet.seen[mag]) == node
        if from_access:
            records[node].append(Record(time, plain, IN, mac=source.mac))
            if packet.tunnelled.get(node) != time:
                records[node].append(Record(time, plain, OUT, TUN))
        else:
            records[node].append(Record(time, encapsulated(plain, "2001:db8::76", agents[node]), IN))
            records[node].append(Record(time, plain, IN, TUNNEL))
        if node in packet.tunnelled:
            records[node].append(Record(packet.tunnelled[node], plain, OUT, TUNNEL))
            records[node].append(Record(packet.tunnelled[node], outer, OUT))
        elif packet.received is not None and not from_access:
            leaves = packet.received - round(run.domain.access.delay * 1e9)
            records[node].append(Record(leaves, plain, OUT, mac=MAG_MAC))


def _octets(signal: Signal) -> bytes:
    options: dict[str, Any] = {
        "mn_id": signal.mn_id,
        "alternate_care_of": None if signal.care_of is None else IPv6Address(signal.care_of),
    }
    sequence, status = signal.sequence or 0, signal.status or 0
    if signal.kind == "BE":
        message: messages.Message = messages.BindingError(status=status, home_address=IPv6Address(signal.home or "::"))
    else:
        options["home_network_prefixes"] = () if signal.home is None else (IPv6Network(signal.home),)
        update: dict[str, Any] = {"sequence": sequence, "lifetime": int((signal.lifetime or 0) // 4)}
        route: dict[str, Any] = {
            "sequence": sequence,
            "lifetime": int(signal.lifetime or 0),
            "mag_address": options["alternate_care_of"],
            **{name: options[name] for name in ("mn_id", "home_network_prefixes")},
        }
        made: dict[str, Callable[[], messages.Message]] = {
            "LRI": lambda: messages.LocalizedRoutingInitiation(**route),
            "LRA": lambda: messages.LocalizedRoutingAcknowledgment(status=status, **route),
            "PBU": lambda: messages.ProxyBindingUpdate(**update, **options),
            "PBQ": lambda: messages.ProxyBindingUpdate(query=True, **update, **options),
            "PBA": lambda: messages.ProxyBindingAcknowledgement(status=status, **update, **options),
            "PQA": lambda: messages.ProxyBindingAcknowledgement(status=status, query=True, **update, **options),
            "HI": lambda: messages.HandoverInitiate(sequence=sequence, code=3, **options),
            "HACK": lambda: messages.HandoverAcknowledge(sequence=sequence, code=0, **options),
            "UPN": lambda: messages.UpdateNotification(sequence=sequence, notification_reason=2, **options),
            "UPA": lambda: messages.UpdateNotificationAcknowledgement(sequence=sequence, status=status, **options),
        }
        message = made[signal.kind]()
    source, destination = IPv6Address(signal.source), IPv6Address(signal.destination)
    packet = messages.ipv6_packet(messages.encode(message), source, destination)
    return encapsulated(packet, signal.source, signal.destination) if signal.tunnelled else packet
