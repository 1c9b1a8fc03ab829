"""Binding revocation between a MAG and its LMA (RFC 5846): what is sent, repeated and answered, whichever of the two one is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from ipaddress import IPv6Address, IPv6Network

from agents.actions import Action, Ignore, IgnoreReason, Note, Notice, Send
from agents.config import Settings
from agents.messages import (
    BindingRevocationAcknowledgement,
    BindingRevocationIndication,
    RevocationStatus,
    RevocationTrigger,
    kind,
)
from agents.ordering import Ordering
from agents.timers import Exchanges, Timers

_GLOBAL = frozenset({RevocationTrigger.PER_PEER_POLICY, RevocationTrigger.REVOKING_MOBILITY_NODE_LOCAL_POLICY})
_SUPPORTED = frozenset(RevocationTrigger)

HANDOVERS = frozenset(
    {
        RevocationTrigger.INTER_MAG_HANDOVER_SAME_ACCESS_TYPE,
        RevocationTrigger.INTER_MAG_HANDOVER_DIFFERENT_ACCESS_TYPE,
        RevocationTrigger.INTER_MAG_HANDOVER_UNKNOWN,
    }
)
"""The triggers that say that the node is at another MAG."""

_MOST_ANSWERS = 1 << 12
"""BRAs that are remembered, to be given again; BRIs have sequence numbers of 16 bits, and without a key their sender may be anybody."""


@dataclass(frozen=True, slots=True)
class RevocationOutcome:
    """What became of a BRI: its status, what is to be done, and the prefixes that it named in vain."""

    status: RevocationStatus
    actions: tuple[Action, ...] = ()
    failed: tuple[IPv6Network, ...] = ()


def revoked(indication: BindingRevocationIndication, prefixes: Iterable[IPv6Network], actions: Iterable[Action]) -> RevocationOutcome:
    """The outcome where there were sessions to revoke, which had ``prefixes`` (RFC 5846, 8.2 and 9.1)."""
    ended = set(prefixes)
    failed = tuple(prefix for prefix in indication.home_network_prefixes if prefix not in ended)
    return RevocationOutcome(RevocationStatus.PARTIAL_SUCCESS if failed else RevocationStatus.SUCCESS, tuple(actions), failed)


def concerns(
    indication: BindingRevocationIndication, mag: IPv6Address, mn_id: str, prefixes: Iterable[IPv6Network], care_of: IPv6Address
) -> bool:
    """Whether a BRI revokes the session that ``mn_id`` has at ``care_of``; ``mag`` is the one of the two peers that is a MAG."""
    if care_of != (indication.alternate_care_of or mag):
        return False
    if indication.trigger == RevocationTrigger.PER_PEER_POLICY:
        return True
    said = indication.mn_id or ""
    if indication.all_bindings:
        realm = said.partition("@")[2]
        return bool(realm) and mn_id.partition("@")[2] == realm
    named = set(indication.home_network_prefixes)
    return mn_id == said and (not named or not named.isdisjoint(prefixes))


def _objection(indication: BindingRevocationIndication) -> RevocationStatus | None:
    """Why a BRI is refused whatever bindings there are (RFC 5846, 6.2.1); those of this domain are PMIPv6's and have no IPv4 address."""
    if indication.trigger not in _SUPPORTED:
        return RevocationStatus.REVOCATION_TRIGGER_NOT_SUPPORTED
    if indication.all_bindings != (indication.trigger in _GLOBAL) or (indication.all_bindings and not indication.proxy):
        return RevocationStatus.REVOCATION_FUNCTION_NOT_SUPPORTED
    if indication.ipv4_only or not indication.proxy:
        return RevocationStatus.BINDING_DOES_NOT_EXIST
    return None


def _nothing(*_: object) -> list[Action]:
    return []


@dataclass(frozen=True, slots=True)
class Responder:
    """What the agent does about revocations.

    ``revoke``: a peer revokes bindings. ``ended``: a BRI to a peer was answered with a status, or given up (None).
    """

    revoke: Callable[[BindingRevocationIndication, IPv6Address, float], RevocationOutcome]
    ended: Callable[[BindingRevocationIndication, IPv6Address, int | None, float], list[Action]] = _nothing


_Sent = tuple[IPv6Address, BindingRevocationIndication]


