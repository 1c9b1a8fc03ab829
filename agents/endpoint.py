"""The octet edge of an agent: what comes in as octets reaches its role as messages, and what its role says leaves as octets.

Whoever carries an agent's packets (the daemon on Linux, a network in memory, a simulator, a fuzzer) uses an endpoint and nothing below it,
so that decoding, header errors (RFC 6275, 9.2), authentication (RFC 4285) and the limits on what strangers may ask are the same everywhere.
An endpoint is as pure as its role: it has neither sockets nor a clock, and time, in s since 1970, is passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Any, Generic, Protocol, TypeVar

from agents.actions import (
    Action,
    Effect,
    Failure,
    Ignore,
    IgnoreReason,
    ParameterProblem,
    Report,
    Send,
    TimeExceeded,
    Transmit,
    Unreachable,
    Withhold,
)
from agents.authentication import Unprotected, protection
from agents.config import AgentConfig, is_gateway
from agents.header_errors import ERROR_RATE, HeaderErrors
from agents.lma import Lma
from agents.mag import Mag
from agents.messages import AccessTechnologyType, HandoffIndicator, Message, MessageError, decode
from agents.ordering import TokenBuckets
from agents.router_advertisement import (
    decode_solicitation,
    encode_parameter_problem,
    encode_time_exceeded,
    encode_unreachable,
    may_report,
)

SOLICITATIONS_RATE = 5.0
"""Router Solicitations a second that are answered on one access link; a host sends three, 4 s apart (RFC 4861, 10)."""

_SOURCE, _DESTINATION = 8, 24
"""Where an IPv6 header has its addresses, in octets."""

_ERRORS: Mapping[type[Failure], tuple[str, Callable[[Any], bytes]]] = {
    Unreachable: ("unreachable", lambda failure: encode_unreachable(failure.packet)),
    TimeExceeded: ("time exceeded", lambda failure: encode_time_exceeded(failure.packet)),
    ParameterProblem: ("parameter problem", lambda failure: encode_parameter_problem(failure.packet, failure.pointer)),
}
"""What the source of a packet is told: what it is called, and its octets."""


class Role(Protocol):
    """What an agent does, whichever it is: it is told of messages and of time, and returns what is to be done, in order."""

    @property
    def next_timeout(self) -> float | None:
        """When ``timeout`` is to be called, or None where nothing waits."""

    def receive(self, message: Message, source: IPv6Address, now: float, link: str | None = None) -> list[Action]:
        """Take in a message from ``source``; ``link`` names the access link that it came from, if it did."""

    def malformed(self, source: IPv6Address, now: float) -> list[Action]:
        """Octets came from ``source`` that are no message."""

    def refused(self, reason: IgnoreReason, message: Message, source: IPv6Address, now: float) -> list[Action]:
        """A message came from ``source`` that is not to be trusted."""

    def timeout(self, now: float) -> list[Action]:
        """Do what is due."""

    def stop(self, now: float) -> list[Action]:
        """Withdraw everything."""


class GatewayRole(Role, Protocol):
    """What a MAG does beside that: it has access links, and packets that found no route reach it."""

    def attached(
        self,
        link: str,
        mn_id: str,
        link_layer: bytes,
        now: float,
        handoff: HandoffIndicator = HandoffIndicator.UNKNOWN,
        access_technology: int = AccessTechnologyType.WIRELESS_LAN,
        timestamp: int | None = None,
    ) -> list[Action]:
        """A mobile node has appeared on an access link."""

    def leaving(self, link: str, to: IPv6Address, now: float) -> list[Action]:
        """The node on an access link is about to leave for the MAG ``to``."""

    def detached(self, link: str, now: float) -> list[Action]:
        """The node on an access link has gone."""

    def solicited(self, link: str, now: float, source: IPv6Address | None = None) -> list[Action]:
        """A Router Solicitation came from ``source``."""

    def path_changed(self, now: float) -> list[Action]:
        """The path to the LMA has another MTU."""

    def packet_for(self, hoa: IPv6Address, packet: bytes, now: float) -> list[Action]:
        """A packet for the home address ``hoa`` found no route."""

    def tunnelled(self, packet: bytes, source: IPv6Address, now: float, multicast: bool = False) -> list[Action]:
        """A packet for a node that is not here came through a tunnel from ``source``."""


class AnchorRole(Role, Protocol):
    """What an LMA does beside that."""

    def forwarded(self, source: IPv6Address, destination: IPv6Address, mag: IPv6Address, now: float) -> list[Action]:
        """A packet between two home addresses is forwarded, which ``mag`` tunnelled here."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A Mobility Header that came in, as far as it could be read.

    Attributes:
        said: the message, or why the octets are none.
        octets: what came behind the IPv6 header.
        source, destination: the addresses of that header, of the inner one where the packet was tunnelled.
        link: the access link that it came from; None where it came from the core or out of a tunnel.
    """

    said: Message | MessageError
    octets: bytes
    source: IPv6Address
    destination: IPv6Address
    link: str | None = None


R = TypeVar("R", bound=Role)


class Endpoint(Generic[R]):
    """An agent behind its octets. Its methods return what is to be done, in order: what its role asks for, with octets in place of messages
    and of ICMPv6 errors. Of these there are no more than RFC 4443, 2.4, allows."""

    def __init__(self, config: AgentConfig, role: R) -> None:
        """ValueError where the settings have a key that is none."""
        self._address = config.address
        self._query_flag = config.settings.query_flag
        self._protection = protection(config.settings)
        self._unprotected = Unprotected(config.settings.query_flag)
        self._header_errors = HeaderErrors()
        self._errors: TokenBuckets[None] = TokenBuckets(ERROR_RATE)
        self._withheld = 0
        self.role = role

    @property
    def next_timeout(self) -> float | None:
        """When ``timeout`` is to be called, in s since 1970, or None where nothing waits."""
        return self.role.next_timeout

    def read(self, octets: bytes, source: IPv6Address, destination: IPv6Address, link: str | None = None) -> Heard:
        """Read the Mobility Header ``octets``; nothing is done about it before ``receive``."""
        said: Message | MessageError
        try:
            said = decode(octets, self._query_flag)
        except MessageError as error:
            said = error
        return Heard(said, octets, source, destination, link)

    def receive(self, heard: Heard, now: float) -> list[Effect]:
        """Take in what was read, if it is a message, authenticated where the domain has a key, and not from an access link."""
        if isinstance(heard.said, MessageError):
            return self.encode(self._malformed(heard.said, heard, now), now)
        return self.encode(self._taken_in(heard.said, heard, now), now)

    def timeout(self, now: float, due: float = 0.0) -> list[Effect]:
        """Do what is due at ``due``, or at ``now`` where that is later: a timer may end a little early."""
        return self.encode(self.role.timeout(max(now, due)), now)

    def stop(self, now: float) -> list[Effect]:
        """Withdraw everything, and tell how many errors were withheld last."""
        return [*self.encode(self.role.stop(now), now), *self._tell_withheld()]

    def encode(self, actions: Sequence[Action], now: float) -> list[Effect]:
        """What ``role`` has asked for when it was called directly, with octets in place of messages, which bear the time ``now``, and of
        errors."""
        return [effect for action in actions for effect in self._encoded(action, now)]

    def _encoded(self, action: Action, now: float) -> Sequence[Effect]:
        if isinstance(action, Send):
            return (self._transmission(action, now),)
        return self._report(action, now) if isinstance(action, Failure) else (action,)

    def _transmission(self, action: Send, now: float) -> Transmit:
        guard = self._unprotected if action.unsigned else self._protection
        octets = guard.octets(action.message, self._address, action.destination, now)
        return Transmit(octets, action.message, action.destination, action.tunnelled)

    def _report(self, failure: Failure, now: float) -> Sequence[Effect]:
        """An ICMPv6 error, or none where that is not allowed, or is counted because there were too many of any kind (RFC 4443, 2.4)."""
        packet = failure.packet
        if not may_report(packet):
            return ()
        if not self._errors.take(None, now):
            self._withheld += 1
            return ()
        what, encode = _ERRORS[type(failure)]
        report = Report(what, encode(failure), _address_at(packet, _SOURCE), _address_at(packet, _DESTINATION))
        return (*self._tell_withheld(), report)

    def _tell_withheld(self) -> Sequence[Effect]:
        withheld, self._withheld = self._withheld, 0
        return (Withhold(withheld),) if withheld else ()

    def _malformed(self, error: MessageError, heard: Heard, now: float) -> list[Action]:
        octets, source, destination = heard.octets, heard.source, heard.destination
        told: list[Action] = []
        if heard.link is None and source != self._address:
            trusted = self._protection.refusal(None, octets, source, destination, now) is None
            told = self._header_errors.answer(error, octets, source, destination, now, trusted)
        return [*self.role.malformed(source, now), *told]

    def _taken_in(self, message: Message, heard: Heard, now: float) -> list[Action]:
        source = heard.source
        if heard.link is not None:
            return self.role.receive(message, source, now, heard.link)
        refusal = self._protection.refusal(message, heard.octets, source, heard.destination, now)
        if refusal is not None:
            return self.role.refused(refusal, message, source, now)
        return self.role.receive(message, source, now)


class GatewayEndpoint(Endpoint[GatewayRole]):
    """A MAG behind its octets."""

    def __init__(self, config: AgentConfig, role: GatewayRole) -> None:
        super().__init__(config, role)
        self._solicitations: TokenBuckets[str] = TokenBuckets(SOLICITATIONS_RATE)

    def attached(
        self,
        link: str,
        mn_id: str,
        link_layer: bytes,
        now: float,
        handoff: HandoffIndicator = HandoffIndicator.UNKNOWN,
        access_technology: int = AccessTechnologyType.WIRELESS_LAN,
        timestamp: int | None = None,
    ) -> list[Effect]:
        """A mobile node has appeared on an access link (``Mag.attached``)."""
        return self.encode(self.role.attached(link, mn_id, link_layer, now, handoff, access_technology, timestamp), now)

    def leaving(self, link: str, to: IPv6Address, now: float) -> list[Effect]:
        """The node on an access link is about to leave for the MAG ``to``."""
        return self.encode(self.role.leaving(link, to, now), now)

    def detached(self, link: str, now: float) -> list[Effect]:
        """The node on an access link has gone, or the link has."""
        self._solicitations.forget(link)
        return self.encode(self.role.detached(link, now), now)

    def solicited(self, link: str, octets: bytes, source: IPv6Address, hop_limit: int, now: float) -> list[Effect]:
        """A Router Solicitation came from an access link: its ICMPv6 octets, its source and the hop limit that it arrived with.

        Raises:
            NeighbourDiscoveryError: it is one that is to be discarded (RFC 4861, 6.1.1).
        """
        if not self._solicitations.take(link, now):
            return [Ignore(IgnoreReason.TOO_OFTEN, source)]
        decode_solicitation(octets, source, hop_limit)
        return self.encode(self.role.solicited(link, now, source), now)

    def path_changed(self, now: float) -> list[Effect]:
        """The path to the LMA has another MTU."""
        return self.encode(self.role.path_changed(now), now)

    def routed(self, packet: bytes, now: float) -> list[Effect]:
        """A whole IPv6 packet for a home address found no route but the one to the agent."""
        return self.encode(self.role.packet_for(_address_at(packet, _DESTINATION), packet, now), now)

    def tunnelled(self, packet: bytes, source: IPv6Address, destination: IPv6Address, now: float) -> list[Effect]:
        """``packet`` came through a tunnel from ``source`` to ``destination`` (this agent, or its group), and has no access route here."""
        return self.encode(self.role.tunnelled(packet, source, now, destination.is_multicast), now)


class AnchorEndpoint(Endpoint[AnchorRole]):
    """An LMA behind its octets."""

    def forwarded(self, packet: bytes, mag: IPv6Address, now: float) -> list[Effect]:
        """The kernel forwards a packet, of which there is at least the IPv6 header, that ``mag`` tunnelled here."""
        source, destination = _address_at(packet, _SOURCE), _address_at(packet, _DESTINATION)
        return self.encode(self.role.forwarded(source, destination, mag, now), now)


AnyEndpoint = GatewayEndpoint | AnchorEndpoint


def start(config: AgentConfig, now: float, sequence: int = 0, restarts: int = 0) -> AnyEndpoint:
    """The agent that ``config`` describes: a MAG, or the LMA where it has the LMA's address.

    Args:
        config: the agent.
        now: its clock, in s since 1970.
        sequence: the first sequence number that it uses (16 bits).
        restarts: how often it has started before and lost its state (RFC 5847, 3.2).

    Raises:
        ValueError: the settings have a key that is none.
    """
    if is_gateway(config):
        return GatewayEndpoint(config, Mag(config, now, sequence, restarts))
    return AnchorEndpoint(config, Lma(config, now, sequence, restarts))


def _address_at(packet: bytes, at: int) -> IPv6Address:
    return IPv6Address(packet[at : at + 16])
