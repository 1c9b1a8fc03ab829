"""Handover policies: what is done about routes that point to the MAG which a mobile node has left.

The draft is silent on this. A policy is one row of POLICIES, what it adds to a MAG and what it adds to the LMA; Mag and
Lma call the hooks of the base classes and know no policy by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv6Address, IPv6Network
from types import MappingProxyType

from agents.actions import Action, Ignore, IgnoreReason, Send
from agents.bindings import Attachment, Binding
from agents.config import AgentConfig
from agents.messages import (
    BindingError,
    BindingErrorStatus,
    Message,
    NotificationReason,
    UpdateNotification,
    UpdateNotificationAcknowledgement,
    UpdateNotificationStatus,
)
from agents.ordering import Ordering, Recent
from agents.queries import Resolver
from agents.timers import Exchanges, Timers

BINDING_ERROR_INTERVAL = 0.05
"""s between two Binding Errors to one MAG for one home address: a burst causes one, a lost one is made good by a later packet."""


class MagPolicy:
    """What a policy adds to a MAG; this one adds nothing."""

    def __init__(self, config: AgentConfig, ordering: Ordering, resolver: Resolver) -> None:
        self._config = config
        self._ordering = ordering
        self._resolver = resolver

    def stray(self, hoa: IPv6Address, source: IPv6Address, now: float) -> list[Action]:
        """The MAG ``source`` tunnelled a packet for ``hoa``, which is not attached here."""
        return []

    def served(self, attachment: Attachment, now: float) -> list[Action]:
        """A node is reachable here from now on."""
        return []

    def left(self, attachment: Attachment) -> None:
        """A node is reachable here no longer."""

    def receive(self, message: Message, source: IPv6Address, now: float) -> list[Action]:
        """A message came that is neither update, query nor acknowledgement."""
        return [Ignore(IgnoreReason.UNEXPECTED, source)]

    @property
    def next_timeout(self) -> float | None:
        """When ``timeout`` is to be called."""
        return None

    def timeout(self, now: float) -> list[Action]:
        """Do what is due."""
        return []


class LmaPolicy:
    """What a policy adds to the LMA; this one adds nothing."""

    def __init__(self, config: AgentConfig, ordering: Ordering) -> None:
        self._config = config
        self._ordering = ordering

    def asked(self, prefix: IPv6Network, mag: IPv6Address, lifetime: float, now: float) -> None:
        """A MAG was told where ``prefix`` is and relies on it for ``lifetime`` s."""

    def moved(self, binding: Binding, now: float) -> list[Action]:
        """A binding has a care-of address that it had not before."""
        return []

    def receive(self, message: Message, source: IPv6Address, now: float) -> list[Action]:
        """A message came that is neither update nor query."""
        return [Ignore(IgnoreReason.UNEXPECTED, source)]

    @property
    def next_timeout(self) -> float | None:
        """When ``timeout`` is to be called."""
        return None

    def timeout(self, now: float) -> list[Action]:
        """Do what is due."""
        return []


class ErrorMagPolicy(MagPolicy):
    """``error``: who is tunnelled a packet for a node that has left answers with a Binding Error (RFC 6275, 6.1.9).

    Its status is 1, unknown binding, the only one that speaks of a binding. The MAG that receives it drops the route and asks
    anew. The answer may come too early and name the same MAG once more; then the next packet brings the next Binding Error.
    """

    def __init__(self, config: AgentConfig, ordering: Ordering, resolver: Resolver) -> None:
        super().__init__(config, ordering, resolver)
        self._told: Recent[tuple[IPv6Address, IPv6Address]] = Recent(BINDING_ERROR_INTERVAL)

    def stray(self, hoa: IPv6Address, source: IPv6Address, now: float) -> list[Action]:
        if source not in self._config.mags or self._told.knows((source, hoa), now):
            return []
        self._told.note((source, hoa), now)
        return [Send(BindingError(status=BindingErrorStatus.UNKNOWN_BINDING, home_address=hoa), source)]

    def receive(self, message: Message, source: IPv6Address, now: float) -> list[Action]:
        if not isinstance(message, BindingError):
            return super().receive(message, source, now)
        if message.status != BindingErrorStatus.UNKNOWN_BINDING:
            return [Ignore(IgnoreReason.UNEXPECTED, source)]
        actions = self._resolver.mistaken(message.home_address, source, now)
        return [Ignore(IgnoreReason.STALE, source)] if actions is None else actions


class NotifyMagPolicy(MagPolicy):
    """``notify``: Update Notifications (RFC 7077) re-point routes. Where there is no LMA to send them, the new MAG tells all others."""

    def __init__(self, config: AgentConfig, ordering: Ordering, resolver: Resolver) -> None:
        super().__init__(config, ordering, resolver)
        settings = config.settings
        self._repeats: Exchanges[str] = Exchanges(settings.update_timeout, settings.update_timeout, settings.update_tries)
        self._news: dict[str, UpdateNotification] = {}

    def served(self, attachment: Attachment, now: float) -> list[Action]:
        if self._config.scheme.binding_update:
            return []
        news = UpdateNotification(
            sequence=self._ordering.sequence(),
            notification_reason=NotificationReason.UPDATE_SESSION_PARAMETERS,
            mn_id=attachment.mn_id,
            home_network_prefixes=attachment.prefixes,
            timestamp=self._ordering.timestamp(now),
            alternate_care_of=self._config.address,
        )
        self._news[attachment.mn_id] = replace(news, retransmit=True)
        self._repeats.begin(attachment.mn_id, now)
        return [Send(news, self._config.group, tunnelled=True)]

    def left(self, attachment: Attachment) -> None:
        self._news.pop(attachment.mn_id, None)
        self._repeats.end(attachment.mn_id)

    def receive(self, message: Message, source: IPv6Address, now: float) -> list[Action]:
        if not isinstance(message, UpdateNotification):
            return super().receive(message, source, now)
        sender = self._config.lma if self._config.scheme.binding_update else message.alternate_care_of
        if source != sender:
            return [Ignore(IgnoreReason.UNKNOWN_SENDER, source)]
        if message.notification_reason != NotificationReason.UPDATE_SESSION_PARAMETERS or message.alternate_care_of is None:
            return [Ignore(IgnoreReason.UNEXPECTED, source)]
        actions: list[Action] = []
        for prefix in message.home_network_prefixes:
            news = self._resolver.moved(prefix, message.alternate_care_of, message.timestamp or 0, now)
            actions += [Ignore(IgnoreReason.STALE, source)] if news is None else news
        if message.acknowledge:
            acknowledgement = UpdateNotificationAcknowledgement(
                sequence=message.sequence,
                status=UpdateNotificationStatus.SUCCESS,
                mn_id=message.mn_id,
                home_network_prefixes=message.home_network_prefixes,
            )
            actions.append(Send(acknowledgement, source))
        return actions

    @property
    def next_timeout(self) -> float | None:
        return self._repeats.next

    def timeout(self, now: float) -> list[Action]:
        actions: list[Action] = []
        for mn_id, again in self._repeats.due(now):
            if again:
                actions.append(Send(self._news[mn_id], self._config.group, tunnelled=True))
            else:
                del self._news[mn_id]
        return actions


_Told = tuple[IPv6Network, IPv6Address]


class NotifyLmaPolicy(LmaPolicy):
    """``notify``: the LMA tells every MAG that asked for a prefix, and may still rely on the answer, where it is now.

    Acknowledged, and repeated until then (RFC 7077, 5.2); a later move replaces what has not been acknowledged.
    """

    def __init__(self, config: AgentConfig, ordering: Ordering) -> None:
        super().__init__(config, ordering)
        settings = config.settings
        self._relying: dict[IPv6Network, dict[IPv6Address, None]] = {}
        self._until: Timers[_Told] = Timers()
        self._repeats: Exchanges[_Told] = Exchanges(settings.update_timeout, settings.update_timeout, settings.update_tries)
        self._news: dict[_Told, UpdateNotification] = {}
        self._by_sequence: dict[int, _Told] = {}

    def asked(self, prefix: IPv6Network, mag: IPv6Address, lifetime: float, now: float) -> None:
        self._expire(now)
        self._relying.setdefault(prefix, {})[mag] = None
        self._until.set((prefix, mag), now + lifetime)

    def moved(self, binding: Binding, now: float) -> list[Action]:
        self._expire(now)
        actions: list[Action] = []
        for prefix in binding.prefixes:
            for mag in self._relying.get(prefix, {}):
                self._close((prefix, mag))
                if mag != binding.care_of:
                    actions.append(self._tell(prefix, mag, binding, now))
        return actions

    def receive(self, message: Message, source: IPv6Address, now: float) -> list[Action]:
        if not isinstance(message, UpdateNotificationAcknowledgement):
            return super().receive(message, source, now)
        told = self._by_sequence.get(message.sequence)
        if told is None or told[1] != source:
            return [Ignore(IgnoreReason.UNMATCHED, source)]
        self._close(told)
        return []

    @property
    def next_timeout(self) -> float | None:
        return self._repeats.next

    def timeout(self, now: float) -> list[Action]:
        actions: list[Action] = []
        for told, again in self._repeats.due(now):
            if again:
                actions.append(Send(replace(self._news[told], retransmit=True), told[1]))
            else:
                self._close(told)
        return actions

    def _tell(self, prefix: IPv6Network, mag: IPv6Address, binding: Binding, now: float) -> Action:
        while (sequence := self._ordering.sequence()) in self._by_sequence:
            pass
        news = UpdateNotification(
            sequence=sequence,
            notification_reason=NotificationReason.UPDATE_SESSION_PARAMETERS,
            acknowledge=True,
            mn_id=binding.mn_id,
            home_network_prefixes=(prefix,),
            timestamp=self._ordering.timestamp(now),
            alternate_care_of=binding.care_of,
        )
        self._news[(prefix, mag)] = news
        self._by_sequence[sequence] = (prefix, mag)
        self._repeats.begin((prefix, mag), now)
        return Send(news, mag)

    def _close(self, told: _Told) -> None:
        news = self._news.pop(told, None)
        if news is not None:
            del self._by_sequence[news.sequence]
            self._repeats.end(told)

    def _expire(self, now: float) -> None:
        for prefix, mag in self._until.due(now):
            del self._relying[prefix][mag]
            if not self._relying[prefix]:
                del self._relying[prefix]


@dataclass(frozen=True, slots=True)
class Policy:
    """What a policy adds to each kind of agent."""

    mag: type[MagPolicy] = MagPolicy
    lma: type[LmaPolicy] = LmaPolicy


POLICIES: Mapping[str, Policy] = MappingProxyType(
    {
        "none": Policy(),
        "anchor": Policy(),
        "expire": Policy(),
        "error": Policy(mag=ErrorMagPolicy),
        "notify": Policy(mag=NotifyMagPolicy, lma=NotifyLmaPolicy),
    }
)
