"""The player's packets, the table of what became of them, and how they are told from others."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from itertools import pairwise
from pathlib import Path

import pytest
import studies
from captures import OUT, Record, pcap
from rich.console import Console
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest, ICMPv6PacketTooBig, IPv6

from agents.config import QueryFlag
from agents.messages import decode as decoded
from agents.messages import kind, parse_ipv6_mobility
from experiments.catalogue import CATALOGUE
from experiments.declare.deployment import resolve
from experiments.declare.forgeries import FORGERIES, KINDS, MARK, MESSAGES, STRANGER, Forgery, mark, marked, upper_layer
from experiments.declare.scenario import Attack, Run
from experiments.declare.selection import SelectionError, select
from experiments.measure.harm import KERNEL, AttackOutcome, sights
from experiments.present import terminal
from experiments.present.attack_table import table_of_attacks
from experiments.present.report import write_report
from topologies.domain import Host

LMA, MAG = IPv6Address("2001:db8::1"), IPv6Address("2001:db8::1:3")
HOA, OTHER = IPv6Address("2001:db8:100:1::2"), IPv6Address("2001:db8:100:2::2")
VICTIM = Host("mn1", "mag2", "mn1@dmm.example", "02:00:00:00:00:01", IPv6Network("2001:db8:100:1::/64"))


def octets(name: str, number: int = 0) -> bytes:
    return FORGERIES[name](QueryFlag.DRAFT, Forgery(STRANGER, LMA, VICTIM, HOA, OTHER, MAG, number, 1704067200.0))


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_a_forged_message_is_a_whole_one_and_keeps_its_checksum_under_its_mark(name: str) -> None:
    source, destination, data = parse_ipv6_mobility(marked(octets(name), mark(3)))
    assert (source, destination) == (STRANGER, LMA)
    assert kind(decoded(data)) == name


def test_a_mark_is_on_the_packet_and_on_the_one_inside() -> None:
    packet = marked(octets("tunnel"), mark(5))
    assert [int.from_bytes(packet[at : at + 4], "big") & MARK for at in (0, 40)] == [mark(5)] * 2
    assert packet[0] >> 4 == packet[40] >> 4 == 6
    assert (IPv6Address(packet[48:64]), IPv6Address(packet[64:80])) == (OTHER, HOA)


@pytest.mark.parametrize(
    ("name", "protocol", "at"),
    [
        ("tunnel", 41, 40),
        ("hidden-tunnel", 41, 56),
        ("hidden-PBU", 41, 56),
        ("routers-tunnel", 41, 40),
        ("IPv4-tunnel", 4, 40),
        ("too-big", 58, 40),
    ],
)
def test_what_hides_a_header_is_read_as_by_others(name: str, protocol: int, at: int) -> None:
    packet = marked(octets(name), mark(9))
    assert upper_layer(packet) == (protocol, at)
    layers = IPv6(packet)
    assert (bytes(layers), layers.fl) == (packet, mark(9) & 0xFFFFF)
    assert len(packet) - at == len([*layers.iterpayloads()][2 if at > 40 else 0].payload)


def test_a_forged_packet_too_big_has_a_right_checksum_and_quotes_a_tunnel_of_the_agent() -> None:
    error = IPv6(marked(octets("too-big"), mark(9)))[ICMPv6PacketTooBig]
    quoted = IPv6(bytes(error.payload))
    assert (error.mtu, quoted.nh, IPv6Address(quoted.src)) == (1280, 41, LMA)
    found = error.cksum
    packet = IPv6(marked(octets("too-big"), mark(9)))
    del packet[ICMPv6PacketTooBig].cksum
    assert IPv6(bytes(packet))[ICMPv6PacketTooBig].cksum == found


def test_an_echo_request_and_its_reply_bear_the_mark() -> None:
    request = IPv6(marked(octets("echo"), mark(7)))
    echo = request[ICMPv6EchoRequest]
    assert (echo.id << 16 | echo.seq) == mark(7)
    sum_of_its_own = echo.cksum
    del echo.cksum
    assert IPv6(bytes(request))[ICMPv6EchoRequest].cksum == sum_of_its_own


def test_an_echo_reply_that_goes_out_is_harm(tmp_path: Path) -> None:
    experiment = CATALOGUE["attacks"]
    case = next(case for case in experiment.cases for fault in case.faults[:1] if isinstance(fault, Attack) and fault.kind == "echo")
    run = resolve(Run("attacks", experiment.domain, case, experiment.scenario, 1, 1, "virtual"))
    request = marked(octets("echo"), mark(0))
    reply = bytes(IPv6(src=str(MAG), dst=str(LMA)) / ICMPv6EchoReply(id=mark(0) >> 16, seq=mark(0) & 0xFFFF))
    for agent in run.agents:
        (tmp_path / f"{agent.name}.pcap").write_bytes(pcap([]))
    (tmp_path / "mag1.pcap").write_bytes(pcap([Record(1, request), Record(2, reply, OUT)]))
    found = sights(run, tmp_path)
    assert (found.arrived[mark(0)], found.barred[mark(0)], found.passed[mark(0)]) == (1, 1, 1)


def test_a_flood_goes_to_ever_new_home_addresses() -> None:
    destinations = {IPv6Address(octets("flood", number)[24:40]) for number in range(100)}
    assert len(destinations) == 100
    assert all(address in IPv6Network("2001:db8:100::/40") and address not in VICTIM.home_network_prefix for address in destinations)


def test_a_marked_packet_counts_where_its_header_is_whole_and_its_mark_is_an_attacks(tmp_path: Path) -> None:
    experiment = CATALOGUE["attacks"]
    case = next(case for case in experiment.cases if case.faults)
    run = resolve(Run("attacks", experiment.domain, case, experiment.scenario, 1, 1, "virtual"))
    tunnel, message, unknown = marked(octets("tunnel"), mark(0)), marked(octets("PBU"), mark(1)), marked(octets("PBU"), mark(99))
    for agent in run.agents:
        (tmp_path / f"{agent.name}.pcap").write_bytes(pcap([]))
    (tmp_path / "mag2.pcap").unlink()
    for length in range(len(tunnel) + 21):
        records = [Record(1, tunnel), Record(2, message, OUT), Record(3, unknown)]
        (tmp_path / "mag1.pcap").write_bytes(pcap(records, snaplen=length))
        found = sights(run, tmp_path)
        whole = length >= 20 + 40
        assert (found.arrived, found.passed) == (Counter({mark(0): 1} if whole else {}), Counter({mark(1): 1} if whole else {}))


def test_the_catalogue_attacks_in_every_way_when_asked_for_only() -> None:
    cases = CATALOGUE["attacks"].cases
    assert not CATALOGUE["attacks"].usual
    attacks = [[fault for fault in case.faults if isinstance(fault, Attack)] for case in cases]
    assert all(before.end < after.at for together in attacks for before, after in pairwise(together))
    assert {attack.kind for together in attacks for attack in together} == set(KINDS)


@pytest.mark.parametrize("domain", ["tree", "star"])
def test_attackers_must_be_hosts_or_bridges_of_the_domain(domain: str) -> None:
    with pytest.raises(SelectionError, match="needs"):
        select(CATALOGUE["attacks"], domain=domain)


def _outcome(
    refused: dict[str, int], passed: int = 0, disturbed: int = 0, changed: tuple[str, ...] = (), succeeds: bool = False
) -> AttackOutcome:
    experiment = CATALOGUE["attacks"]
    run = resolve(Run("attacks", experiment.domain, experiment.cases[1], experiment.scenario, 1, 1, "virtual"))
    return AttackOutcome(Attack("PBU", "cn2", "mag2", "mn1", 1.0, succeeds=succeeds), run, 5, refused, passed, disturbed, changed)


def test_an_attack_is_harmless_only_if_all_of_it_is_accounted_for() -> None:
    assert _outcome({KERNEL: 2, "unknown sender": 3}).harmless
    assert not _outcome({KERNEL: 4}).harmless
    assert not _outcome({KERNEL: 6}).harmless
    for harm in ({"passed": 1}, {"disturbed": 1}, {"changed": ("mag1: no route",)}):
        assert not _outcome({KERNEL: 5}, **harm).harmless
        assert _outcome({KERNEL: 5}, **harm, succeeds=True).good
    assert not _outcome({KERNEL: 5}, succeeds=True).good


def test_attacks_that_are_alike_share_a_row() -> None:
    table = table_of_attacks([_outcome({KERNEL: 5}), _outcome({KERNEL: 2, "unknown sender": 3}), _outcome({}, succeeds=True)])
    assert table is not None
    (row,) = table.rows
    assert (row.case, row.kind, row.place, row.claim) == ("outsiders", "PBU", "an access link", "itself")
    (cell,) = row.cells
    assert cell is not None
    assert (cell.text, cell.good) == (f"7 refused: {KERNEL}, 3 refused: unknown sender", True)
    assert table_of_attacks([]) is None


def test_report_and_terminal_say_what_became_of_attacks(tmp_path: Path) -> None:
    refused, missing, open_to = _outcome({KERNEL: 5}), _outcome({}), _outcome({}, disturbed=7, succeeds=True)
    study = replace(studies.study(packets=10), outcomes=(refused, missing, open_to))
    assert write_report(study, tmp_path) == ()
    page = (tmp_path / "index.html").read_text()
    assert "1 of 2 attacks were refused and counted to the last packet." in page
    assert "1 of 1 attacks did the harm that the domain is open to." in page
    assert f"5 refused: {KERNEL}, 7 packets of others disturbed" in page
    out = io.StringIO()
    terminal.show(replace(study, outcomes=(refused,)), Console(file=out, width=240, color_system=None))
    assert f"✓ 5 refused: {KERNEL}" in out.getvalue()
