"""Registering attached nodes with the LMA: a MAG's Binding Update List (RFC 5213, 6.9.1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network

from agents.actions import Action, Ignore, IgnoreReason, Send
from agents.bindings import BindingUpdate
from agents.config import AgentConfig
from agents.messages import (
    AccessTechnologyType,
    HandoffIndicator,
    ProxyBindingAcknowledgement,
    ProxyBindingUpdate,
    Status,
    lifetime_seconds,
    lifetime_units,
)
from agents.ordering import Ordering
from agents.timers import Exchanges, Timers, earliest

DEREGISTRATION_TRIES = 3
"""How often a de-registration is sent. RFC 5213, 6.9.1.4 lets a MAG give up, and an LMA where the node has
registered anew never answers (5.3.5)."""

REFRESH = 0.75
"""The part of a binding's lifetime after which it is registered again."""

_TRY_AGAIN = frozenset({Status.TIMESTAMP_MISMATCH, Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED})


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Whom to tell what the LMA decided about a node: accepted, with its prefixes, or denied."""

    accepted: Callable[[str, tuple[IPv6Network, ...], float], list[Action]]
    denied: Callable[[str, float], list[Action]]


class Registrar:
    """Keeps the LMA informed of the nodes attached to one MAG."""

    def __init__(self, config: AgentConfig, ordering: Ordering, outcomes: Outcomes) -> None:
        settings = config.settings
        self._config = config
        self._ordering = ordering
        self._outcomes = outcomes
        self._lifetime = lifetime_units(settings.binding_lifetime)
        self._updates: dict[str, BindingUpdate] = {}
        self._registering: Exchanges[str] = Exchanges(settings.binding_timeout, settings.binding_timeout_max)
        self._leaving: Exchanges[str] = Exchanges(settings.binding_timeout, settings.binding_timeout_max, DEREGISTRATION_TRIES)
        self._refreshes: Timers[str] = Timers()

    def register(self, mn_id: str, link_layer_identifier: bytes, prefixes: tuple[IPv6Network, ...], now: float) -> list[Action]:
        """Register a node that has attached (RFC 5213, 6.9.1.1); whether it came by a handoff is not known here."""
        self._leaving.end(mn_id)
        self._refreshes.cancel(mn_id)
        request = self._request(mn_id, link_layer_identifier, prefixes, HandoffIndicator.UNKNOWN, self._lifetime, now)
        self._updates[mn_id] = BindingUpdate(mn_id, link_layer_identifier, prefixes, request, request.sequence)
        self._registering.begin(mn_id, now)
        return [self._send(request)]

    def deregister(self, mn_id: str, now: float) -> list[Action]:
        """De-register a node that has left (RFC 5213, 6.9.1.4), unless the LMA denied it service."""
        update = self._updates.get(mn_id)
        if update is None:
            return []
        self._registering.end(mn_id)
        self._refreshes.cancel(mn_id)
        self._leaving.begin(mn_id, now)
        return [self._begin(update, HandoffIndicator.UNKNOWN, 0, now)]

    def receive(self, message: ProxyBindingAcknowledgement, source: IPv6Address, now: float) -> list[Action]:
        """Take in a PBA (RFC 5213, 6.9.1.2)."""
        if source != self._config.lma:
            return [Ignore(IgnoreReason.UNKNOWN_SENDER, source)]
        update = self._updates.get(message.mn_id or "")
        if update is None or not self._awaits(update, message.sequence):
            return [Ignore(IgnoreReason.UNMATCHED, source)]
        if update.mn_id in self._leaving:
            return self._left(update.mn_id)
        if message.status in _TRY_AGAIN:
            return []
        self._registering.end(update.mn_id)
        if not _echoes(message, update.request):
            return [Ignore(IgnoreReason.UNMATCHED, source)]
        if message.status >= Status.REASON_UNSPECIFIED:
            del self._updates[update.mn_id]
            return self._outcomes.denied(update.mn_id, now)
        update.prefixes = tuple(dict.fromkeys(message.home_network_prefixes))
        refresh = max(REFRESH * lifetime_seconds(message.lifetime), self._config.settings.binding_timeout)
        self._refreshes.set(update.mn_id, now + refresh)
        return self._outcomes.accepted(update.mn_id, update.prefixes, now)

    @property
    def next_timeout(self) -> float | None:
        """When ``timeout`` is to be called."""
        return earliest(self._registering.next, self._leaving.next, self._refreshes.next)

    def timeout(self, now: float) -> list[Action]:
        """Repeat what was not acknowledged and refresh bindings before they end."""
        actions: list[Action] = []
        for mn_id, _ in self._registering.due(now):
            actions.append(self._again(self._updates[mn_id], now))
        for mn_id, again in self._leaving.due(now):
            actions += [self._again(self._updates[mn_id], now)] if again else self._left(mn_id)
        for mn_id in self._refreshes.due(now):
            self._registering.begin(mn_id, now)
            actions.append(self._begin(self._updates[mn_id], HandoffIndicator.NOT_CHANGED, self._lifetime, now))
        return actions

    def stop(self, now: float) -> list[Action]:
        """De-register every node, once."""
        return [action for mn_id in tuple(self._updates) if mn_id not in self._leaving for action in self.deregister(mn_id, now)]

    def _left(self, mn_id: str) -> list[Action]:
        self._leaving.end(mn_id)
        del self._updates[mn_id]
        return []

    def _awaits(self, update: BindingUpdate, sequence: int) -> bool:
        sent = (update.request.sequence - update.first_sequence) & 0xFFFF
        waits = update.mn_id in self._registering or update.mn_id in self._leaving
        return waits and (sequence - update.first_sequence) & 0xFFFF <= sent

    def _begin(self, update: BindingUpdate, handoff: HandoffIndicator, lifetime: int, now: float) -> Action:
        update.request = self._request(update.mn_id, update.link_layer_identifier, update.prefixes, handoff, lifetime, now)
        update.first_sequence = update.request.sequence
        return self._send(update.request)

    def _again(self, update: BindingUpdate, now: float) -> Action:
        last = update.request
        handoff = HandoffIndicator(last.handoff_indicator or 0)
        update.request = self._request(update.mn_id, update.link_layer_identifier, update.prefixes, handoff, last.lifetime, now)
        return self._send(update.request)

    def _request(
        self,
        mn_id: str,
        link_layer_identifier: bytes,
        prefixes: tuple[IPv6Network, ...],
        handoff: HandoffIndicator,
        lifetime: int,
        now: float,
    ) -> ProxyBindingUpdate:
        return ProxyBindingUpdate(
            sequence=self._ordering.sequence(),
            lifetime=lifetime,
            mn_id=mn_id,
            home_network_prefixes=prefixes,
            handoff_indicator=handoff,
            access_technology=AccessTechnologyType.WIRELESS_LAN,
            link_layer_identifier=link_layer_identifier or None,
            timestamp=self._ordering.timestamp(now),
        )

    def _send(self, request: ProxyBindingUpdate) -> Action:
        assert self._config.lma is not None, "a scheme of binding updates has an LMA"
        return Send(request, self._config.lma)


def _echoes(message: ProxyBindingAcknowledgement, request: ProxyBindingUpdate) -> bool:
    """Whether the LMA returned what RFC 5213, 6.9.1.2 (6) expects of it."""
    return (message.handoff_indicator, message.access_technology, message.link_layer_identifier) == (
        request.handoff_indicator,
        request.access_technology,
        request.link_layer_identifier,
    )
