"""``error``: who is tunnelled a packet for a node that has left says so to the MAG that sent it."""

from __future__ import annotations

from ipaddress import IPv6Address

from agents.actions import Action, Ignore, IgnoreReason, Send
from agents.config import AgentConfig
from agents.messages import BindingError, BindingErrorStatus, Message
from agents.ordering import Ordering, Recent
from agents.policies.base import MagPolicy
from agents.queries import Resolver

BINDING_ERROR_INTERVAL = 0.05
"""s between two Binding Errors to one MAG for one home address: a burst causes one, a lost one is made good by a later packet."""


_MOST_TOLD = 1 << 14


class ErrorMagPolicy(MagPolicy):
    """``error``: who is tunnelled a packet for a node that has left answers with a Binding Error (RFC 6275, 6.1.9).

    Its status is 1, unknown binding, the only one that speaks of a binding. The MAG that receives it drops the route and asks
    anew. An LMA that has not heard of the node's leaving names the same MAG once more; then the next packet brings the next Binding Error.
    """

    def __init__(self, config: AgentConfig, ordering: Ordering, resolver: Resolver) -> None:
        super().__init__(config, ordering, resolver)
        self._told: Recent[tuple[IPv6Address, IPv6Address]] = Recent(BINDING_ERROR_INTERVAL, _MOST_TOLD)

    def stray(self, hoa: IPv6Address, packet: bytes, source: IPv6Address, now: float) -> list[Action]:
        dropped = super().stray(hoa, packet, source, now)
        if source not in self._config.mags or self._told.knows((source, hoa), now):
            return dropped
        self._told.note((source, hoa), now)
        return [Send(BindingError(status=BindingErrorStatus.UNKNOWN_BINDING, home_address=hoa), source), *dropped]

    def receive(self, message: Message, source: IPv6Address, now: float) -> list[Action]:
        if not isinstance(message, BindingError):
            return super().receive(message, source, now)
        if message.status != BindingErrorStatus.UNKNOWN_BINDING:
            return [Ignore(IgnoreReason.UNEXPECTED, source)]
        actions = self._resolver.mistaken(message.home_address, source, now)
        return [Ignore(IgnoreReason.STALE, source)] if actions is None else actions
