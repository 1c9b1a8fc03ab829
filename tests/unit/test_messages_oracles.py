"""What others make of our octets: scapy's Mobile IPv6 layers and Wireshark's dissector."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from mobility_messages import messages, options_start, query_flags, walk
from scapy.layers import inet6
from scapy.layers.inet6 import (
    MIP6MH_BA,
    MIP6MH_BE,
    MIP6MH_BU,
    IPv6,
    MIP6OptAltCoA,
    MIP6OptMNID,
    MIP6OptMsgAuth,
    MIP6OptReplayProtection,
    MIP6OptUnknown,
)
from scapy.packet import Packet
from scapy.utils import RawPcapWriter

from agents import scapy_layers
from agents.authentication import Protected
from agents.config import QueryFlag
from agents.messages import (
    AccessTechnologyType,
    Authentication,
    BindingError,
    BindingErrorStatus,
    BindingRevocationAcknowledgement,
    BindingRevocationIndication,
    HandoffIndicator,
    HandoverAcknowledge,
    HandoverAcknowledgeCode,
    HandoverInitiate,
    HandoverInitiateCode,
    Heartbeat,
    LocalizedRoutingAcknowledgment,
    LocalizedRoutingInitiation,
    Message,
    NotificationReason,
    ProxyBindingAcknowledgement,
    ProxyBindingUpdate,
    RevocationStatus,
    RevocationTrigger,
    Status,
    UpdateNotification,
    UpdateNotificationAcknowledgement,
    decode,
    encode,
    ipv6_packet,
    parse_ipv6_mobility,
    timestamp_from_seconds,
)
from agents.scapy_layers import (
    MIP6MH_BRA,
    MIP6MH_BRI,
    MIP6MH_HB,
    MIP6MH_HI,
    MIP6MH_LRA,
    MIP6MH_LRI,
    MIP6MH_PBQ,
    MIP6MH_PQA,
    MIP6MH_UPA,
    MIP6MH_UPN,
    MIP6MH_HAck,
    MIP6MH_PBQ_Unassigned,
    MIP6MH_PQA_Unassigned,
    MIP6OptATT,
    MIP6OptHandoffIndicator,
    MIP6OptHNP,
    MIP6OptLLA,
    MIP6OptLMAAddress,
    MIP6OptMAGAddress,
    MIP6OptMNLLI,
    MIP6OptRestartCounter,
    MIP6OptTimestamp,
)

MAG = IPv6Address("2001:db8::11")
LMA = IPv6Address("2001:db8::1")
GROUP = IPv6Address("ff15::5213")
HNP = IPv6Network("2001:db8:100::/64")
HOA = IPv6Network("2001:db8:100::1/128")
NOW = timestamp_from_seconds(1704067200.5)

PROTECTED = Protected(QueryFlag.DRAFT, 0x100, bytes(range(16)), 7.0)

REGISTRATION: dict[str, Any] = {
    "mn_id": "mn1@dmm.example",
    "home_network_prefixes": (HNP, IPv6Network("2001:db8:101::/64")),
    "handoff_indicator": HandoffIndicator.BETWEEN_MAGS,
    "access_technology": AccessTechnologyType.WIRELESS_LAN,
    "link_layer_identifier": bytes.fromhex("020000000001"),
    "link_local_address": IPv6Address("fe80::200:5eff:fe00:5213"),
    "timestamp": NOW,
}
MESSAGES: tuple[Message, ...] = (
    ProxyBindingUpdate(sequence=0x1234, lifetime=75, authentication=Authentication(1, 0x100, bytes(range(1, 13))), **REGISTRATION),
    ProxyBindingUpdate(sequence=5, lifetime=0, mn_id="a@b", link_layer_identifier=bytes(range(8))),
    ProxyBindingAcknowledgement(status=Status.ACCEPTED, sequence=0x1234, lifetime=75, **REGISTRATION),
    ProxyBindingAcknowledgement(status=Status.TIMESTAMP_MISMATCH, sequence=5, lifetime=0),
    ProxyBindingUpdate(sequence=6, lifetime=2, query=True, home_network_prefixes=(HOA,), timestamp=NOW),
    ProxyBindingAcknowledgement(
        status=0, sequence=6, lifetime=2, query=True, home_network_prefixes=(HNP,), alternate_care_of=MAG, timestamp=NOW
    ),
    ProxyBindingAcknowledgement(status=Status.NOT_LMA_FOR_THIS_MOBILE_NODE, sequence=6, lifetime=0, query=True, timestamp=NOW),
    BindingError(status=BindingErrorStatus.UNKNOWN_BINDING, home_address=HOA.network_address),
    UpdateNotification(
        sequence=7,
        notification_reason=NotificationReason.UPDATE_SESSION_PARAMETERS,
        acknowledge=True,
        mn_id="mn1@dmm.example",
        home_network_prefixes=(HNP,),
        alternate_care_of=MAG,
    ),
    UpdateNotificationAcknowledgement(sequence=7, status=0, mn_id="mn1@dmm.example"),
    Heartbeat(sequence=0x12345678),
    Heartbeat(sequence=0x12345678, response=True, restart_counter=3),
    Heartbeat(sequence=0, response=True, unsolicited=True, restart_counter=4),
    BindingRevocationIndication(
        sequence=9,
        trigger=RevocationTrigger.INTER_MAG_HANDOVER_SAME_ACCESS_TYPE,
        mn_id="mn1@dmm.example",
        home_network_prefixes=(HNP,),
        alternate_care_of=MAG,
        timestamp=NOW,
    ),
    BindingRevocationIndication(sequence=10, trigger=RevocationTrigger.PER_PEER_POLICY, all_bindings=True, ipv4_only=True, mn_id="mag1"),
    BindingRevocationAcknowledgement(sequence=9, status=RevocationStatus.BINDING_DOES_NOT_EXIST, mn_id="mn1@dmm.example"),
    BindingRevocationAcknowledgement(sequence=10, status=RevocationStatus.SUCCESS, proxy=False, all_bindings=True),
    HandoverInitiate(
        sequence=13,
        code=HandoverInitiateCode.ALL_CONTEXT_TRANSFERRED,
        buffer=True,
        forward=True,
        mn_id="mn1@dmm.example",
        home_network_prefixes=(HNP,),
        anchor_address=LMA,
        link_layer_identifier=bytes.fromhex("020000000001"),
        link_local_address=IPv6Address("fe80::200:5eff:fe00:5213"),
        timestamp=NOW,
    ),
    HandoverAcknowledge(
        sequence=13, code=HandoverAcknowledgeCode.CONTEXT_TRANSFER_ACCEPTED, buffer=True, mn_id="mn1@dmm.example", timestamp=NOW
    ),
    decode(PROTECTED.octets(ProxyBindingUpdate(sequence=14, lifetime=75, mn_id="a@b"), MAG, LMA, 1704067200.5)),
)


@contextmanager
def scapy_as_it_was() -> Iterator[None]:
    options, types = dict(inet6.moboptcls), dict(inet6._mip6_mhtype2cls)
    try:
        yield
    finally:
        for table, before in ((inet6.moboptcls, options), (inet6._mip6_mhtype2cls, types)):
            table.clear()
            table.update(before)


@contextmanager
def registered(query_flag: QueryFlag) -> Iterator[None]:
    with scapy_as_it_was():
        scapy_layers.register(query_flag)
        yield


def as_scapy(message: Message, query_flag: QueryFlag) -> Packet:
    """The same message, from scapy classes and their own arithmetic of alignment, length and checksum."""
    options: list[Packet] = []
    correspondent = getattr(message, "correspondent", None)
    for node in (message, correspondent) if correspondent else (message,):
        if node.mn_id is not None:
            options.append(MIP6OptMNID(id=node.mn_id.encode()))
        options += [MIP6OptHNP(plen=prefix.prefixlen, prefix=str(prefix.network_address)) for prefix in node.home_network_prefixes]
    if (found := getattr(message, "mag_address", None)) is not None:
        options.append(MIP6OptMAGAddress(address=str(found)))
    if (found := getattr(message, "anchor_address", None)) is not None:
        options.append(MIP6OptLMAAddress(address=str(found)))
    if message.handoff_indicator is not None:
        options.append(MIP6OptHandoffIndicator(hi=message.handoff_indicator))
    if message.access_technology is not None:
        options.append(MIP6OptATT(att=message.access_technology))
    if message.link_layer_identifier is not None:
        options.append(MIP6OptMNLLI(lli=message.link_layer_identifier))
    if message.link_local_address is not None:
        options.append(MIP6OptLLA(lla=str(message.link_local_address)))
    if message.timestamp is not None:
        options.append(MIP6OptTimestamp(timestamp=message.timestamp))
    if message.alternate_care_of is not None:
        options.append(MIP6OptAltCoA(acoa=str(message.alternate_care_of)))
    if (found := getattr(message, "restart_counter", None)) is not None:
        options.append(MIP6OptRestartCounter(counter=found))
    if message.replay_protection is not None:
        options.append(MIP6OptReplayProtection(timestamp=message.replay_protection))
    if message.authentication is not None:
        auth = message.authentication
        options.append(MIP6OptMsgAuth(subtype=auth.subtype, mspi=auth.spi, authdata=auth.data))
    unassigned = query_flag is QueryFlag.UNASSIGNED
    match message:
        case ProxyBindingUpdate(query=False):
            return MIP6MH_BU(seq=message.sequence, flags="PHA", mhtime=message.lifetime, options=options)
        case ProxyBindingUpdate():
            query = MIP6MH_PBQ_Unassigned if unassigned else MIP6MH_PBQ
            return query(seq=message.sequence, mhtime=message.lifetime, options=options)
        case ProxyBindingAcknowledgement(query=False):
            return MIP6MH_BA(status=message.status, flags="P", seq=message.sequence, mhtime=message.lifetime, options=options)
        case ProxyBindingAcknowledgement():
            answer = MIP6MH_PQA_Unassigned if unassigned else MIP6MH_PQA
            return answer(status=message.status, seq=message.sequence, mhtime=message.lifetime, options=options)
        case BindingError():
            return MIP6MH_BE(status=message.status, ha=str(message.home_address), options=options)
        case UpdateNotification():
            flags = "A" * message.acknowledge + "D" * message.retransmit
            return MIP6MH_UPN(seq=message.sequence, reason=message.notification_reason, flags=flags, options=options)
        case UpdateNotificationAcknowledgement():
            return MIP6MH_UPA(seq=message.sequence, status=message.status, options=options)
        case Heartbeat():
            return MIP6MH_HB(seq=message.sequence, flags="R" * message.response + "U" * message.unsolicited, options=options)
        case BindingRevocationIndication():
            return MIP6MH_BRI(trigger=message.trigger, seq=message.sequence, flags=revocation_flags(message), options=options)
        case BindingRevocationAcknowledgement():
            return MIP6MH_BRA(status=message.status, seq=message.sequence, flags=revocation_flags(message), options=options)
        case LocalizedRoutingInitiation():
            return MIP6MH_LRI(seq=message.sequence, lifetime=message.lifetime, options=options)
        case LocalizedRoutingAcknowledgment():
            said = {"flags": "U" * message.unsolicited, "status": message.status, "lifetime": message.lifetime}
            return MIP6MH_LRA(seq=message.sequence, options=options, **said)
        case HandoverInitiate() | HandoverAcknowledge():
            flags = "P" + "U" * message.buffer + "F" * message.forward
            layer = MIP6MH_HI if isinstance(message, HandoverInitiate) else MIP6MH_HAck
            return layer(seq=message.sequence, code=message.code, flags=flags, options=options)


def revocation_flags(message: BindingRevocationIndication | BindingRevocationAcknowledgement) -> str:
    return "P" * message.proxy + "V" * message.ipv4_only + "G" * message.all_bindings


@settings(deadline=None)
@given(messages, query_flags)
def test_scapy_builds_the_same_octets(message: Message, query_flag: QueryFlag) -> None:
    built = bytes(IPv6(src=str(MAG), dst=str(LMA)) / as_scapy(message, query_flag))
    assert ipv6_packet(encode(message, query_flag), MAG, LMA) == built
    _, _, header = parse_ipv6_mobility(built)
    assert decode(header, query_flag) == message


@settings(deadline=None)
@given(messages, query_flags)
def test_scapy_dissects_what_it_would_have_built(message: Message, query_flag: QueryFlag) -> None:
    packet = ipv6_packet(encode(message, query_flag), MAG, LMA)
    with registered(query_flag):
        found = IPv6(packet).payload
    wanted = as_scapy(message, query_flag)
    assert type(found) is type(wanted)
    for name in wanted.fields.keys() - {"options"}:
        assert getattr(found, name) == getattr(wanted, name)
    options = [option for option in found.options if option.otype > 1]
    assert [type(option) for option in options] == [type(option) for option in wanted.options]
    for option, want in zip(options, wanted.options, strict=True):
        assert option.fields.items() >= want.fields.items()


def test_scapy_alone_knows_the_binding_messages() -> None:
    update = IPv6(ipv6_packet(encode(MESSAGES[0]), MAG, LMA))[MIP6MH_BU]
    assert (update.seq, str(update.flags), update.mhtime, update.len) == (0x1234, "PHA", 75, len(encode(MESSAGES[0])) // 8 - 1)
    assert update[MIP6OptMNID].id == b"mn1@dmm.example"
    assert [option.otype for option in update.options if isinstance(option, MIP6OptUnknown)] == [22, 22, 23, 24, 25, 26, 27]
    assert update[MIP6OptMsgAuth].authdata == bytes(range(1, 13))
    answer = IPv6(ipv6_packet(encode(MESSAGES[5]), LMA, MAG))[MIP6MH_BA]
    assert (answer.seq, str(answer.flags), answer.status, answer.mhtime, answer.res2) == (6, "P", 0, 2, 0x10)
    assert answer[MIP6OptAltCoA].acoa == str(MAG)
    error = IPv6(ipv6_packet(encode(MESSAGES[7]), MAG, LMA))[MIP6MH_BE]
    assert (error.status, error.ha) == (1, "2001:db8:100::1")


def test_scapy_finds_the_options_of_rfc_4285() -> None:
    octets = PROTECTED.octets(ProxyBindingUpdate(sequence=14, lifetime=75), MAG, LMA, 1704067200.5)
    update = IPv6(ipv6_packet(octets, MAG, LMA))[MIP6MH_BU]
    assert update[MIP6OptReplayProtection].timestamp == decode(octets).replay_protection
    assert (update[MIP6OptMsgAuth].subtype, update[MIP6OptMsgAuth].mspi, update[MIP6OptMsgAuth].authdata) == (1, 0x100, octets[-12:])


def test_importing_the_layers_leaves_scapy_as_it_was() -> None:
    assert 22 not in inet6.moboptcls
    assert inet6._mip6_mhtype2cls[5] is MIP6MH_BU


def test_a_query_in_a_tunnel_shows_its_options() -> None:
    query = IPv6(src=str(MAG), dst=str(GROUP)) / MIP6MH_PBQ(seq=1, options=[MIP6OptHNP(prefix="2001:db8:100::1", plen=128)])
    tunnelled = bytes(IPv6(src=str(MAG), dst=str(GROUP)) / query)
    with registered(QueryFlag.DRAFT):
        found = IPv6(tunnelled)[MIP6MH_PBQ]
        shown = found.show(dump=True)
    assert (found.q, found[MIP6OptHNP].prefix, found[MIP6OptHNP].plen) == (1, "2001:db8:100::1", 128)
    assert "Proxy Binding Query" in shown
    assert "2001:db8:100::1" in shown
    assert parse_ipv6_mobility(tunnelled[40:])[:2] == (MAG, GROUP)


def test_scapy_matches_an_answer_with_its_query() -> None:
    query = IPv6(src=str(MAG), dst=str(LMA)) / MIP6MH_PBQ(seq=3)
    answer = IPv6(src=str(LMA), dst=str(MAG)) / MIP6MH_PQA(seq=3)
    other = IPv6(src=str(LMA), dst=str(MAG)) / MIP6MH_PQA(seq=4)
    assert answer.hashret() == query.hashret()
    assert answer.answers(query)
    assert not other.answers(query)
    assert MIP6MH_UPA(seq=3).answers(MIP6MH_UPN(seq=3))


def test_the_setting_of_the_query_flag_decides_what_scapy_sees() -> None:
    packet = ipv6_packet(encode(MESSAGES[4], QueryFlag.UNASSIGNED), MAG, LMA)
    with registered(QueryFlag.DRAFT):
        assert type(IPv6(packet).payload) is MIP6MH_BU
    with registered(QueryFlag.UNASSIGNED):
        assert type(IPv6(packet).payload) is MIP6MH_PBQ_Unassigned


FIELDS = (
    "mip6.mhtype",
    "mip6.hlen",
    "mip6.proto",
    "mip6.bu.seqnr",
    "mip6.bu.lifetime",
    "mip6.bu.a_flag",
    "mip6.bu.h_flag",
    "mip6.bu.p_flag",
    "mip6.bu.f_flag",
    "mip6.ba.status",
    "mip6.ba.seqnr",
    "mip6.ba.lifetime",
    "mip6.ba.p_flag",
    "mip6.ba.t_flag",
    "mip6.be.status",
    "mip6.be.haddr",
    "mip6.hb.u_flag",
    "mip6.hb.r_flag",
    "mip6.hb.seqnr",
    "mip6.rc",
    "mip6.hi.seqnr",
    "mip6.hi.s_flag",
    "mip6.hi.u_flag",
    "mip6.hi.code",
    "mip6.hack.seqnr",
    "mip6.hack.code",
    "mip6.bri_br.type",
    "mip6.bri_r.trigger",
    "mip6.bri_status",
    "mip6.bri_seqnr",
    "mip6.bri_ip",
    "mip6.bri_iv",
    "mip6.bri_ig",
    "mip6.bri_ap",
    "mip6.bri_av",
    "mip6.bri_ag",
    "mip6.mnid.identifier",
    "mip6.nemo.mnp.mnp",
    "mip6.nemo.mnp.pfl",
    "mip6.hi",
    "mip6.att",
    "mip6.mnlli.lli",
    "mip6.lila_lla",
    "mip6.acoa.acoa",
    "mip6.auth.subtype",
    "mip6.auth.mobility_spi",
    "mip6.mobility_opt.len",
)
TROUBLE = ("_ws.malformed", "_ws.expert.message", "mip6.opt.len.invalid", "mip6.bogus_header_length")


@pytest.fixture(scope="module")
def tshark() -> str:
    found = shutil.which("tshark")
    if found is None:
        pytest.skip("tshark is not installed")
    return found


def capture(path: Path, packets: list[bytes]) -> Path:
    writer = RawPcapWriter(str(path), linktype=101)
    for packet in packets:
        writer.write(packet)
    writer.close()
    return path


def dissect(tshark: str, path: Path, fields: tuple[str, ...], display_filter: str = "") -> list[dict[str, str]]:
    command = [tshark, "-n", "-r", str(path), "-Y", display_filter, "-T", "fields", "-E", "separator=/t", "-E", "aggregator=,"]
    command += [part for field in fields for part in ("-e", field)]
    done = subprocess.run(command, env={**os.environ, "TZ": "UTC"}, capture_output=True, text=True, check=True)
    truth = {"True": "1", "False": "0"}  # what Wireshark prints for 1 and 0 from 4.2 on
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    return [dict(zip(fields, (truth.get(value, value) for value in row), strict=True)) for row in rows]


def in_tshark(message: Message, query_flag: QueryFlag) -> dict[str, str]:
    """What tshark should say; it takes the draft's Q for F (RFC 5555) in a PBU and for T (RFC 5845) in a PBA.

    It has nothing to say here of localized routing, whose fixed part Wireshark 4.0 looks for at the header's first octet.
    """
    said: dict[str, object] = {"mip6.hlen": len(encode(message)) // 8 - 1, "mip6.proto": 59, "mip6.mhtype": encode(message)[2]}
    seen = query_flag is QueryFlag.DRAFT
    match message:
        case ProxyBindingUpdate():
            said |= {"mip6.bu.seqnr": message.sequence, "mip6.bu.lifetime": message.lifetime}
            said |= {"mip6.bu.a_flag": 1, "mip6.bu.h_flag": 1, "mip6.bu.p_flag": 1, "mip6.bu.f_flag": int(message.query and seen)}
        case ProxyBindingAcknowledgement():
            said |= {"mip6.ba.status": message.status, "mip6.ba.seqnr": message.sequence, "mip6.ba.lifetime": message.lifetime}
            said |= {"mip6.ba.p_flag": 1, "mip6.ba.t_flag": int(message.query and seen)}
        case BindingError():
            said |= {"mip6.be.status": message.status, "mip6.be.haddr": message.home_address}
        case Heartbeat():
            said |= {"mip6.hb.seqnr": message.sequence, "mip6.rc": message.restart_counter}
            said |= {"mip6.hb.r_flag": int(message.response), "mip6.hb.u_flag": int(message.unsolicited)}
        case HandoverInitiate():
            said |= {"mip6.hi.seqnr": message.sequence, "mip6.hi.code": message.code}
            said |= {"mip6.hi.s_flag": 0, "mip6.hi.u_flag": int(message.buffer)}
        case HandoverAcknowledge():
            said |= {"mip6.hack.seqnr": message.sequence, "mip6.hack.code": message.code}
        case BindingRevocationIndication():
            said |= {"mip6.bri_br.type": 1, "mip6.bri_r.trigger": message.trigger, "mip6.bri_seqnr": message.sequence}
            said |= {"mip6.bri_ip": int(message.proxy), "mip6.bri_iv": int(message.ipv4_only), "mip6.bri_ig": int(message.all_bindings)}
        case BindingRevocationAcknowledgement():
            said |= {"mip6.bri_br.type": 2, "mip6.bri_status": message.status, "mip6.bri_seqnr": message.sequence}
            said |= {"mip6.bri_ap": int(message.proxy), "mip6.bri_av": int(message.ipv4_only), "mip6.bri_ag": int(message.all_bindings)}
        case _:
            return {field: str(said.get(field, "")) for field in FIELDS}
    said["mip6.mnid.identifier"] = message.mn_id
    said["mip6.nemo.mnp.mnp"] = ",".join(str(prefix.network_address) for prefix in message.home_network_prefixes)
    said["mip6.nemo.mnp.pfl"] = ",".join(str(prefix.prefixlen) for prefix in message.home_network_prefixes)
    said["mip6.hi"] = message.handoff_indicator
    said["mip6.att"] = message.access_technology
    said["mip6.mnlli.lli"] = message.link_layer_identifier and message.link_layer_identifier.hex()
    said["mip6.lila_lla"] = message.link_local_address
    said["mip6.acoa.acoa"] = message.alternate_care_of
    said["mip6.auth.subtype"] = message.authentication and message.authentication.subtype
    said["mip6.auth.mobility_spi"] = message.authentication and message.authentication.spi
    lengths = [len(data) for _, option, data in walk(encode(message), options_start(message)) if option]
    said["mip6.mobility_opt.len"] = ",".join(map(str, lengths))
    return {field: "" if said.get(field) is None else format(said[field]) for field in FIELDS}


@pytest.mark.parametrize("query_flag", QueryFlag)
def test_tshark_reads_the_same_fields(tshark: str, tmp_path: Path, query_flag: QueryFlag) -> None:
    packets = [ipv6_packet(encode(message, query_flag), MAG, LMA) for message in MESSAGES]
    rows = dissect(tshark, capture(tmp_path / "messages.pcap", packets), FIELDS)
    for row in rows:
        row["mip6.mnlli.lli"] = row["mip6.mnlli.lli"].replace(":", "")
    assert rows == [in_tshark(message, query_flag) for message in MESSAGES]


def test_tshark_reads_the_same_timestamp(tshark: str, tmp_path: Path) -> None:
    path = capture(tmp_path / "messages.pcap", [ipv6_packet(encode(message), MAG, LMA) for message in MESSAGES])
    found = dissect(tshark, path, ("frame.number",), 'mip6.timestamp_tmp == "2024-01-01 00:00:00.5"')
    assert [int(row["frame.number"]) for row in found] == [n for n, message in enumerate(MESSAGES, 1) if message.timestamp]


@pytest.mark.parametrize("query_flag", QueryFlag)
def test_tshark_finds_nothing_malformed(tshark: str, tmp_path: Path, query_flag: QueryFlag) -> None:
    packets = [ipv6_packet(encode(message, query_flag), MAG, LMA) for message in MESSAGES]
    query = ipv6_packet(encode(MESSAGES[4], query_flag), MAG, GROUP)
    packets.append(bytes(IPv6(src=str(MAG), dst=str(GROUP)) / IPv6(query)))
    rows = dissect(tshark, capture(tmp_path / "messages.pcap", packets), ("mip6.mhtype", *TROUBLE))
    assert [row.pop("mip6.mhtype") for row in rows] == [str(encode(message)[2]) for message in (*MESSAGES, MESSAGES[4])]
    assert all(not any(row.values()) for row in rows), rows


def test_tshark_would_have_found_it(tshark: str, tmp_path: Path) -> None:
    broken = bytearray(encode(MESSAGES[4]))
    broken[13] = 17
    overlong = bytearray(encode(MESSAGES[3]))
    overlong[1] = 2
    packets = [ipv6_packet(bytes(header), MAG, LMA) for header in (broken, overlong)]
    rows = dissect(tshark, capture(tmp_path / "broken.pcap", packets), TROUBLE)
    assert all(any(row.values()) for row in rows), rows
