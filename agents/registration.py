"""Registering attached nodes with the LMA: a MAG's Binding Update List (RFC 5213, 6.9.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv6Address, IPv6Network

from agents.actions import Action, Ignore, IgnoreReason, Send
from agents.bindings import Attachment, BindingUpdate, Interface, SentUpdate
from agents.config import AgentConfig, MessageOrder
from agents.messages import (
    HandoffIndicator,
    ProxyBindingAcknowledgement,
    ProxyBindingUpdate,
    Status,
    UpdateNotification,
    UpdateNotificationStatus,
    lifetime_seconds,
    lifetime_units,
)
from agents.notifications import acknowledge
from agents.ordering import Ordering, RateLimit
from agents.timers import Exchanges, Timers, earliest

MAX_UPDATE_RATE = 3
"""PBUs that the LMA gets about one node within a second (RFC 6275, 11.8 and 12)."""

REFRESH = 0.75
"""The part of a binding's lifetime after which it is registered again, at the latest."""

EARLIEST_REFRESH = 0.65
"""The same, at the earliest."""

_GOLDEN_RATIO = (5**0.5 - 1) / 2

_ANY_PREFIX = (IPv6Network("::/0"),)
_ANY_LINK_LOCAL = IPv6Address("::")
_ECHOED = ("mn_id", "handoff_indicator", "access_technology", "link_layer_identifier")


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Whom to tell what became of an interface.

    ``accepted``: its binding stands, with these prefixes and the LMA's link-local address for the access link, if it gave
    one. ``denied``: it has no binding, or none any longer.
    """

    accepted: Callable[[Interface, tuple[IPv6Network, ...], IPv6Address | None, float], list[Action]]
    denied: Callable[[Interface, float], list[Action]]


class Registrar:
    """Keeps the LMA informed of the nodes attached to one MAG.

    What RFC 5213 leaves to an administrative action (6.9.1.2 (6) and (7)) is left until the agent is started anew.
    """

    def __init__(self, config: AgentConfig, ordering: Ordering, outcomes: Outcomes) -> None:
        settings = config.settings
        self._config = config
        self._settings = settings
        self._ordering = ordering
        self._outcomes = outcomes
        self._counted = settings.message_order is MessageOrder.SEQUENCE
        self._lifetime = lifetime_units(settings.binding_lifetime)
        self._updates: dict[Interface, BindingUpdate] = {}
        self._registering: Exchanges[Interface] = Exchanges(settings.binding_timeout, settings.binding_timeout_max)
        self._delayed: Timers[Interface] = Timers()
        self._refreshes: Timers[Interface] = Timers()
        self._expiries: Timers[Interface] = Timers()
        self._leaving: dict[Interface, None] = {}
        self._spent: dict[Interface, ProxyBindingUpdate] = {}
        self._forgotten: Timers[Interface] = Timers()
        self._ends: Timers[Interface] = Timers()
        self._rate: RateLimit[str] = RateLimit(MAX_UPDATE_RATE)
        self._barred: set[str] = set()
        self._unauthorised: set[Interface] = set()
        self._remedies: Mapping[int, Callable[[BindingUpdate, ProxyBindingAcknowledgement, float], list[Action]]] = {
            Status.PROXY_REG_NOT_ENABLED: self._bar,
            Status.NOT_AUTHORIZED_FOR_HOME_NETWORK_PREFIX: self._ask_for_any_prefix,
            Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED: self._go_on,
            Status.TIMESTAMP_MISMATCH: self._go_on,
            Status.MIPV6_ID_MISMATCH: self._go_on,
            Status.SEQUENCE_NUMBER_OUT_OF_WINDOW: self._go_on_from_sequence,
        }

    def register(self, attachment: Attachment, now: float, served: bool = False) -> list[Action]:
        """Register an interface that has attached (RFC 5213, 6.9.1.1).

        One that is ``served`` already, as its previous MAG has handed it over, is so no longer than the LMA keeps that MAG's binding.
        """
        interface = attachment.interface
        self.forget(interface)
        update = BindingUpdate(
            interface=interface,
            access_technology=attachment.access_technology,
            handoff=attachment.handoff,
            lifetime=self._lifetime,
            prefixes=() if interface in self._unauthorised else attachment.prefixes,
            link_local=None if int(self._settings.link_local) else _ANY_LINK_LOCAL,
            timestamp=attachment.timestamp,
            request=self._spent.get(interface),
            refused=interface.mn_id in self._barred,
        )
        self._updates[interface] = update
        if served:
            self._expiries.set(interface, now + self._settings.binding_delete_delay)
        return [] if update.refused else self._register(update, now)

    def deregister(self, interface: Interface, now: float) -> list[Action]:
        """De-register an interface that has left, unless the LMA denied it service.

        Sent once (RFC 5213, 6.9.1.4): what is repeated until it is answered are registrations of nodes still attached
        (6.9.4 (2)). Where it is lost, the LMA's binding ends by its lifetime.
        """
        update = self._updates.get(interface)
        if update is None:
            return []
        self._pause(interface)
        if update.refused:
            del self._updates[interface]
            return []
        self._leaving[interface] = None
        update.handoff, update.lifetime = HandoffIndicator.UNKNOWN, 0
        return self._begin(update, now)

    def forget(self, interface: Interface) -> None:
        """Send no more about an interface: its session begins anew, or has been handed over to another interface."""
        self._pause(interface)
        self._leaving.pop(interface, None)
        self._ends.cancel(interface)
        self._updates.pop(interface, None)

    def tell_link_local(self, interface: Interface, address: IPv6Address, now: float) -> list[Action]:
        """Tell the LMA, at once, which link-local address the MAG uses instead of the one given (RFC 5213, 6.9.1.2 (15))."""
        update = self._updates[interface]
        update.link_local = address
        return self._refresh(update, now)

    @property
    def bound(self) -> bool:
        """Whether the LMA has a binding of any interface, or may have."""
        return self._expiries.next is not None

    @property
    def updates(self) -> tuple[BindingUpdate, ...]:
        """The Binding Update List."""
        return tuple(self._updates.values())

    def renew(self, updates: Iterable[BindingUpdate], now: float) -> list[Action]:
        """Register interfaces anew and at once, though their bindings have not ended."""
        return [action for update in updates if self._stands(update) for action in self._refresh(update, now)]

    def revoke(self, interface: Interface) -> None:
        """The binding of an interface is revoked: send no more about it, not even that it has left (RFC 5846, 9.1)."""
        if interface in self._leaving:
            self.forget(interface)
        else:
            self._pause(interface)
            self._updates[interface].refused = True

    def notified(self, news: UpdateNotification, source: IPv6Address, now: float) -> list[Action]:
        """The LMA wants the sessions of a node to be registered anew (RFC 7077, 6.1)."""
        if source != self._config.lma:
            return [Ignore(IgnoreReason.UNKNOWN_SENDER, source)]
        asked = [update for update in self._updates.values() if update.interface.mn_id == news.mn_id and self._stands(update)]
        if not asked:
            failed = UpdateNotificationStatus.FAILED_TO_UPDATE_SESSION_PARAMETERS
            return [Ignore(IgnoreReason.NOT_OURS, source), *acknowledge(news, failed, source)]
        return self.renew(asked, now) + acknowledge(news, UpdateNotificationStatus.SUCCESS, source)

    def receive(self, message: ProxyBindingAcknowledgement, source: IPv6Address, now: float) -> list[Action]:
        """Take in a PBA, in the order of RFC 5213, 6.9.1.2."""
        if source != self._config.lma:
            return [Ignore(IgnoreReason.UNKNOWN_SENDER, source)]
        update = self._answered(message)
        if update is None:
            return [Ignore(IgnoreReason.UNMATCHED, source)]
        answered = update.sent.get(message.sequence)
        if _altered(message, answered.request if answered else update.request):
            self._give_up(update)
            return [Ignore(IgnoreReason.ALTERED, source)]
        if update.interface in self._leaving:
            if message.status == Status.ACCEPTED:
                self.forget(update.interface)
            return []
        if message.status >= Status.REASON_UNSPECIFIED:
            return self._refused(update, message, now)
        prefixes = tuple(dict.fromkeys(prefix for prefix in message.home_network_prefixes if int(prefix.network_address)))
        if not prefixes or not message.lifetime:
            return [Ignore(IgnoreReason.MALFORMED, source)]
        return self._accepted(update, prefixes, message, now)

    @property
    def next_timeout(self) -> float | None:
        """When ``timeout`` is to be called."""
        timers = self._registering, self._delayed, self._refreshes, self._expiries, self._ends, self._forgotten
        return earliest(*(timer.next for timer in timers))

    def timeout(self, now: float) -> list[Action]:
        """Let bindings end, refresh them before they do, and repeat what was not acknowledged."""
        actions: list[Action] = []
        for interface in self._expiries.due(now):
            self._updates[interface].handoff = HandoffIndicator.UNKNOWN
            actions += self._outcomes.denied(interface, now)
        for interface in self._refreshes.due(now):
            actions += self._refresh(self._updates[interface], now)
        for interface, _ in self._registering.due(now):
            actions += self._send(self._updates[interface], now)
        for interface in self._delayed.due(now):
            actions += self._send(self._updates[interface], now)
        for interface in self._ends.due(now):
            self.forget(interface)
        for interface in self._forgotten.due(now):
            del self._spent[interface]
        return actions

    def stop(self, now: float) -> list[Action]:
        """De-register every interface, once."""
        staying = [interface for interface in self._updates if interface not in self._leaving]
        return [action for interface in staying for action in self.deregister(interface, now)]

    def _stands(self, update: BindingUpdate) -> bool:
        """Whether the LMA is to have a binding."""
        return not update.refused and update.interface not in self._leaving

    def _answered(self, message: ProxyBindingAcknowledgement) -> BindingUpdate | None:
        """The entry that a PBA is about: the one of its options, or else the only one that waits for its sequence number; or the only one
        of its node that waits, where the number is not the PBU's (RFC 5213, 6.9.1.2 (5))."""
        named = self._updates.get(Interface.named(message.mn_id, message.link_layer_identifier))
        if named is not None and self._awaits(named, message):
            return named
        awaiting = [update for update in self._updates.values() if self._awaits(update, message)]
        waiting = [update for update in awaiting if message.sequence in update.sent]
        if not waiting and message.link_layer_identifier is None:
            waiting = [update for update in awaiting if update.interface.mn_id == message.mn_id]
        return waiting[0] if len(waiting) == 1 else None

    def _awaits(self, update: BindingUpdate, message: ProxyBindingAcknowledgement) -> bool:
        if update.interface not in self._registering and update.interface not in self._leaving:
            return False
        return message.sequence in update.sent or self._out_of_window(message)

    def _out_of_window(self, message: ProxyBindingAcknowledgement) -> bool:
        """Whether its sequence number is not the one of the PBU, but the last that the LMA accepted (RFC 6275, 9.5.1)."""
        return message.status == Status.SEQUENCE_NUMBER_OUT_OF_WINDOW and self._counted

    def _accepted(
        self, update: BindingUpdate, prefixes: tuple[IPv6Network, ...], message: ProxyBindingAcknowledgement, now: float
    ) -> list[Action]:
        """Note a binding; its lifetime counts from when the PBU was sent (RFC 6275, 11.7.3)."""
        interface, began = update.interface, update.sent[message.sequence].at
        lifetime = lifetime_seconds(message.lifetime)
        self._pause(interface)
        self._refreshes.set(interface, max(began + _refresh(message.sequence) * lifetime, now + self._settings.binding_timeout))
        self._expiries.set(interface, began + lifetime)
        update.prefixes = prefixes
        given = None
        if update.link_local is not None and message.link_local_address is not None and int(message.link_local_address):
            given = update.link_local = message.link_local_address
        return self._outcomes.accepted(interface, prefixes, given, now)

    def _refused(self, update: BindingUpdate, message: ProxyBindingAcknowledgement, now: float) -> list[Action]:
        """Deny the node service (RFC 5213, 6.9.1.2 (11)), and do what the status asks for (7 to 10)."""
        self._refreshes.cancel(update.interface)
        self._expiries.cancel(update.interface)
        otherwise = self._stop_asking
        if update.handoff is HandoffIndicator.NOT_CHANGED:
            update.handoff = HandoffIndicator.UNKNOWN
            otherwise = self._ask_anew
        denied = self._outcomes.denied(update.interface, now)
        return denied + self._remedies.get(message.status, otherwise)(update, message, now)

    def _ask_anew(self, update: BindingUpdate, message: ProxyBindingAcknowledgement, now: float) -> list[Action]:
        """Try once more, as a first registration: the LMA may only not know the binding that it was to extend."""
        return self._register(update, now)

    def _stop_asking(self, update: BindingUpdate, message: ProxyBindingAcknowledgement, now: float) -> list[Action]:
        self._give_up(update)
        update.refused = True
        return []

    def _bar(self, update: BindingUpdate, message: ProxyBindingAcknowledgement, now: float) -> list[Action]:
        self._barred.add(update.interface.mn_id)
        return self._stop_asking(update, message, now)

    def _ask_for_any_prefix(self, update: BindingUpdate, message: ProxyBindingAcknowledgement, now: float) -> list[Action]:
        if not update.prefixes:
            return self._stop_asking(update, message, now)
        self._unauthorised.add(update.interface)
        update.prefixes = ()
        return self._register(update, now)

    def _go_on(self, update: BindingUpdate, message: ProxyBindingAcknowledgement, now: float) -> list[Action]:
        """Try again as if nothing had come, ever less often: a PBU may come late, clocks are set right, and a refusal may be a fraud.

        The LMA's time sets nothing here, and is not compared with this node's (RFC 5213, 6.9.1.2 (9)).
        """
        return []

    def _go_on_from_sequence(self, update: BindingUpdate, message: ProxyBindingAcknowledgement, now: float) -> list[Action]:
        """Take the LMA's sequence number over (RFC 6275, 11.7.3)."""
        if not self._counted or update.request is None:
            return self._stop_asking(update, message, now)
        update.request = replace(update.request, sequence=message.sequence)
        return self._register(update, now)

    def _register(self, update: BindingUpdate, now: float) -> list[Action]:
        self._registering.begin(update.interface, now)
        return self._begin(update, now)

    def _refresh(self, update: BindingUpdate, now: float) -> list[Action]:
        update.handoff = HandoffIndicator.NOT_CHANGED
        return self._register(update, now)

    def _give_up(self, update: BindingUpdate) -> None:
        """Repeat an update no more."""
        self._registering.end(update.interface)
        self._delayed.cancel(update.interface)

    def _pause(self, interface: Interface) -> None:
        self._registering.end(interface)
        for timers in (self._delayed, self._refreshes, self._expiries):
            timers.cancel(interface)

    def _begin(self, update: BindingUpdate, now: float) -> list[Action]:
        update.sent = {}
        return self._send(update, now)

    def _send(self, update: BindingUpdate, now: float) -> list[Action]:
        """Send a PBU, or send it later where the node has had too many."""
        interface = update.interface
        when = self._rate.take(interface.mn_id, now)
        if interface in self._leaving:
            self._ends.set(interface, when + self._settings.binding_timeout)
        if when > now:
            self._delayed.set(interface, when)
            return []
        update.request = self._request(update, now)
        update.sent[update.request.sequence] = SentUpdate(update.request, now)
        if self._counted:
            self._spent[interface] = update.request
            self._forgotten.set(interface, now + lifetime_seconds(self._lifetime) + self._settings.binding_delete_delay)
        assert self._config.lma is not None, "a scheme of binding updates has an LMA"
        return [Send(update.request, self._config.lma)]

    def _request(self, update: BindingUpdate, now: float) -> ProxyBindingUpdate:
        """The next PBU of a session (RFC 5213, 6.9.1.5).

        Without timestamps each session has a sequence number of its own (5.5), and as long as the LMA may still have a binding of an
        interface that left, its next session goes on from there.
        """
        last = update.request
        return ProxyBindingUpdate(
            sequence=self._ordering.sequence() if last is None or not self._counted else (last.sequence + 1) & 0xFFFF,
            lifetime=update.lifetime,
            mn_id=update.interface.mn_id,
            home_network_prefixes=update.prefixes or _ANY_PREFIX,
            handoff_indicator=update.handoff,
            access_technology=update.access_technology,
            link_layer_identifier=update.interface.known_identifier,
            link_local_address=update.link_local,
            timestamp=None if self._counted else self._timestamp(update, now),
        )

    def _timestamp(self, update: BindingUpdate, now: float) -> int:
        """The time, or what the node itself gave for it, a little later in each PBU (RFC 5213, 5.5 (3) and (6))."""
        own = update.timestamp
        if own is None or self._settings.message_order is not MessageOrder.NODE_TIMESTAMP:
            return self._ordering.timestamp(now)
        update.timestamp = own + 1
        return own


def _refresh(sequence: int) -> float:
    """The part of its lifetime after which a binding is registered again whose PBU had this sequence number.

    Nodes that have come at one moment do not all come due at another: of any consecutive numbers the parts lie evenly between the two
    bounds, as multiples of the golden ratio do modulo 1.
    """
    return REFRESH - (REFRESH - EARLIEST_REFRESH) * (sequence * _GOLDEN_RATIO % 1)


def _altered(message: ProxyBindingAcknowledgement, request: ProxyBindingUpdate | None) -> bool:
    """Whether an option that the LMA is to return has come back with another value (RFC 5213, 6.9.1.2 (6))."""
    pairs = ((getattr(message, name), getattr(request, name)) for name in _ECHOED)
    return any(returned is not None and returned != sent for returned, sent in pairs)
