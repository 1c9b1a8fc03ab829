"""The Mobile Access Gateway as a plain object: PMIP (RFC 5213, 6), S-PMIP and SD-PMIP (draft, 3.2.3 and 3.3.2), plain routing.

Mag composes three parts, each with state of its own: the registrar (what the LMA knows), the resolver (queries and learnt
routes) and the handover policy; its own are the access links.
"""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network

from agents.actions import (
    Action,
    Advertise,
    Drop,
    DropReason,
    Ignore,
    IgnoreReason,
    InstallAccessRoute,
    InstallUplink,
    Release,
    RemoveAccessRoute,
    RemoveUplink,
    Send,
)
from agents.bindings import AccessLinks, Attachment
from agents.config import AgentConfig, Profile, profiles_by_mn_id
from agents.messages import Message, ProxyBindingAcknowledgement, ProxyBindingUpdate, Status
from agents.ordering import Ordering
from agents.policies import POLICIES
from agents.queries import Resolver
from agents.registration import Outcomes, Registrar
from agents.schemes import Delivery, Query
from agents.timers import Timers, earliest

ROUTER_LIFETIME = 1800
"""Router Lifetime of the advertisements, in s (RFC 4861, 6.2.1 AdvDefaultLifetime)."""

ADVERTISEMENT_INTERVAL = 600.0
"""s between unsolicited advertisements on one link (RFC 4861, 6.2.1 MaxRtrAdvInterval)."""

_IPV6_HEADER = 40


