"""Who may signal: how messages become octets with and without the domain's key (RFC 4285), and which ones are refused.

With a key every message, of whatever type, ends in an MN-HA Mobility Message Authentication option (RFC 4285, 5.1) and carries
a Replay Protection option (section 6) before it. Where RFC 4285 speaks of the care-of address and the home address, this takes
the packet's source and destination, the inner ones where it is tunnelled: a proxy message is between two agents, its home
addresses are in options that the authenticator covers anyway, and so a message counts only from whom and to whom it was sent.

The Replay Protection option, not RFC 5213's Timestamp, says when a message was sent: a repeated Update Notification keeps its
Timestamp, which tells when the node moved, and an answer echoes that of its request. Every sending has a time of its own.
"""

from __future__ import annotations

import hmac
from dataclasses import replace
from ipaddress import IPv6Address

from agents.actions import IgnoreReason
from agents.config import QueryFlag, Settings
from agents.messages import Authentication, Message, ProxyBindingAcknowledgement, ProxyBindingUpdate, Status, encode
from agents.ordering import Recent

MN_HA = 1
"""Subtype of the option that two agents who share a key use (RFC 4285, 5.1)."""

_KEY_OCTETS = 16
_AUTHENTICATOR_OCTETS = 12
_OPTION_TYPE = 9
_OPTION_LENGTH = 5 + _AUTHENTICATOR_OCTETS
_TIME_OCTETS = 8
_REPLAY_PROTECTION = bytes((10, _TIME_OCTETS))
_PADDING = b"\1\2\0\0"
_SECONDS_FROM_1900_TO_1970 = 2208988800
_FRACTION = 1 << 32
_ERA = 1 << 64


class Unprotected:
    """Signalling without a key: messages are nothing but octets, and none is refused."""

    def __init__(self, query_flag: QueryFlag) -> None:
        self._query_flag = query_flag

    def octets(self, message: Message, source: IPv6Address, destination: IPv6Address, now: float) -> bytes:
        """The Mobility Header of a message that is sent ``now`` (s since 1970); MessageError as ``encode``."""
        return encode(message, self._query_flag)

    def refusal(
        self, message: Message | None, data: bytes, source: IPv6Address, destination: IPv6Address, now: float
    ) -> IgnoreReason | None:
        """Why ``message``, decoded of ``data``, is not to be taken in, or, where it could not be decoded (None), not to be answered;
        None where nothing is wrong with it."""
        return None


