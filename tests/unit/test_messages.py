from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from mobility_messages import addresses, messages, octet, options_start, query_flags, walk

from agents.config import QueryFlag
from agents.messages import (
    Authentication,
    BindingError,
    BindingErrorStatus,
    BindingRevocationAcknowledgement,
    BindingRevocationIndication,
    HandoverAcknowledge,
    HandoverAcknowledgeCode,
    HandoverInitiate,
    HandoverInitiateCode,
    HeaderLengthError,
    Heartbeat,
    LocalizedRoutingAcknowledgment,
    LocalizedRoutingInitiation,
    LocalizedRoutingStatus,
    Message,
    MessageError,
    MobileNode,
    MobilityHeaderType,
    NotificationReason,
    PayloadProtocolError,
    ProxyBindingAcknowledgement,
    ProxyBindingUpdate,
    RevocationStatus,
    RevocationTrigger,
    Status,
    UnknownTypeError,
    UpdateNotification,
    UpdateNotificationAcknowledgement,
    checksum,
    decode,
    encode,
    ipv6_packet,
    kind,
    lifetime_of,
    lifetime_seconds,
    lifetime_units,
    parse_ipv6_mobility,
    seconds_from_timestamp,
    timestamp_from_seconds,
    with_checksum,
)

MAG = IPv6Address("2001:db8::11")
LMA = IPv6Address("2001:db8::1")
GROUP = IPv6Address("ff15::5213")
HNP = IPv6Network("2001:db8:100::/64")
HOA = IPv6Network("2001:db8:100::1/128")

thorough = settings(deadline=None, max_examples=150)


@thorough
@given(messages, query_flags)
def test_what_is_encoded_is_decoded(message: Message, query_flag: QueryFlag) -> None:
    assert decode(encode(message, query_flag), query_flag) == message


