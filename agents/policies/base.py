"""What a handover policy can add to a MAG and to the LMA: the hooks, which here add nothing."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network

from agents.actions import Action, Drop, DropReason, Ignore, IgnoreReason
from agents.bindings import Attachment, Binding, Interface
from agents.config import AgentConfig
from agents.messages import Message
from agents.ordering import Ordering
from agents.queries import Resolver


class _Policy:
    """What a policy adds to an agent of either kind."""

    def receive(self, message: Message, source: IPv6Address, now: float) -> list[Action]:
        """A message came that no other part of the agent takes."""
        return [Ignore(IgnoreReason.UNEXPECTED, source)]

    @property
    def next_timeout(self) -> float | None:
        """When ``timeout`` is to be called."""
        return None

    def timeout(self, now: float) -> list[Action]:
        """Do what is due."""
        return []


class MagPolicy(_Policy):
    """What a policy adds to a MAG; this one adds nothing."""

    def __init__(self, config: AgentConfig, ordering: Ordering, resolver: Resolver) -> None:
        self._config = config
        self._ordering = ordering
        self._resolver = resolver

    def stray(self, hoa: IPv6Address, packet: bytes, source: IPv6Address, now: float) -> list[Action]:
        """``source`` tunnelled a packet for ``hoa``, which is not attached here."""
        return [Drop((packet,), DropReason.NOT_ATTACHED)]

    def early(self, hoa: IPv6Address, packet: bytes, now: float) -> list[Action]:
        """A packet came through a tunnel for ``hoa``, which is attached here and not yet registered."""
        return [Drop((packet,), DropReason.NOT_ATTACHED)]

    def leaving(self, attachment: Attachment, to: IPv6Address, now: float) -> list[Action]:
        """The link layer tells that a node is about to leave for the MAG ``to`` (RFC 5949, 4.1)."""
        return []

    def left(self, attachment: Attachment, now: float) -> None:
        """A node is attached here no longer."""

    def expects(self, interface: Interface) -> tuple[IPv6Network, ...]:
        """The prefixes of the session that another MAG has handed over with a node that comes, so that it can be served at once
        (RFC 5949, 4.1); none where it has not."""
        return ()

    def served(self, attachment: Attachment, now: float) -> list[Action]:
        """A node is reachable here from now on."""
        return []


class LmaPolicy(_Policy):
    """What a policy adds to the LMA; this one adds nothing."""

    def __init__(self, config: AgentConfig, ordering: Ordering) -> None:
        self._config = config
        self._ordering = ordering

    def asked(self, prefix: IPv6Network, mag: IPv6Address, lifetime: float, now: float) -> None:
        """A MAG was told where ``prefix`` is and relies on it for ``lifetime`` s."""

    def moved(self, binding: Binding, now: float) -> list[Action]:
        """A binding has a care-of address that it had not before."""
        return []
