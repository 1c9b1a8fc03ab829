"""Messages with the domain's key: what they are made of, and that nothing else is taken in."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from hashlib import sha1
from ipaddress import IPv6Address, IPv6Network
from typing import ClassVar

import pytest
from cases import MOBILE
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_network import EPOCH, GROUP, LMA, MemoryNetwork, config, mag_address, mn_id_of, prefix_of
from mobility_messages import addresses, messages, options, query_flags
from test_protocol_together import attached

from agents.actions import Ignore, IgnoreReason, Send
from agents.authentication import Protected, Unprotected, key_octets, protection
from agents.config import QueryFlag, Settings
from agents.lma import Lma
from agents.mag import Mag
from agents.messages import (
    Authentication,
    BindingError,
    Message,
    ProxyBindingAcknowledgement,
    ProxyBindingUpdate,
    Status,
    UpdateNotification,
    UpdateNotificationAcknowledgement,
    decode,
    encode,
    kind,
    seconds_from_timestamp,
    timestamp_from_seconds,
)

KEY = bytes(range(16))
SETTINGS = Settings(authentication_key=KEY.hex())
MAG, OTHER = mag_address(1), mag_address(2)
PBU = ProxyBindingUpdate(sequence=7, lifetime=75, mn_id=mn_id_of(1), home_network_prefixes=(prefix_of(1),))


def guard(key: bytes = KEY, spi: int = 256, window: float = 7.0, query_flag: QueryFlag = QueryFlag.DRAFT) -> Protected:
    return Protected(query_flag, spi, key, window)


def judged(data: bytes, source: IPv6Address = MAG, destination: IPv6Address = LMA, now: float = EPOCH) -> IgnoreReason | None:
    return guard().refusal(decode(data), data, source, destination, now)


def hmac_sha1(key: bytes, data: bytes) -> bytes:
    """RFC 2104, 2, for keys shorter than a block."""
    inner, outer = (bytes(octet ^ pad for octet in key.ljust(64, b"\0")) for pad in (0x36, 0x5C))
    return sha1(outer + sha1(inner + data).digest()).digest()


def test_the_octets_are_those_of_rfc_4285() -> None:
    data = guard().octets(PBU, MAG, LMA, EPOCH)
    message = decode(data)
    assert message == replace(PBU, replay_protection=message.replay_protection, authentication=message.authentication)
    assert message.replay_protection == int((datetime(2024, 1, 1) - datetime(1900, 1, 1)).total_seconds()) << 32
    assert data[-19:-12].hex() == "0911" + "01" + "00000100"
    assert data[-12:] == hmac_sha1(KEY, MAG.packed + LMA.packed + data[:-12])[:12]
    assert data[:-19] == encode(replace(message, authentication=Authentication(1, 256, bytes(12))))[:-19]


@settings(deadline=None)
@given(messages, addresses, addresses, query_flags)
def test_what_one_agent_sends_another_takes_in(
    message: Message, source: IPv6Address, destination: IPv6Address, query_flag: QueryFlag
) -> None:
    message = replace(message, mn_id="a@b", link_layer_identifier=b"\2", home_network_prefixes=())
    data = guard(query_flag=query_flag).octets(message, source, destination, EPOCH)
    found = decode(data, query_flag)
    assert guard().refusal(found, data, source, destination, EPOCH + 0.025) is None
    assert replace(found, replay_protection=None, authentication=None) == replace(message, replay_protection=None, authentication=None)


@settings(deadline=None)
@given(st.integers(0, 10000), st.integers(1, 255))
def test_no_octet_can_be_changed_but_the_checksum(at: int, change: int) -> None:
    data = bytearray(guard().octets(PBU, MAG, LMA, EPOCH))
    at %= len(data)
    data[at] ^= change
    message = decode(guard().octets(PBU, MAG, LMA, EPOCH))
    if at == 1 and 8 * (data[1] + 1) > len(data):
        data += bytes(8 * (data[1] + 1) - len(data))
    refusal = guard().refusal(message, bytes(data), MAG, LMA, EPOCH)
    assert (refusal is None) == (at in (4, 5))


def test_nothing_is_put_behind_the_authenticator() -> None:
    data = guard().octets(PBU, MAG, LMA, EPOCH)
    longer = bytes((data[0], data[1] + 1)) + data[2:] + bytes.fromhex("17020002 01020000")
    assert decode(longer).handoff_indicator == 2
    assert judged(longer) is IgnoreReason.NOT_AUTHENTICATED
    padded = encode(
        replace(PBU, mn_id=None, home_network_prefixes=(), handoff_indicator=1, authentication=Authentication(1, 256, bytes(12)))
    )
    head, rest = padded[:-16], padded[-16:]
    assert rest == bytes(12) + b"\1\2\0\0"
    authenticator = hmac_sha1(KEY, MAG.packed + LMA.packed + head)[:12]
    assert judged(head + authenticator + rest[12:]) is IgnoreReason.UNTIMELY
    technology = bytes.fromhex("18020004")
    assert decode(head + authenticator + technology).access_technology == 4
    assert judged(head + authenticator + technology) is IgnoreReason.NOT_AUTHENTICATED


@pytest.mark.parametrize(
    ("sender", "source", "destination"),
    [
        (guard(key=bytes(16)), MAG, LMA),
        (guard(spi=257), MAG, LMA),
        (guard(), OTHER, LMA),
        (guard(), MAG, OTHER),
        (guard(), LMA, MAG),
        (Unprotected(QueryFlag.DRAFT), MAG, LMA),
    ],
    ids=["another key", "another SPI", "another source", "another destination", "reflected", "no key"],
)
def test_what_is_not_from_there_to_here_is_refused(sender: Unprotected, source: IPv6Address, destination: IPv6Address) -> None:
    data = sender.octets(PBU, MAG, LMA, EPOCH)
    assert judged(data, source, destination) is IgnoreReason.NOT_AUTHENTICATED


def test_each_sending_counts_once_in_whatever_order() -> None:
    sender, receiver = guard(), guard()
    sendings = [sender.octets(PBU, MAG, LMA, EPOCH) for _ in range(3)]
    assert len(set(sendings)) == 3
    for data in reversed(sendings):
        assert receiver.refusal(decode(data), data, MAG, LMA, EPOCH + 1) is None
    for data in sendings:
        assert receiver.refusal(decode(data), data, MAG, LMA, EPOCH + 2) is IgnoreReason.REPLAYED


@settings(deadline=None)
@given(st.floats(-20, 20), st.lists(st.floats(0, 30), max_size=20))
def test_no_sending_is_ever_taken_in_twice(ahead: float, delays: list[float]) -> None:
    data = guard().octets(PBU, MAG, LMA, EPOCH + ahead)
    receiver = guard()
    taken = [now for now in sorted(delays) if receiver.refusal(decode(data), data, MAG, LMA, EPOCH + now) is None]
    assert len(taken) <= 1
    assert bool(taken) == any(abs(now - ahead) <= 7 for now in delays)


@pytest.mark.parametrize("off", [-3600.0, -7.1, 7.1, 3600.0])
def test_another_time_is_refused(off: float) -> None:
    data = guard().octets(PBU, MAG, LMA, EPOCH + off)
    assert judged(data) is IgnoreReason.UNTIMELY


def test_the_era_of_ntp_may_end() -> None:
    end = 2.0**32 - 2208988800
    data = guard().octets(PBU, MAG, LMA, end - 1)
    assert judged(data, now=end + 1) is None
    assert judged(data, now=end + 10) is IgnoreReason.UNTIMELY


def test_a_mag_whose_clock_is_an_hour_off_is_told_so() -> None:
    lma, wire = Lma(config("pmip", number=None, settings=SETTINGS), EPOCH), guard()
    ahead = EPOCH + 3600
    mag, mag_wire = Mag(config("pmip", settings=SETTINGS), ahead), guard()
    (request,) = (action for action in mag.attached("mn1-air", mn_id_of(1), b"\2\0\0\0\0\1", ahead) if isinstance(action, Send))
    data = mag_wire.octets(request.message, MAG, LMA, ahead)
    refusal = wire.refusal(decode(data), data, MAG, LMA, EPOCH)
    assert refusal is IgnoreReason.UNTIMELY
    ignored, answer = lma.refused(refusal, decode(data), MAG, EPOCH)
    assert ignored == Ignore(IgnoreReason.UNTIMELY, MAG)
    assert lma.bindings == ()
    assert isinstance(answer, Send)
    told = wire.octets(answer.message, LMA, MAG, EPOCH)
    message = decode(told)
    assert isinstance(message, ProxyBindingAcknowledgement)
    assert message.status == Status.MIPV6_ID_MISMATCH
    assert seconds_from_timestamp(message.timestamp or 0) == EPOCH
    assert mag_wire.refusal(message, told, LMA, MAG, ahead) is None
    assert mag.receive(message, LMA, ahead) == []
    assert mag_wire.refusal(message, told[:-1] + bytes((told[-1] ^ 1,)), LMA, MAG, ahead) is IgnoreReason.NOT_AUTHENTICATED


class TestRefusalsForAWrongTime:
    """RFC 4285, 6: the answer to a PBU of a wrong clock is taken in whatever its time, but it answers one PBU, once."""

    LATER = 2 * 86400

    def refused(self, mag: Protected, lma: Protected, now: float, ahead: float = 3600) -> bytes:
        """A PBU of a MAG whose clock is wrong, and what the LMA says to it."""
        data = mag.octets(PBU, MAG, LMA, now + ahead)
        anchor = Lma(config("pmip", number=None, settings=SETTINGS), EPOCH)
        _, answer = anchor.refused(IgnoreReason.UNTIMELY, decode(data), MAG, now)
        assert isinstance(answer, Send)
        return lma.octets(answer.message, LMA, MAG, now)

    def taken(self, mag: Protected, data: bytes, now: float) -> IgnoreReason | None:
        return mag.refusal(decode(data), data, LMA, MAG, now)

    @pytest.mark.parametrize("ahead", [3600.0, -3600.0, 0.25])
    def test_it_is_taken_in_once(self, ahead: float) -> None:
        mag, lma = guard(), guard()
        told = self.refused(mag, lma, EPOCH, ahead)
        assert [self.taken(mag, told, EPOCH + ahead) for _ in range(2)] == [None, IgnoreReason.UNMATCHED]

    def test_one_that_was_heard_before_is_none_though_its_number_is_that_of_an_open_pbu(self) -> None:
        mag, lma = guard(), guard()
        heard = self.refused(mag, lma, EPOCH)
        assert self.taken(mag, heard, EPOCH + 3600) is None
        again = self.refused(mag, lma, EPOCH + self.LATER + 0.3)
        assert self.taken(mag, heard, EPOCH + self.LATER + 3601) is IgnoreReason.UNMATCHED
        assert self.taken(mag, again, EPOCH + self.LATER + 3601) is None

    def test_one_that_is_older_than_what_its_sender_said_since_is_none_whatever_it_repeats(self) -> None:
        mag, lma = guard(), guard()
        heard = self.refused(mag, lma, EPOCH)
        since = lma.octets(PBU, LMA, MAG, EPOCH + self.LATER)
        assert mag.refusal(decode(since), since, LMA, MAG, EPOCH + self.LATER) is None
        again = self.refused(mag, lma, EPOCH + self.LATER)
        assert self.taken(mag, heard, EPOCH + self.LATER + 3600) is IgnoreReason.UNMATCHED
        assert self.taken(mag, again, EPOCH + self.LATER + 3600) is None

    def test_one_that_an_agent_did_not_hear_is_none_to_it_either(self) -> None:
        heard = self.refused(guard(), guard(), EPOCH)
        mag = guard()
        mag.octets(PBU, MAG, LMA, EPOCH + self.LATER + 0.25)
        assert self.taken(mag, heard, EPOCH + self.LATER + 0.25) is IgnoreReason.UNMATCHED

    def test_one_from_elsewhere_is_none(self) -> None:
        mag = guard()
        told = self.refused(mag, guard(), EPOCH)
        message = decode(told)
        from_another = guard().octets(message, OTHER, MAG, EPOCH)
        assert mag.refusal(decode(from_another), from_another, OTHER, MAG, EPOCH + 3600) is IgnoreReason.UNMATCHED

    def test_its_time_is_the_anchors_in_whole_seconds_and_the_rest_that_of_the_pbu(self) -> None:
        mag, lma = guard(), guard()
        told = decode(self.refused(mag, lma, EPOCH + 0.75, 3600.25))
        assert told.replay_protection is not None
        assert told.replay_protection >> 32 == EPOCH + 2208988800
        assert told.replay_protection & 0xFFFFFFFF == 0


class TestRefusalsForWantOfAuthentication:
    """RFC 4285, 5.3: the LMA says so, without a signature, and nobody does anything on it."""

    NO: ClassVar = Ignore(IgnoreReason.NOT_AUTHENTICATED, MAG)

    def test_a_mag_is_told_at_most_once_a_second(self) -> None:
        lma = Lma(config("pmip", number=None, settings=SETTINGS), EPOCH)
        told = [lma.refused(IgnoreReason.NOT_AUTHENTICATED, PBU, MAG, EPOCH + when) for when in (0.0, 0.9, 1.0)]
        failed = Send(ProxyBindingAcknowledgement(status=146, sequence=PBU.sequence, lifetime=0), MAG, unsigned=True)
        assert told == [[self.NO, failed], [self.NO], [self.NO, failed]]

    @given(st.builds(ProxyBindingUpdate, sequence=st.integers(0, 0xFFFF), lifetime=st.integers(0, 0xFFFF), **options))
    def test_it_is_never_longer_than_what_it_answers(self, request: ProxyBindingUpdate) -> None:
        _, answer = Lma(config("pmip", number=None, settings=SETTINGS), EPOCH).refused(IgnoreReason.NOT_AUTHENTICATED, request, MAG, EPOCH)
        assert isinstance(answer, Send)
        assert len(encode(answer.message)) <= len(encode(request))

    def test_strangers_queries_and_messages_to_mags_are_not_answered(self) -> None:
        reason = IgnoreReason.NOT_AUTHENTICATED
        lma, mag = Lma(config("s-pmip", number=None, settings=SETTINGS), EPOCH), Mag(config("s-pmip", settings=SETTINGS), EPOCH)
        stranger = IPv6Address("2001:db8::99")
        assert lma.refused(reason, PBU, stranger, EPOCH) == [Ignore(reason, stranger)]
        assert lma.refused(reason, replace(PBU, query=True), MAG, EPOCH) == [self.NO]
        assert mag.refused(reason, PBU, OTHER, EPOCH) == [Ignore(reason, OTHER)]

    def test_it_ends_nothing(self) -> None:
        network = attached("pmip", settings=SETTINGS)
        failed = encode(ProxyBindingAcknowledgement(status=146, sequence=0, lifetime=0, mn_id=mn_id_of(1)))
        network.receive(MAG, failed, LMA, MAG)
        assert network.ignored[-1] == Ignore(IgnoreReason.NOT_AUTHENTICATED, LMA)
        assert prefix_of(1) in network.nodes[MAG].access

    def test_a_pbu_without_replay_protection_is_told_that_it_lacks_that(self) -> None:
        lma = Lma(config("pmip", number=None, settings=SETTINGS), EPOCH)
        _, answer = lma.refused(IgnoreReason.UNTIMELY, PBU, MAG, EPOCH)
        assert isinstance(answer, Send)
        assert isinstance(answer.message, ProxyBindingAcknowledgement)
        assert answer.message.status == Status.MIPV6_MESG_ID_REQD


@pytest.mark.parametrize("reason", [IgnoreReason.REPLAYED])
def test_nobody_else_is_answered(reason: IgnoreReason) -> None:
    lma, mag = Lma(config("s-pmip", number=None), EPOCH), Mag(config("s-pmip"), EPOCH)
    assert lma.refused(reason, PBU, MAG, EPOCH) == [Ignore(reason, MAG)]
    assert lma.refused(IgnoreReason.UNTIMELY, replace(PBU, query=True), MAG, EPOCH) == [Ignore(IgnoreReason.UNTIMELY, MAG)]
    assert mag.refused(IgnoreReason.UNTIMELY, PBU, OTHER, EPOCH) == [Ignore(IgnoreReason.UNTIMELY, OTHER)]


def handover(scheme: str, policy: str, settings: Settings) -> MemoryNetwork:
    network = attached(scheme, policy, settings=settings)
    network.flow(1, 2, 1.0, 3.0)
    network.at(2.0, lambda: network.move(2, 3))
    network.run(6.0)
    return network


@pytest.mark.parametrize(("scheme", "policy"), MOBILE)
def test_with_a_key_everything_goes_as_without(scheme: str, policy: str) -> None:
    plain, keyed = (handover(scheme, policy, settings) for settings in (Settings(), SETTINGS))
    assert keyed.signals == plain.signals
    assert keyed.delivered == plain.delivered
    assert keyed.ignored == plain.ignored
    assert all(data[-19:-12].hex() == "09110100000100" for _, _, data in keyed.sendings)
    assert {kind(decode(data)) for _, _, data in keyed.sendings} == {kind(decode(data)) for _, _, data in plain.sendings}


@pytest.mark.parametrize(("scheme", "policy"), MOBILE)
def test_nothing_that_was_sent_works_again(scheme: str, policy: str) -> None:
    network = handover(scheme, policy, SETTINGS)
    state = [(dict(node.routes), dict(node.access)) for node in network.nodes.values()]
    sent, ignored = len(network.sendings), len(network.ignored)
    for source, destination, data in tuple(network.sendings):
        for receiver in [address for address in network.nodes if address not in (source, LMA)] if destination == GROUP else [destination]:
            network.receive(receiver, data, source, destination)
    reasons = {ignore.reason for ignore in network.ignored[ignored:]}
    assert reasons == {IgnoreReason.REPLAYED}
    assert len(network.sendings) == sent
    assert [(dict(node.routes), dict(node.access)) for node in network.nodes.values()] == state


FORGED: tuple[Message, ...] = (
    ProxyBindingUpdate(
        sequence=1,
        lifetime=0,
        mn_id=mn_id_of(2),
        home_network_prefixes=(prefix_of(2),),
        handoff_indicator=4,
        access_technology=4,
        timestamp=timestamp_from_seconds(EPOCH + 6),
    ),
    ProxyBindingUpdate(sequence=1, lifetime=2, query=True, home_network_prefixes=(IPv6Network(prefix_of(2)[2]),)),
    ProxyBindingAcknowledgement(
        status=0, sequence=1, lifetime=2, query=True, home_network_prefixes=(prefix_of(2),), alternate_care_of=OTHER
    ),
    BindingError(status=1, home_address=prefix_of(2)[2]),
    UpdateNotification(
        sequence=1,
        notification_reason=2,
        acknowledge=True,
        home_network_prefixes=(prefix_of(2),),
        alternate_care_of=OTHER,
        timestamp=timestamp_from_seconds(EPOCH + 6),
    ),
    UpdateNotificationAcknowledgement(sequence=1, status=0),
)


@pytest.mark.parametrize(("scheme", "policy"), MOBILE)
@pytest.mark.parametrize("forged", FORGED, ids=kind)
def test_what_has_no_authenticator_reaches_no_agent(scheme: str, policy: str, forged: Message) -> None:
    network = handover(scheme, policy, SETTINGS)
    sent, ignored = len(network.sendings), len(network.ignored)
    for address in network.nodes:
        network.receive(address, encode(forged), OTHER, address)
    assert [ignore.reason for ignore in network.ignored[ignored:]] == [IgnoreReason.NOT_AUTHENTICATED] * len(network.nodes)
    told = [decode(octets) for _, _, octets in network.sendings[sent:]]
    failure = ProxyBindingAcknowledgement(status=Status.MIPV6_AUTH_FAIL, sequence=getattr(forged, "sequence", 0), lifetime=0)
    assert told in ([], [failure] * (kind(forged) == "PBU"))


def test_the_settings_decide() -> None:
    assert type(protection(Settings())) is Unprotected
    assert type(protection(SETTINGS)) is Protected
    assert key_octets(KEY.hex()) == KEY


@pytest.mark.parametrize("text", ["1", "00" * 15, "00" * 17, "zz" * 16])
def test_a_key_is_sixteen_octets(text: str) -> None:
    with pytest.raises(ValueError, match="32 hexadecimal digits"):
        protection(Settings(authentication_key=text))