class Revocations:
    """The BRIs of one agent that wait for a BRA, and the BRAs that it has given lately."""

    def __init__(self, settings: Settings, ordering: Ordering, responder: Responder) -> None:
        self._ordering = ordering
        self._responder = responder
        self._repeats: Exchanges[int] = Exchanges(settings.revocation_timeout, settings.revocation_timeout_max, settings.revocation_tries)
        self._open: dict[int, _Sent] = {}
        self._numbers: dict[_Sent, int] = {}
        self._memory = settings.revocation_tries * settings.revocation_timeout_max
        self._answers: dict[_Sent, BindingRevocationAcknowledgement] = {}
        self._forgotten: Timers[_Sent] = Timers()

    def begin(
        self,
        peer: IPv6Address,
        trigger: RevocationTrigger,
        now: float,
        mn_id: str | None = None,
        prefixes: tuple[IPv6Network, ...] = (),
    ) -> list[Action]:
        """Send a BRI to ``peer``, unless one that says the same is under way."""
        said = BindingRevocationIndication(
            sequence=0, trigger=trigger, all_bindings=trigger in _GLOBAL, mn_id=mn_id, home_network_prefixes=prefixes
        )
        if (peer, said) in self._numbers:
            return []
        sequence = self._ordering.free_sequence(self._open)
        indication = replace(said, sequence=sequence)
        self._open[sequence] = peer, indication
        self._numbers[peer, said] = sequence
        self._repeats.begin(sequence, now)
        return [Send(indication, peer)]

    def receive(
        self, message: BindingRevocationIndication | BindingRevocationAcknowledgement, source: IPv6Address, now: float
    ) -> list[Action]:
        """Take in a BRI or a BRA."""
        if isinstance(message, BindingRevocationIndication):
            return self._answer(message, source, now)
        peer, indication = self._open.get(message.sequence, (None, None))
        if peer != source or indication is None:
            return [Ignore(IgnoreReason.UNMATCHED, source)]
        self._close(message.sequence)
        refused = message.status >= RevocationStatus.BINDING_DOES_NOT_EXIST
        notes: list[Action] = [Note(Notice.REFUSED, source, kind(indication))] if refused else []
        return notes + self._responder.ended(indication, source, message.status, now)

    @property
    def next_timeout(self) -> float | None:
        """When ``timeout`` is to be called."""
        return self._repeats.next

    def timeout(self, now: float) -> list[Action]:
        """Repeat BRIs, or give them up (RFC 5846, 6.3)."""
        actions: list[Action] = []
        for sequence, again in self._repeats.due(now):
            peer, indication = self._open[sequence]
            if again:
                actions.append(Send(indication, peer))
            else:
                self._close(sequence)
                actions.append(Note(Notice.NOT_ACKNOWLEDGED, peer, kind(indication)))
                actions += self._responder.ended(indication, peer, None, now)
        return actions

    def _close(self, sequence: int) -> None:
        peer, indication = self._open.pop(sequence)
        del self._numbers[peer, replace(indication, sequence=0)]
        self._repeats.end(sequence)

    def _answer(self, indication: BindingRevocationIndication, source: IPv6Address, now: float) -> list[Action]:
        """Answer a BRI; one that is repeated because the BRA was lost gets the same once more, and ends nothing that has begun since."""
        said = source, replace(indication, authentication=None, replay_protection=None)
        for forgotten in self._forgotten.due(now):
            del self._answers[forgotten]
        if (known := self._answers.get(said)) is not None:
            return [Send(known, source)]
        status = _objection(indication)
        outcome = self._responder.revoke(indication, source, now) if status is None else RevocationOutcome(status)
        acknowledgement = BindingRevocationAcknowledgement(
            sequence=indication.sequence,
            status=outcome.status,
            proxy=indication.proxy,
            ipv4_only=indication.ipv4_only,
            all_bindings=indication.all_bindings,
            mn_id=indication.mn_id if outcome.failed else None,
            home_network_prefixes=outcome.failed,
        )
        if len(self._answers) >= _MOST_ANSWERS:
            forgotten = next(iter(self._answers))
            del self._answers[forgotten]
            self._forgotten.cancel(forgotten)
        self._answers[said] = acknowledgement
        self._forgotten.set(said, now + self._memory)
        return [*outcome.actions, Send(acknowledgement, source)]