@thorough
@given(messages)
def test_every_option_lies_where_its_rfc_wants_it(message: Message) -> None:
    alignments = {3: (8, 6), 9: (4, 1), 10: (8, 2), 22: (8, 4), 26: (8, 6), 27: (8, 2), 28: (4, 2), 51: (8, 4)}
    header = encode(message)
    assert len(header) % 8 == 0
    assert header[:2] == bytes((59, len(header) // 8 - 1))
    assert header[3:6] == bytes(3)
    for at, option, data in walk(header, options_start(message)):
        multiple, offset = alignments.get(option, (1, 0))
        assert at % multiple == offset
        if option == 25:
            size = len(data) - 2
            boundary = next(width for width in (8, 4, 2, 1) if size % width == 0)
            assert (at + 4) % boundary == 0


@thorough
@given(messages)
def test_padding_is_one_option_of_zeros_that_ends_on_a_boundary(message: Message) -> None:
    header = encode(message)
    found = walk(header, options_start(message))
    for (_, option, data), (_, following, _) in zip(found, [*found, (0, 255, b"")][1:], strict=True):
        if option in (0, 1):
            assert following not in (0, 1)
            assert len(data) <= 5
            assert not any(data)


@thorough
@given(messages)
def test_authentication_comes_last_and_the_mn_id_first(message: Message) -> None:
    kinds = [option for _, option, _ in walk(encode(message), options_start(message)) if option > 1]
    if message.authentication:
        assert kinds[-1] == 9
    if message.mn_id is not None:
        assert kinds[0] == 8


@pytest.mark.parametrize(
    ("message", "octets"),
    [
        (
            ProxyBindingUpdate(sequence=0x0102, lifetime=75, mn_id="mn1@dmm.example", home_network_prefixes=(HNP,)),
            "3b060500 0000 0102 c200 004b0810016d6e3140646d6d2e6578616d706c65 01040000000016120040 20010db8010000000000000000000000",
        ),
        (
            ProxyBindingUpdate(sequence=7, lifetime=2, query=True, home_network_prefixes=(HOA,), timestamp=1704067200 << 16),
            "3b050500 0000 0007 c300 0002 16120080 20010db8010000000000000000000001 0100 1b08 0000659200800000 01020000",
        ),
        (
            ProxyBindingAcknowledgement(
                status=Status.ACCEPTED, sequence=7, lifetime=2, query=True, home_network_prefixes=(HNP,), alternate_care_of=MAG
            ),
            "3b060600 0000 0030 0007 0002 16120040 20010db8010000000000000000000000010400000000 0310 20010db8000000000000000000000011",
        ),
        (
            ProxyBindingAcknowledgement(status=Status.NOT_LMA_FOR_THIS_MOBILE_NODE, sequence=7, lifetime=0),
            "3b010600 0000 9920 0007 0000 01020000",
        ),
        (
            BindingError(status=BindingErrorStatus.UNKNOWN_BINDING, home_address=HOA.network_address),
            "3b020700 0000 0100 20010db8010000000000000000000001",
        ),
        (
            UpdateNotification(
                sequence=9, notification_reason=NotificationReason.UPDATE_SESSION_PARAMETERS, acknowledge=True, alternate_care_of=MAG
            ),
            "3b031300 0000 0009 0002 8000 0100 0310 20010db8000000000000000000000011",
        ),
        (
            UpdateNotification(sequence=9, notification_reason=1, retransmit=True),
            "3b011300 0000 0009 0001 4000 01020000",
        ),
        (UpdateNotificationAcknowledgement(sequence=9, status=128), "3b011400 0000 0009 80 000000 01020000"),
        (
            ProxyBindingUpdate(sequence=1, lifetime=1, handoff_indicator=3, access_technology=4, link_layer_identifier=bytes(range(6))),
            "3b030500 0000 0001 c200 0001 17020003 18020004 19080000 000102030405 0100",
        ),
        (
            ProxyBindingUpdate(sequence=1, lifetime=1, authentication=Authentication(1, 0x100, b"\xaa" * 4)),
            "3b020500 0000 0001 c200 0001 00 0909 01 00000100 aaaaaaaa",
        ),
        (
            UpdateNotificationAcknowledgement(
                sequence=9, status=0, replay_protection=0xE93C6D0080000000, authentication=Authentication(1, 0x100, b"\xaa" * 12)
            ),
            "3b051400 0000 0009 00 000000 01040000 0000 0a08 e93c6d0080000000 00 0911 01 00000100" + "aa" * 12,
        ),
        (
            ProxyBindingAcknowledgement(status=Status.MISSING_MN_IDENTIFIER_OPTION, sequence=7, lifetime=0, mn_id=""),
            "3b010600 0000 a020 0007 0000 080101 00",
        ),
        (Heartbeat(sequence=0x01020304), "3b010d00 0000 0000 01020304 01020000"),
        (
            Heartbeat(sequence=0x01020304, response=True, restart_counter=5),
            "3b020d00 0000 0001 01020304 0100 1c04 00000005 01020000",
        ),
        (
            Heartbeat(sequence=0, response=True, unsolicited=True, restart_counter=6),
            "3b020d00 0000 0003 00000000 0100 1c04 00000006 01020000",
        ),
        (
            BindingRevocationIndication(
                sequence=0x0102, trigger=RevocationTrigger.INTER_MAG_HANDOVER_SAME_ACCESS_TYPE, mn_id="a@b", home_network_prefixes=(HNP,)
            ),
            "3b041000 0000 01 02 0102 8000 080401614062 0100 16120040 20010db8010000000000000000000000",
        ),
        (
            BindingRevocationIndication(
                sequence=1, trigger=RevocationTrigger.PER_PEER_POLICY, all_bindings=True, ipv4_only=True, alternate_care_of=MAG
            ),
            "3b031000 0000 01 80 0001 e000 0100 0310 20010db8000000000000000000000011",
        ),
        (
            BindingRevocationAcknowledgement(sequence=0x0102, status=RevocationStatus.BINDING_DOES_NOT_EXIST, proxy=False),
            "3b011000 0000 02 80 0102 0000 01020000",
        ),
        (
            LocalizedRoutingInitiation(
                sequence=3,
                lifetime=300,
                mn_id="a@b",
                home_network_prefixes=(HNP,),
                correspondent=MobileNode("c@d", (HOA,)),
                mag_address=MAG,
            ),
            "3b0b1100 0000 0003 0000 012c"
            "0804 01614062 0100 16120040 20010db8010000000000000000000000"
            "0804 01634064 0104 00000000 16120080 20010db8010000000000000000000001"
            "0102 0000 33120080 20010db8000000000000000000000011",
        ),
        (
            LocalizedRoutingAcknowledgment(
                sequence=3, lifetime=0, status=LocalizedRoutingStatus.MN_NOT_ATTACHED, unsolicited=True, mn_id="a@b"
            ),
            "3b021200 0000 0003 80 81 0000 080401614062 01040000 0000",
        ),
        (
            HandoverInitiate(sequence=9, code=HandoverInitiateCode.ALL_CONTEXT_TRANSFERRED, buffer=True, mn_id="a@b"),
            "3b010e00 0000 0009 60 03 080401614062",
        ),
        (
            HandoverInitiate(sequence=9, code=HandoverInitiateCode.FORWARDING_COMPLETED, forward=True, timestamp=1704067200 << 16),
            "3b020e00 0000 0009 30 02 1b08 0000659200800000 01020000",
        ),
        (
            HandoverAcknowledge(sequence=9, code=HandoverAcknowledgeCode.FORWARDING_NOT_AVAILABLE, buffer=True, forward=True, mn_id="a@b"),
            "3b010f00 0000 0009 e0 84 080401614062",
        ),
    ],
    ids=lambda value: kind(value) if not isinstance(value, str) else "",
)
def test_octets_written_by_hand_from_the_figures_of_the_rfcs(message: Message, octets: str) -> None:
    assert encode(message).hex() == octets.replace(" ", "")
    assert decode(bytes.fromhex(octets)) == message


def test_the_query_flag_is_where_the_setting_puts_it() -> None:
    pbq = ProxyBindingUpdate(sequence=1, lifetime=1, query=True)
    pqa = ProxyBindingAcknowledgement(status=0, sequence=1, lifetime=1, query=True)
    assert encode(pbq, QueryFlag.DRAFT)[8:10] == b"\xc3\x00"
    assert encode(pbq, QueryFlag.UNASSIGNED)[8:10] == b"\xc2\x08"
    assert encode(pqa, QueryFlag.DRAFT)[7] == 0x30
    assert encode(pqa, QueryFlag.UNASSIGNED)[7] == 0x21
    for query in (pbq, pqa):
        assert decode(encode(query, QueryFlag.DRAFT), QueryFlag.UNASSIGNED) == replace(query, query=False)
        assert decode(encode(query, QueryFlag.UNASSIGNED), QueryFlag.DRAFT) == replace(query, query=False)


def test_kinds() -> None:
    assert [
        kind(message)
        for message in (
            ProxyBindingUpdate(sequence=1, lifetime=1),
            ProxyBindingAcknowledgement(status=0, sequence=1, lifetime=1),
            ProxyBindingUpdate(sequence=1, lifetime=1, query=True),
            ProxyBindingAcknowledgement(status=0, sequence=1, lifetime=1, query=True),
            BindingError(status=1, home_address=MAG),
            UpdateNotification(sequence=1, notification_reason=1),
            UpdateNotificationAcknowledgement(sequence=1, status=0),
            Heartbeat(sequence=1),
            BindingRevocationIndication(sequence=1, trigger=0),
            BindingRevocationAcknowledgement(sequence=1, status=0),
            LocalizedRoutingInitiation(sequence=1, lifetime=0),
            LocalizedRoutingAcknowledgment(sequence=1, lifetime=0, status=0),
            HandoverInitiate(sequence=1, code=0),
            HandoverAcknowledge(sequence=1, code=0),
        )
    ] == ["PBU", "PBA", "PBQ", "PQA", "BE", "UPN", "UPA", "HB", "BRI", "BRA", "LRI", "LRA", "HI", "HACK"]


def test_lifetimes_are_in_the_units_of_their_rfcs() -> None:
    assert lifetime_of(ProxyBindingUpdate(sequence=1, lifetime=75)) == 300
    assert lifetime_of(ProxyBindingAcknowledgement(status=0, sequence=1, lifetime=75)) == 300
    assert lifetime_of(LocalizedRoutingInitiation(sequence=1, lifetime=300)) == 300
    assert lifetime_of(LocalizedRoutingAcknowledgment(sequence=1, lifetime=300, status=0)) == 300
    assert lifetime_of(Heartbeat(sequence=1)) is None


def pbu(options: str) -> bytes:
    body = bytes.fromhex("0001 c200 0001" + options)
    assert (len(body) + 6) % 8 == 0
    return bytes((59, (len(body) + 6) // 8 - 1, 5, 0, 0, 0)) + body


def test_unknown_options_are_skipped() -> None:
    assert decode(pbu("c8 03 010203 00 1702 0001 0000")) == ProxyBindingUpdate(sequence=1, lifetime=1, handoff_indicator=1)


UNALIGNED = "0806 01 6140622e63 1612 00 40 20010db8010000000000000000000000 1702 00 02 1802 00 00"
"""MN-ID a@b.c, a Home Network Prefix, a Handoff Indicator and access technology 0, one behind the other without padding between them."""


def test_a_peer_that_aligns_no_option_is_understood() -> None:
    """As OPMIP, another implementation, writes its messages; its LMA returns no Timestamp either."""
    said: dict[str, Any] = {"mn_id": "a@b.c", "home_network_prefixes": (HNP,), "handoff_indicator": 2, "access_technology": 0}
    assert decode(pbu(UNALIGNED)) == ProxyBindingUpdate(sequence=1, lifetime=1, **said)
    answer = bytes.fromhex("3b05 0600 0000 0020 0001 004b" + UNALIGNED)
    assert decode(answer) == ProxyBindingAcknowledgement(status=0, sequence=1, lifetime=75, **said)


def test_an_mn_id_that_is_no_nai_is_skipped() -> None:
    assert decode(pbu("0802 0241 0802 0142 0000 0000")) == ProxyBindingUpdate(sequence=1, lifetime=1, mn_id="B")


def test_options_of_other_messages_are_skipped() -> None:
    assert decode(pbu("0100 1c04 00000001 1702 0001")) == ProxyBindingUpdate(sequence=1, lifetime=1, handoff_indicator=1)


def lri(options: str) -> bytes:
    body = bytes.fromhex("0001 0000 0001" + options)
    assert (len(body) + 6) % 8 == 0
    return bytes((59, (len(body) + 6) // 8 - 1, 17, 0, 0, 0)) + body


def test_prefixes_of_a_localized_route_belong_to_the_mn_id_before_them() -> None:
    one, other = ("0802 0141", "0802 0142")
    prefix, next_prefix = (f"0100 0000 16120040 20010db801{n:02x}00000000000000000000" for n in range(2))
    first, second = (IPv6Network((f"2001:db8:1{n:02x}::", 64)) for n in range(2))
    route = LocalizedRoutingInitiation(sequence=1, lifetime=1, mn_id="A", home_network_prefixes=(first,))
    assert decode(lri(one + prefix + other + next_prefix + "01020000")) == replace(route, correspondent=MobileNode("B", (second,)))
    assert decode(lri(one + prefix + next_prefix)) == replace(route, home_network_prefixes=(first, second))
    assert decode(lri(one + prefix + other + "01020000")) == replace(route, correspondent=MobileNode("B"))
    assert decode(lri(one + other + next_prefix + "01020000")) == replace(
        route, home_network_prefixes=(), correspondent=MobileNode("B", (second,))
    )


@pytest.mark.parametrize("options", ["0802 0141 0802 0142 0802 0143", "0802 0141 0802 0242 0000 0000"], ids=["three", "no NAI"])
def test_a_localized_route_is_between_two_nodes(options: str) -> None:
    with pytest.raises(MessageError):
        decode(lri(options))


def test_what_rfc_6275_answers_is_told_apart_in_its_order() -> None:
    with pytest.raises(UnknownTypeError) as unknown:
        decode(bytes.fromhex("3a000000 00000000"))
    assert unknown.value.mh_type == 0
    with pytest.raises(PayloadProtocolError) as payload:
        decode(bytes.fromhex("3a000500 00000000"))
    assert payload.value.offset == 0
    with pytest.raises(HeaderLengthError) as length:
        decode(bytes.fromhex("3b000500 00000000"))
    assert length.value.offset == 1


def test_of_duplicates_the_first_counts() -> None:
    assert decode(pbu("1702 0001 1702 0002 0000 0000")) == ProxyBindingUpdate(sequence=1, lifetime=1, handoff_indicator=1)


def test_reserved_bits_and_unused_flags_are_ignored() -> None:
    header = bytearray(encode(ProxyBindingUpdate(sequence=1, lifetime=1, home_network_prefixes=(HNP,))))
    header[3], header[8], header[9], header[14] = 0xFF, 0xFE, 0xFF, 0xFF
    assert decode(bytes(header)) == ProxyBindingUpdate(sequence=1, lifetime=1, home_network_prefixes=(HNP,))


@pytest.mark.parametrize("option", ["1702 ff04", "1802 ff04", "1903 ffff 04 0105 0000000000", "1612 ff40 20010db8010000010000000000000000"])
def test_reserved_octets_of_options_are_ignored(option: str) -> None:
    assert decode(pbu(option)) == decode(pbu(option.replace("ff", "00")))


def test_bits_beyond_the_prefix_length_are_ignored() -> None:
    header = bytearray(encode(ProxyBindingUpdate(sequence=1, lifetime=1, home_network_prefixes=(HNP,))))
    header[31] = 1
    assert decode(bytes(header)).home_network_prefixes == (HNP,)


def test_octets_after_the_header_are_ignored() -> None:
    message = ProxyBindingUpdate(sequence=1, lifetime=1)
    assert decode(encode(message) + b"\xff\xff") == message


@pytest.mark.parametrize(
    "octets",
    [
        "",
        "3b010500 0000 00",
        "3b000500 0000 0001",
        "3b010700 0000 0100 20010db801000000",
        "3b020500 0000 0001 c200 0001 00000000",
        "3a010500 0000 0001 c200 0001 00000000",
        "3b010000 0000 0001 c200 0001 00000000",
        "3b01ff00 0000 0001 c200 0001 00000000",
        "3b010500 0000 0001 c000 0001 00000000",
        "3b010600 0000 0000 0001 0001 00000000",
        "3b010500 0000 0001 c200 0001 00000017",
        "3b010500 0000 0001 c200 0001 01030000",
        "3b010500 0000 0001 c200 0001 17010000",
        "3b010500 0000 0001 c200 0001 08000100",
        "3b010500 0000 0001 c200 0001 080201ff",
        "3b010500 0000 0001 c200 0001 19020000",
        "3b010500 0000 0001 c200 0001 09020100",
        "3b030500 0000 0001 c200 0001 16120081 20010db8010000000000000000000000",
        "3b020500 0000 0001 c200 0001 1702 0001 1801 00 00 0000 0000",
        "3b011000 0000 0000 0001 8000 01020000",
        "3b011000 0000 0300 0001 8000 01020000",
        "3b010e00 0000 0001 4000 010400000000",
        "3b010f00 0000 0001 a000 010400000000",
        "3b020d00 0000 0001 00000001 1c03 000001 00 0104 00000000",
        "3b031100 0000 0001 0000 0001 33120040 20010db8000000000000000000000011",
    ],
    ids=[
        "nothing",
        "seven octets",
        "no room for the fixed part",
        "no room for the home address",
        "longer than what is here",
        "payload protocol",
        "Binding Refresh Request",
        "type 255",
        "update without P",
        "acknowledgement without P",
        "no option length",
        "padding beyond the end",
        "handoff indicator of one octet",
        "MN-ID without subtype",
        "NAI not UTF-8",
        "empty link-layer identifier",
        "short authentication",
        "prefix length 129",
        "access technology of one octet",
        "Binding Revocation Type 0",
        "Binding Revocation Type 3",
        "handover initiate without P",
        "handover acknowledge without P",
        "restart counter of three octets",
        "MAG address of 64 bits",
    ],
)
def test_malformed_headers(octets: str) -> None:
    with pytest.raises(MessageError):
        decode(bytes.fromhex(octets))


def survives(data: bytes, query_flag: QueryFlag) -> None:
    """Any octets decode to a message that says itself again, or raise MessageError, nothing else."""
    try:
        message = decode(data, query_flag)
    except MessageError:
        return
    assert decode(encode(message, query_flag), query_flag) == message


@thorough
@given(st.binary(max_size=200), query_flags)
def test_any_octets(data: bytes, query_flag: QueryFlag) -> None:
    survives(data, query_flag)


@thorough
@given(
    st.sampled_from(MobilityHeaderType),
    st.binary(min_size=18, max_size=18),
    st.lists(st.tuples(st.sampled_from([1, 3, 8, 9, 10, 22, 23, 24, 25, 26, 27, 28, 51]) | octet, st.binary(max_size=20)), max_size=6),
    query_flags,
)
def test_any_options(mh_type: int, fixed: bytes, tlvs: list[tuple[int, bytes]], query_flag: QueryFlag) -> None:
    body = fixed + b"".join(bytes((option, len(data))) + data for option, data in tlvs)
    body += bytes(-(len(body) + 6) % 8)
    survives(bytes((59, (len(body) + 6) // 8 - 1, mh_type, 0, 0, 0)) + body, query_flag)


@thorough
@given(messages, st.lists(st.tuples(st.integers(0, 2047), octet), min_size=1, max_size=4), st.integers(0, 2048), query_flags)
def test_mutated_messages(message: Message, changes: list[tuple[int, int]], cut: int, query_flag: QueryFlag) -> None:
    data = bytearray(encode(message, query_flag))
    for at, value in changes:
        data[at % len(data)] = value
    survives(bytes(data), query_flag)
    survives(bytes(data[: cut % len(data)]), query_flag)


@pytest.mark.parametrize(
    "message",
    [
        ProxyBindingUpdate(sequence=0x10000, lifetime=1),
        ProxyBindingUpdate(sequence=-1, lifetime=1),
        ProxyBindingUpdate(sequence=1, lifetime=0x10000),
        ProxyBindingAcknowledgement(status=256, sequence=1, lifetime=1),
        BindingError(status=-1, home_address=MAG),
        UpdateNotification(sequence=1, notification_reason=0x10000),
        UpdateNotificationAcknowledgement(sequence=1, status=256),
        ProxyBindingUpdate(sequence=1, lifetime=1, mn_id="m" * 255),
        ProxyBindingUpdate(sequence=1, lifetime=1, mn_id="\ud800"),
        ProxyBindingUpdate(sequence=1, lifetime=1, handoff_indicator=256),
        ProxyBindingUpdate(sequence=1, lifetime=1, access_technology=-1),
        ProxyBindingUpdate(sequence=1, lifetime=1, link_layer_identifier=b""),
        ProxyBindingUpdate(sequence=1, lifetime=1, link_layer_identifier=bytes(254)),
        ProxyBindingUpdate(sequence=1, lifetime=1, timestamp=1 << 64),
        ProxyBindingUpdate(sequence=1, lifetime=1, authentication=Authentication(256, 1, b"")),
        ProxyBindingUpdate(sequence=1, lifetime=1, authentication=Authentication(1, 1 << 32, b"")),
        ProxyBindingUpdate(sequence=1, lifetime=1, authentication=Authentication(1, 1, bytes(251))),
        ProxyBindingUpdate(sequence=1, lifetime=1, home_network_prefixes=(HNP,) * 86),
        Heartbeat(sequence=1 << 32),
        Heartbeat(sequence=1, restart_counter=1 << 32),
        BindingRevocationIndication(sequence=1, trigger=256),
        BindingRevocationAcknowledgement(sequence=0x10000, status=0),
        LocalizedRoutingInitiation(sequence=1, lifetime=0x10000),
        LocalizedRoutingInitiation(sequence=1, lifetime=1, mn_id="A", correspondent=MobileNode("m" * 255)),
        LocalizedRoutingAcknowledgment(sequence=1, lifetime=1, status=-1),
        HandoverInitiate(sequence=1, code=256),
        HandoverAcknowledge(sequence=-1, code=0),
    ],
)
def test_values_that_no_message_can_carry(message: Message) -> None:
    with pytest.raises(MessageError):
        encode(message)


def test_the_longest_header() -> None:
    message = ProxyBindingUpdate(sequence=1, lifetime=1, home_network_prefixes=(HNP,) * 84)
    assert len(encode(message)) == 12 + 84 * 24 - 4
    assert decode(encode(message)) == message


def plain_checksum(data: bytes, source: IPv6Address, destination: IPv6Address) -> int:
    """RFC 1071 word by word, over the pseudo-header of RFC 8200, 8.1."""
    octets = source.packed + destination.packed + len(data).to_bytes(4, "big") + bytes((0, 0, 0, 135)) + data
    total = 0
    for at in range(0, len(octets), 2):
        total += int.from_bytes(octets[at : at + 2], "big")
        total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF - total


@thorough
@given(messages, addresses, addresses)
def test_checksum(message: Message, source: IPv6Address, destination: IPv6Address) -> None:
    header = encode(message)
    filled = with_checksum(header, source, destination)
    assert checksum(header, source, destination) == plain_checksum(header, source, destination)
    assert checksum(filled, source, destination) == checksum(header, source, destination)
    assert plain_checksum(filled, source, destination) == 0
    assert decode(filled) == decode(header)


def test_a_checksum_of_zero_stays_zero() -> None:
    message = ProxyBindingUpdate(sequence=0, lifetime=1)
    sequence = checksum(encode(message), MAG, LMA)
    header = encode(ProxyBindingUpdate(sequence=sequence, lifetime=1))
    assert checksum(header, MAG, LMA) == 0
    assert parse_ipv6_mobility(ipv6_packet(header, MAG, LMA)) == (MAG, LMA, header)


@thorough
@given(messages, addresses, addresses, octet)
def test_packets_are_parsed_again(message: Message, source: IPv6Address, destination: IPv6Address, hop_limit: int) -> None:
    packet = ipv6_packet(encode(message), source, destination, hop_limit)
    assert packet[7] == hop_limit
    found_source, found_destination, header = parse_ipv6_mobility(packet + b"link-layer padding")
    assert (found_source, found_destination, decode(header)) == (source, destination, message)


@thorough
@given(messages, st.integers(0, 1 << 20))
def test_a_flipped_bit_is_noticed(message: Message, at: int) -> None:
    packet = bytearray(ipv6_packet(encode(message), MAG, GROUP))
    bit = 64 + at % (8 * (len(packet) - 8))
    assume(bit // 8 != 41)  # the header's length: what it cuts off might add up to nothing
    packet[bit // 8] ^= 0x80 >> bit % 8
    with pytest.raises(MessageError):
        parse_ipv6_mobility(bytes(packet))


@thorough
@given(st.binary(max_size=100) | st.binary(max_size=100).map(lambda data: b"\x60\0\0\0\0\x20\x87\x40" + data))
def test_any_packet(packet: bytes) -> None:
    with suppress(MessageError):
        parse_ipv6_mobility(packet)


def test_packets_that_are_no_whole_mobility_packet() -> None:
    packet = ipv6_packet(encode(ProxyBindingUpdate(sequence=1, lifetime=1)), MAG, LMA)
    for broken in (
        packet[:39],
        packet[:-1],
        b"\x40" + packet[1:],
        packet[:6] + b"\x3a" + packet[7:],
        packet[:4] + b"\0\x07" + packet[6:],
    ):
        with pytest.raises(MessageError):
            parse_ipv6_mobility(broken)
    with pytest.raises(MessageError):
        ipv6_packet(bytes(8), MAG, LMA, hop_limit=256)
    with pytest.raises(MessageError):
        checksum(bytes(5), MAG, LMA)


def test_lifetimes() -> None:
    assert [lifetime_units(seconds) for seconds in (0, 0.001, 4, 4.5, 8, 300, 262140, 262141, float("inf"))] == [
        *(0, 1, 1, 2, 2, 75, 0xFFFF, 0xFFFF, 0xFFFF)
    ]
    assert lifetime_seconds(75) == 300
    for seconds in (-1, float("nan")):
        with pytest.raises(MessageError):
            lifetime_units(seconds)


def test_timestamps() -> None:
    assert timestamp_from_seconds(1704067200.5) == 1704067200 << 16 | 0x8000
    assert seconds_from_timestamp(1704067200 << 16 | 0x4000) == 1704067200.25
    assert timestamp_from_seconds((1 << 48) - 1) == ((1 << 48) - 1) << 16
    for seconds in (-1, 1 << 48, float("nan"), float("inf")):
        with pytest.raises(MessageError):
            timestamp_from_seconds(seconds)
