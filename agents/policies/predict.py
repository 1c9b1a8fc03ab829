"""``predict``: the MAG that a node is about to leave hands it over to the next one beforehand (RFC 5949, 4.1, the predictive mode)."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network

from agents.actions import Action, Ignore, IgnoreReason, Release, Send
from agents.bindings import Attachment, Interface
from agents.config import AgentConfig
from agents.messages import HandoverAcknowledge, HandoverAcknowledgeCode, HandoverInitiate, HandoverInitiateCode, Message
from agents.ordering import Ordering
from agents.policies.forward import ForwardMagPolicy
from agents.prefixes import PrefixTable
from agents.queries import Resolver
from agents.timers import Exchanges, Timers, earliest

_ANNOUNCEMENTS = frozenset({HandoverInitiateCode.DEFAULT, HandoverInitiateCode.ALL_CONTEXT_TRANSFERRED})


@dataclass(slots=True)
class _Handover:
    """A node that is about to leave this MAG, or has ``left`` it for ``to``, which may have ``accepted`` it."""

    initiate: HandoverInitiate
    to: IPv6Address
    left: bool = False
    accepted: bool = False


def _interface(message: HandoverInitiate | HandoverAcknowledge) -> Interface:
    return Interface.named(message.mn_id, message.link_layer_identifier)


def _answer(initiate: HandoverInitiate, code: HandoverAcknowledgeCode, source: IPv6Address) -> Action:
    """The HAck to an HI (RFC 5949, 6.1.2)."""
    answer = HandoverAcknowledge(
        sequence=initiate.sequence,
        code=code,
        forward=initiate.forward,
        mn_id=initiate.mn_id,
        link_layer_identifier=initiate.link_layer_identifier,
        timestamp=initiate.timestamp,
    )
    return Send(answer, source)


class PredictMagPolicy(ForwardMagPolicy):
    """As ``forward``, but nobody has to be asked where the node is: a Handover Initiate names it to the next MAG, which holds packets
    for it until it comes, and serves it at once. Where it does not come, its packets are sent on as under ``forward``."""

    def __init__(self, config: AgentConfig, ordering: Ordering, resolver: Resolver) -> None:
        super().__init__(config, ordering, resolver)
        settings = config.settings
        self._handovers: dict[Interface, _Handover] = {}
        self._going: PrefixTable[_Handover] = PrefixTable()
        self._initiated: Exchanges[Interface] = Exchanges(settings.query_timeout, tries=settings.query_tries)
        self._ends: Timers[Interface] = Timers()
        self._expected: dict[Interface, HandoverInitiate] = {}
        self._coming: PrefixTable[HandoverInitiate] = PrefixTable()
        self._patience: Timers[Interface] = Timers()
        self._overdue: Timers[Interface] = Timers()
        self._heeded: dict[Interface, tuple[IPv6Address, HandoverInitiate]] = {}
        self._heeded_until: Timers[Interface] = Timers()

    def leaving(self, attachment: Attachment, to: IPv6Address, now: float) -> list[Action]:
        if to not in self._config.mags or to == self._config.address:
            return []
        interface = attachment.interface
        initiate = HandoverInitiate(
            sequence=self._ordering.sequence(),
            code=HandoverInitiateCode.ALL_CONTEXT_TRANSFERRED,
            buffer=True,
            forward=True,
            mn_id=interface.mn_id,
            home_network_prefixes=attachment.prefixes,
            anchor_address=self._config.lma if self._config.scheme.binding_update else None,
            link_layer_identifier=interface.known_identifier,
            timestamp=self._ordering.timestamp(now),
        )
        self._end(interface)
        handover = self._handovers[interface] = _Handover(initiate, to)
        for prefix in attachment.prefixes:
            self._going[prefix] = handover
        self._initiated.begin(interface, now)
        self._ends.set(interface, now + self._config.settings.query_lifetime)
        return [Send(initiate, to)]

    def left(self, attachment: Attachment, now: float) -> None:
        super().left(attachment, now)
        if (handover := self._handovers.get(attachment.interface)) is not None:
            handover.left = True

    def expects(self, interface: Interface) -> tuple[IPv6Network, ...]:
        return self._expected[interface].home_network_prefixes if interface in self._expected else ()

    def served(self, attachment: Attachment, now: float) -> list[Action]:
        self._end(attachment.interface)
        self._expect_no_more(attachment.interface)
        return super().served(attachment, now)

    def receive(self, message: Message, source: IPv6Address, now: float) -> list[Action]:
        if isinstance(message, HandoverInitiate):
            return self._handed_over(message, source, now)
        if isinstance(message, HandoverAcknowledge):
            return self._answered(message, source, now)
        return super().receive(message, source, now)

    @property
    def next_timeout(self) -> float | None:
        timers = self._initiated, self._ends, self._patience, self._overdue, self._heeded_until
        return earliest(super().next_timeout, *(timer.next for timer in timers))

    def timeout(self, now: float) -> list[Action]:
        actions = super().timeout(now)
        for interface, again in self._initiated.due(now):
            handover = self._handovers[interface]
            actions += [Send(handover.initiate, handover.to)] if again else self._give_up(interface, now)
        for interface in self._ends.due(now):
            self._end(interface)
        for interface in self._patience.due(now):
            actions += self._resolver.seek(self._expected[interface].home_network_prefixes, now)
            self._expect_no_more(interface)
        for interface in self._overdue.due(now):
            expected = self._expected.get(interface) or self._handovers[interface].initiate
            actions += self._resolver.seek(expected.home_network_prefixes, now)
        for interface in self._heeded_until.due(now):
            del self._heeded[interface]
        return actions

    def _send_on(self, hoa: IPv6Address, packet: bytes, source: IPv6Address, now: float) -> list[Action]:
        if (expected := self._coming.lookup(hoa)) is not None:
            return self._hold(expected, hoa, packet, now)
        handover = self._going.lookup(hoa)
        if handover is None or not handover.left:
            return super()._send_on(hoa, packet, source, now)
        if not handover.accepted:
            return self._hold(handover.initiate, hoa, packet, now)
        if source == handover.to:
            self._end(_interface(handover.initiate))
            return super()._send_on(hoa, packet, source, now)
        return [Release((packet,), handover.to)]

    def _hold(self, announced: HandoverInitiate, hoa: IPv6Address, packet: bytes, now: float) -> list[Action]:
        """Let a packet wait for the node, or for the next MAG's answer; where that takes long, the handover may have gone wrong, and it is
        asked where the node is."""
        interface = _interface(announced)
        if interface not in self._overdue:
            self._overdue.set(interface, now + self._config.settings.query_timeout)
        return self._resolver.hold(hoa, packet, now)

    def _heard(self, prefix: IPv6Network, care_of: IPv6Address) -> list[Action]:
        """What waits for a node that was thought to be, or to come, somewhere else goes to where it is."""
        if (expected := self._coming.get(prefix)) is not None:
            self._expect_no_more(_interface(expected))
            return self._resolver.deliver(expected.home_network_prefixes, care_of)
        handover = self._going.get(prefix)
        if handover is None or not handover.left:
            return []
        interface = _interface(handover.initiate)
        self._initiated.end(interface)
        self._overdue.cancel(interface)
        handover.to, handover.accepted = care_of, True
        return self._resolver.deliver(handover.initiate.home_network_prefixes, care_of)

    def _handed_over(self, initiate: HandoverInitiate, source: IPv6Address, now: float) -> list[Action]:
        """A node of ``source``, a MAG, is about to come here; of other codes none announces one (RFC 5949, 6.1.1).

        Who has been told so once is not told anew by a copy, nor by an earlier one that is late.
        """
        if source not in self._config.mags or initiate.code not in _ANNOUNCEMENTS:
            return [Ignore(IgnoreReason.UNEXPECTED, source)]
        interface, prefixes = _interface(initiate), initiate.home_network_prefixes
        if not self._takes(initiate):
            return [_answer(initiate, HandoverAcknowledgeCode.NOT_ACCEPTED, source)]
        sender, before = self._heeded.get(interface, (None, initiate))
        if sender == source and (initiate.timestamp or 0) < (before.timestamp or 0):
            return [Ignore(IgnoreReason.STALE, source)]
        if (sender, before) != (source, initiate):
            self._heeded[interface] = source, initiate
            self._heeded_until.set(interface, now + self._config.settings.query_lifetime)
            self._expect_no_more(interface)
            self._expected[interface] = initiate
            for prefix in prefixes:
                self._coming[prefix] = initiate
            self._patience.set(interface, now + self._config.settings.handover_time)
        return [_answer(initiate, HandoverAcknowledgeCode.CONTEXT_TRANSFER_ACCEPTED, source)]

    def _takes(self, initiate: HandoverInitiate) -> bool:
        """Whether this MAG can serve the node: it is one of the domain, with prefixes of its own, and registered at this MAG's LMA."""
        prefixes = initiate.home_network_prefixes
        own = self._config.profiles.prefixes_of(initiate.mn_id)
        return bool(prefixes) and own.issuperset(prefixes) and initiate.anchor_address in (None, self._config.lma)

    def _answered(self, answer: HandoverAcknowledge, source: IPv6Address, now: float) -> list[Action]:
        interface = _interface(answer)
        handover = self._handovers.get(interface)
        if handover is None or interface not in self._initiated or (source, answer.sequence) != (handover.to, handover.initiate.sequence):
            return [Ignore(IgnoreReason.UNMATCHED, source)]
        if answer.code >= HandoverAcknowledgeCode.NOT_ACCEPTED:
            return self._give_up(interface, now)
        self._initiated.end(interface)
        handover.accepted = True
        return self._resolver.deliver(handover.initiate.home_network_prefixes, handover.to) if handover.left else []

    def _give_up(self, interface: Interface, now: float) -> list[Action]:
        """The next MAG does not take the node: what waits for it goes the way of ``forward``."""
        prefixes = self._handovers[interface].initiate.home_network_prefixes
        self._end(interface)
        return self._resolver.seek(prefixes, now)

    def _end(self, interface: Interface) -> None:
        handover = self._handovers.pop(interface, None)
        if handover is not None:
            self._initiated.end(interface)
            self._ends.cancel(interface)
            self._overdue.cancel(interface)
            for prefix in handover.initiate.home_network_prefixes:
                self._going.pop(prefix)

    def _expect_no_more(self, interface: Interface) -> None:
        expected = self._expected.pop(interface, None)
        if expected is not None:
            self._patience.cancel(interface)
            self._overdue.cancel(interface)
            for prefix in expected.home_network_prefixes:
                self._coming.pop(prefix)
