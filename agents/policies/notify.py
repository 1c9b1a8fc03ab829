"""``notify``: whoever knows where a node is now tells the MAGs that may not (RFC 7077)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from types import MappingProxyType

from agents.actions import Action, Ignore, IgnoreReason, Note, Notice, Send
from agents.bindings import Attachment, Binding, Interface
from agents.config import AgentConfig
from agents.messages import (
    BindingError,
    BindingErrorStatus,
    Message,
    NotificationReason,
    UpdateNotification,
    UpdateNotificationAcknowledgement,
    UpdateNotificationStatus,
    kind,
)
from agents.notifications import NOT_SUPPORTED_FOR, acknowledge
from agents.ordering import Ordering, Recent
from agents.policies.base import LmaPolicy, MagPolicy
from agents.queries import Resolver
from agents.schemes import Query
from agents.timers import Exchanges, Timers


class NotifyMagPolicy(MagPolicy):
    """``notify``: Update Notifications (RFC 7077) re-point routes. Who answers queries sends them: the LMA, or the MAG with the node."""

    def __init__(self, config: AgentConfig, ordering: Ordering, resolver: Resolver) -> None:
        super().__init__(config, ordering, resolver)
        settings = config.settings
        wait = settings.update_timeout
        self._repeats: Exchanges[Interface] = Exchanges(wait, wait, settings.update_announcements)
        self._news: dict[Interface, UpdateNotification] = {}

    def served(self, attachment: Attachment, now: float) -> list[Action]:
        if self._config.scheme.query is Query.UNICAST:
            return []
        news = UpdateNotification(
            sequence=self._ordering.sequence(),
            notification_reason=NotificationReason.UPDATE_SESSION_PARAMETERS,
            mn_id=attachment.mn_id,
            home_network_prefixes=attachment.prefixes,
            timestamp=self._ordering.timestamp(now),
            alternate_care_of=self._config.address,
        )
        self._news[attachment.interface] = replace(news, retransmit=True)
        self._repeats.begin(attachment.interface, now)
        return [Send(news, self._config.group, tunnelled=True)]

    def left(self, attachment: Attachment, now: float) -> None:
        self._news.pop(attachment.interface, None)
        self._repeats.end(attachment.interface)

    def receive(self, message: Message, source: IPv6Address, now: float) -> list[Action]:
        if not isinstance(message, UpdateNotification):
            return super().receive(message, source, now)
        sender = self._config.lma if self._config.scheme.query is Query.UNICAST else message.alternate_care_of
        if source != sender:
            return [Ignore(IgnoreReason.UNKNOWN_SENDER, source)]
        care_of = message.alternate_care_of
        if not self._applies(message) or care_of is None:
            failure = _FAILURES.get(message.notification_reason, UpdateNotificationStatus.FAILED_TO_UPDATE_SESSION_PARAMETERS)
            return [Ignore(IgnoreReason.UNEXPECTED, source), *acknowledge(message, failure, source)]
        actions: list[Action] = []
        for prefix in message.home_network_prefixes:
            news = self._resolver.moved(prefix, care_of, source, message.timestamp or 0, now)
            actions += [Ignore(IgnoreReason.STALE, source)] if news is None else [*news, *self._heard(prefix, care_of)]
        return actions + acknowledge(message, UpdateNotificationStatus.SUCCESS, source)

    def _heard(self, prefix: IPv6Network, care_of: IPv6Address) -> list[Action]:
        """News say that ``prefix`` is at another MAG now, ``care_of``."""
        return []

    def _applies(self, news: UpdateNotification) -> bool:
        """Whether news say where prefixes of a node are: at another MAG of the domain."""
        return (
            news.notification_reason == NotificationReason.UPDATE_SESSION_PARAMETERS
            and bool(news.home_network_prefixes)
            and self._config.profiles.prefixes_of(news.mn_id).issuperset(news.home_network_prefixes)
            and news.alternate_care_of in self._config.mags - {self._config.address}
        )

    @property
    def next_timeout(self) -> float | None:
        return self._repeats.next

    def timeout(self, now: float) -> list[Action]:
        actions: list[Action] = []
        for interface, again in self._repeats.due(now):
            if again:
                actions.append(Send(self._news[interface], self._config.group, tunnelled=True))
            else:
                del self._news[interface]
        return actions


_FAILURES: Mapping[int, UpdateNotificationStatus] = MappingProxyType(
    {NotificationReason.VENDOR_SPECIFIC_REASON: UpdateNotificationStatus.MISSING_VENDOR_SPECIFIC_OPTION}
)
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
        self._supported: set[IPv6Address] = set()
        self._unsupported: Recent[IPv6Address] = Recent(NOT_SUPPORTED_FOR)

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
                if mag != binding.care_of and not self._unsupported.knows(mag, now):
                    actions.append(self._tell(prefix, mag, binding, now))
        return actions

    def receive(self, message: Message, source: IPv6Address, now: float) -> list[Action]:
        if isinstance(message, BindingError) and message.status == BindingErrorStatus.UNRECOGNIZED_MH_TYPE:
            return self._not_supported(source, now)
        if not isinstance(message, UpdateNotificationAcknowledgement):
            return super().receive(message, source, now)
        told = self._by_sequence.get(message.sequence)
        if told is None or told[1] != source:
            return [Ignore(IgnoreReason.UNMATCHED, source)]
        self._supported.add(source)
        refused = message.status >= UpdateNotificationStatus.FAILED_TO_UPDATE_SESSION_PARAMETERS
        notes: list[Action] = [Note(Notice.REFUSED, source, kind(self._news[told]))] if refused else []
        self._close(told)
        return notes

    @property
    def next_timeout(self) -> float | None:
        return self._repeats.next

    def timeout(self, now: float) -> list[Action]:
        actions: list[Action] = []
        for told, again in self._repeats.due(now):
            if again:
                actions.append(Send(replace(self._news[told], retransmit=True), told[1]))
            else:
                actions.append(Note(Notice.NOT_ACKNOWLEDGED, told[1], kind(self._news[told])))
                self._close(told)
        return actions

    def _not_supported(self, mag: IPv6Address, now: float) -> list[Action]:
        """A MAG knows not every type of message: if that may be notifications it gets no more for a while (RFC 7077, 5.2)."""
        unknown = [told for told in self._news if told[1] == mag and mag not in self._supported]
        if not unknown:
            return [Ignore(IgnoreReason.UNEXPECTED, mag)]
        notes: list[Action] = [Note(Notice.NOT_SUPPORTED, mag, kind(self._news[unknown[0]]))]
        self._unsupported.note(mag, now)
        for told in unknown:
            self._close(told)
        return notes

    def _tell(self, prefix: IPv6Network, mag: IPv6Address, binding: Binding, now: float) -> Action:
        sequence = self._ordering.free_sequence(self._by_sequence)
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