class Protected(Unprotected):
    """Signalling with a key that all agents of the domain share: HMAC_SHA1 and a window of time (RFC 4285, 5.1 and 6).

    A message is refused that is not authenticated, whose time is more than ``window`` s from this agent's, or that was taken in
    before. Unlike RFC 4285 it need not be later than all before it: packets of two exchanges may overtake each other.

    One answer is taken in whatever its time: that clocks differ, to a PBU. Beside its sender's seconds, which may not be less than in
    the last message of that sender, it repeats the low 32 bits of the PBU's time; so it was made after that PBU, and it counts once.
    """

    def __init__(self, query_flag: QueryFlag, spi: int, key: bytes, window: float) -> None:
        super().__init__(query_flag)
        self._spi = spi
        self._key = key
        self._window = window
        self._option = bytes((_OPTION_TYPE, _OPTION_LENGTH, MN_HA)) + spi.to_bytes(4, "big")
        self._sent = 0
        self._taken: Recent[bytes] = Recent(2 * window)
        self._asked: Recent[tuple[IPv6Address, int]] = Recent(2 * window)
        self._last: dict[IPv6Address, int] = {}

    def octets(self, message: Message, source: IPv6Address, destination: IPv6Address, now: float) -> bytes:
        self._sent = at = max(_ntp(now), self._sent + 1)
        if isinstance(message, ProxyBindingUpdate) and not message.query:
            self._asked.note((destination, at % _FRACTION), now)
        elif _says_that_clocks_differ(message) and message.replay_protection is not None:
            at = at - at % _FRACTION + message.replay_protection % _FRACTION
        unsigned = Authentication(MN_HA, self._spi, bytes(_AUTHENTICATOR_OCTETS))
        data = super().octets(replace(message, replay_protection=at, authentication=unsigned), source, destination, now)
        begins = self._authenticator_at(data)
        assert begins is not None, "the authenticator is the last option"
        return data[:begins] + self._authenticator(data[:begins], source, destination) + data[begins + _AUTHENTICATOR_OCTETS :]

    def refusal(
        self, message: Message | None, data: bytes, source: IPv6Address, destination: IPv6Address, now: float
    ) -> IgnoreReason | None:
        data = data[: 8 * (data[1] + 1)] if len(data) > 1 else b""
        at = self._authenticator_at(data)
        if at is None:
            return IgnoreReason.NOT_AUTHENTICATED
        said = data[at : at + _AUTHENTICATOR_OCTETS]
        if not hmac.compare_digest(said, self._authenticator(data[:at], source, destination)):
            return IgnoreReason.NOT_AUTHENTICATED
        sent = self._sent_at(data[: at - len(self._option)]) if message is None else message.replay_protection
        if sent is None:
            return IgnoreReason.UNTIMELY
        if message is not None and _says_that_clocks_differ(message):
            return self._not_asked(source, sent, now)
        if abs(_seconds_apart(sent, _ntp(now))) > self._window:
            return IgnoreReason.UNTIMELY
        if self._taken.knows(said, now):
            return IgnoreReason.REPLAYED
        self._taken.note(said, now)
        self._last[source] = sent
        return None

    def _not_asked(self, source: IPv6Address, sent: int, now: float) -> IgnoreReason | None:
        about, last = (source, sent % _FRACTION), self._last.get(source, sent)
        if not self._asked.knows(about, now) or _seconds_apart(sent - sent % _FRACTION, last - last % _FRACTION) < 0:
            return IgnoreReason.UNMATCHED
        self._asked.forget(about)
        self._last[source] = sent
        return None

    @staticmethod
    def _sent_at(data: bytes) -> int | None:
        """What a Replay Protection option says that ends, with the octet of padding that aligns what follows, at the end of ``data``."""
        option = data[-len(_REPLAY_PROTECTION) - _TIME_OCTETS - 1 : -1]
        if not option.startswith(_REPLAY_PROTECTION) or data[-1]:
            return None
        return int.from_bytes(option[len(_REPLAY_PROTECTION) :], "big")

    def _authenticator_at(self, data: bytes) -> int | None:
        """Where a header's authenticator begins: in its last option, after which there is nothing but padding."""
        for padding in (b"", _PADDING):
            at = len(data) - len(padding) - _AUTHENTICATOR_OCTETS
            if data.endswith(padding) and data[at - len(self._option) : at] == self._option:
                return at
        return None

    def _authenticator(self, data: bytes, source: IPv6Address, destination: IPv6Address) -> bytes:
        """First (96, HMAC_SHA1 (key, addresses | header up to and including the SPI, checksum zero)) (RFC 4285, 5.1)."""
        mobility_data = source.packed + destination.packed + data[:4] + b"\0\0" + data[6:]
        return hmac.digest(self._key, mobility_data, "sha1")[:_AUTHENTICATOR_OCTETS]


def protection(settings: Settings) -> Unprotected:
    """What the settings ask for; ValueError where their key is none."""
    if not settings.authentication_key:
        return Unprotected(settings.query_flag)
    key = key_octets(settings.authentication_key)
    return Protected(settings.query_flag, settings.authentication_spi, key, settings.authentication_window)


def key_octets(text: str) -> bytes:
    """The key that 32 hexadecimal digits are (RFC 4285, 5.1: 16 octets); ValueError where they are not."""
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != _KEY_OCTETS:
        raise ValueError("a key is 32 hexadecimal digits (16 octets)")
    return key


def _says_that_clocks_differ(message: Message) -> bool:
    """Whether this is the answer to a PBU sent by a wrong clock, for which its sender's time is as wrong (RFC 4285, 6)."""
    return isinstance(message, ProxyBindingAcknowledgement) and not message.query and message.status == Status.MIPV6_ID_MISMATCH


def _ntp(seconds: float) -> int:
    """A time, in s since 1970, in NTP's 32.32 bits since 1900."""
    return int((seconds + _SECONDS_FROM_1900_TO_1970) * _FRACTION) % _ERA


def _seconds_apart(one: int, other: int) -> float:
    """Between two times of NTP, also where an era of 2^32 s ends between them."""
    return ((one - other + _ERA // 2) % _ERA - _ERA // 2) / _FRACTION