class Mag:
    """One MAG. Its methods return what is to be done, in order; ``now`` is its own clock, in s since 1970."""

    def __init__(self, config: AgentConfig, now: float, sequence: int = 0) -> None:
        self._config = config
        self._scheme = config.scheme
        self._peers = config.mags if config.lma is None else config.mags | {config.lma}
        self._profiles = profiles_by_mn_id(config.profiles)
        self._links = AccessLinks()
        self._advertisements: Timers[str] = Timers()
        ordering = Ordering(sequence)
        self._registrar = Registrar(config, ordering, Outcomes(self._accepted, self._denied))
        self._resolver = Resolver(config, ordering)
        self._policy = POLICIES[config.policy].mag(config, ordering, self._resolver)

    @property
    def attachments(self) -> tuple[Attachment, ...]:
        """The nodes on its access links."""
        return tuple(self._links)

    def attached(self, link: str, mn_id: str, link_layer: bytes, now: float) -> list[Action]:
        """The node ``mn_id`` has appeared on an access link; without a policy profile it gets no service."""
        profile = self._profiles.get(mn_id)
        prefixes = self._prefixes(profile) if profile else ()
        before = self._links.on(link)
        if before is not None and (before.mn_id, before.link_layer_identifier) == (mn_id, link_layer):
            return self.solicited(link, now)
        actions = self.detached(link, now)
        if not prefixes:
            return actions
        if (elsewhere := self._links.of_mn_id(mn_id)) is not None:
            actions += self._leave(elsewhere)
        attachment = Attachment(link, mn_id, link_layer, prefixes)
        self._links.add(attachment)
        actions += self._resolver.at_home(prefixes)
        if self._scheme.binding_update:
            return actions + self._registrar.register(mn_id, link_layer, prefixes, now)
        return actions + self._serve(attachment, now)

    def detached(self, link: str, now: float) -> list[Action]:
        """The node on an access link has gone, or the link has; nothing happens where there was none."""
        attachment = self._links.on(link)
        if attachment is None:
            return []
        return self._leave(attachment) + self._registrar.deregister(attachment.mn_id, now)

    def solicited(self, link: str, now: float) -> list[Action]:
        """A Router Solicitation came; it is answered once the node is registered (RFC 5213, 6.9.2)."""
        attachment = self._links.on(link)
        return [self._advertise(attachment, now)] if attachment is not None and attachment.served else []

    def receive(self, message: Message, source: IPv6Address, now: float, link: str | None = None) -> list[Action]:
        """Take in a message from ``source``; ``link`` names the access link that it came from, if it did."""
        if link is not None:
            return [Ignore(IgnoreReason.FROM_ACCESS_LINK, source)]
        if source not in self._peers:
            return [Ignore(IgnoreReason.UNKNOWN_SENDER, source)]
        if source == self._config.address:
            return [Ignore(IgnoreReason.NOT_OURS, source)]
        if isinstance(message, ProxyBindingUpdate):
            return self._asked(message, source)
        if isinstance(message, ProxyBindingAcknowledgement):
            return self._resolver.answered(message, source, now) if message.query else self._registrar.receive(message, source, now)
        return self._policy.receive(message, source, now)

    def malformed(self, source: IPv6Address, now: float) -> list[Action]:
        """Octets came from ``source`` that are no message."""
        return [Ignore(IgnoreReason.MALFORMED, source)]

    def packet_for(self, hoa: IPv6Address, packet: bytes, now: float) -> list[Action]:
        """A packet for ``hoa`` found no route in the kernel; its source address tells the access link."""
        if hoa not in self._config.home:
            return [Drop((packet,), DropReason.NOT_HOME)]
        here = self._links.match(hoa)
        if here is not None and here[1].served:
            return [Release((packet,), None)]
        if self._scheme.query is Query.NONE:
            return [Drop((packet,), DropReason.NOT_ATTACHED)]
        if here is not None:
            return self._resolver.hold(hoa, packet, now)
        sender = self._links.match(IPv6Address(packet[8:24]))
        return self._resolver.packet_for(hoa, packet, sender[1].link if sender else None, now)

    def tunnelled(self, packet: bytes, source: IPv6Address, now: float, multicast: bool = False) -> list[Action]:
        """``packet`` came through a tunnel from ``source``, or with ``multicast`` to the group, and has no access route here."""
        if len(packet) < _IPV6_HEADER:
            return [Ignore(IgnoreReason.MALFORMED, source)]
        if source not in self._peers or source == self._config.address:
            return [Ignore(IgnoreReason.UNKNOWN_SENDER, source), Drop((packet,), DropReason.NOT_ATTACHED)]
        hoa = IPv6Address(packet[24:40])
        if hoa not in self._config.home:
            return [Drop((packet,), DropReason.NOT_HOME)]
        here = self._links.match(hoa)
        if here is not None and here[1].served:
            return [Release((packet,), None)]
        told = [] if here is not None or multicast else self._policy.stray(hoa, source, now)
        return [*told, Drop((packet,), DropReason.NOT_ATTACHED)]

    @property
    def next_timeout(self) -> float | None:
        """When ``timeout`` is to be called, or None where nothing waits."""
        return earliest(self._registrar.next_timeout, self._resolver.next_timeout, self._policy.next_timeout, self._advertisements.next)

    def timeout(self, now: float) -> list[Action]:
        """Do what is due: repeat messages, renew or withdraw routes, drop packets held for too long, advertise."""
        actions = self._registrar.timeout(now) + self._resolver.timeout(now) + self._policy.timeout(now)
        for link in self._advertisements.due(now):
            actions += self.solicited(link, now)
        return actions

    def stop(self, now: float) -> list[Action]:
        """Withdraw everything: advertisements, routes, registrations; packets that wait are dropped."""
        actions: list[Action] = []
        for attachment in self._links:
            if attachment.served:
                actions += [Advertise(attachment.link, attachment.prefixes, 0), *self._withdraw(attachment)]
        return actions + self._resolver.stop() + self._registrar.stop(now)

    def _prefixes(self, profile: Profile) -> tuple[IPv6Network, ...]:
        if self._scheme.home_prefixes:
            return profile.home_network_prefixes
        routed = profile.routed_prefixes.get(self._config.name)
        return () if routed is None else (routed,)

    def _asked(self, query: ProxyBindingUpdate, source: IPv6Address) -> list[Action]:
        """Answer a PBQ to the group if its node is here; all other MAGs stay silent (draft, 3.3.1)."""
        if not query.query or self._scheme.query is not Query.MULTICAST:
            return [Ignore(IgnoreReason.UNEXPECTED, source)]
        if not query.home_network_prefixes:
            return [Ignore(IgnoreReason.MALFORMED, source)]
        here = self._links.match(query.home_network_prefixes[0].network_address)
        if here is None or not here[1].served:
            return [Ignore(IgnoreReason.NOT_OURS, source)]
        answer = ProxyBindingAcknowledgement(
            status=Status.ACCEPTED,
            sequence=query.sequence,
            lifetime=query.lifetime,
            query=True,
            home_network_prefixes=(here[0],),
            timestamp=query.timestamp,
            alternate_care_of=self._config.address,
        )
        return [Send(answer, source)]

    def _accepted(self, mn_id: str, prefixes: tuple[IPv6Network, ...], now: float) -> list[Action]:
        """The LMA has registered a node, or refreshed its binding."""
        attachment = self._links.of_mn_id(mn_id)
        assert attachment is not None, "a registration ends when its node leaves"
        if attachment.served and attachment.prefixes == prefixes:
            return []
        actions = self._withdraw(attachment) if attachment.served else []
        self._links.remove(attachment)
        attachment.prefixes = prefixes
        self._links.add(attachment)
        return actions + self._resolver.at_home(prefixes) + self._serve(attachment, now)

    def _denied(self, mn_id: str, now: float) -> list[Action]:
        """The LMA refuses a node: it gets no service (RFC 5213, 6.9.1.2)."""
        attachment = self._links.of_mn_id(mn_id)
        assert attachment is not None, "a registration ends when its node leaves"
        if not attachment.served:
            return []
        attachment.served = False
        self._advertisements.cancel(attachment.link)
        return [Advertise(attachment.link, attachment.prefixes, 0), *self._withdraw(attachment)]

    def _serve(self, attachment: Attachment, now: float) -> list[Action]:
        attachment.served = True
        actions: list[Action] = [InstallAccessRoute(prefix, attachment.link) for prefix in attachment.prefixes]
        if self._scheme.delivery is Delivery.DATA_DRIVEN and self._config.lma is not None:
            actions.append(InstallUplink(attachment.link, self._config.lma))
        actions.append(self._advertise(attachment, now))
        return actions + self._policy.served(attachment, now) + self._resolver.deliver(attachment.prefixes)

    def _leave(self, attachment: Attachment) -> list[Action]:
        self._links.remove(attachment)
        self._advertisements.cancel(attachment.link)
        self._resolver.link_gone(attachment.link)
        self._policy.left(attachment)
        return self._withdraw(attachment) if attachment.served else []

    def _withdraw(self, attachment: Attachment) -> list[Action]:
        uplink: list[Action] = [RemoveUplink(attachment.link)] if self._scheme.delivery is Delivery.DATA_DRIVEN else []
        return uplink + [RemoveAccessRoute(prefix, attachment.link) for prefix in attachment.prefixes]

    def _advertise(self, attachment: Attachment, now: float) -> Action:
        self._advertisements.set(attachment.link, now + ADVERTISEMENT_INTERVAL)
        return Advertise(attachment.link, attachment.prefixes, ROUTER_LIFETIME)
