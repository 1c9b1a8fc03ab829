"""The Mobile Access Gateway as a plain object: PMIP (RFC 5213, 6; RFC 6705), S-PMIP and SD-PMIP (draft, 3.2.3 and 3.3.2), plain routing.

Mag composes parts, each with state of its own: the registrar (what the LMA knows), the resolver (queries and learnt
routes), localized routes, the handover policy, heartbeats and revocations; its own are the access links.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv6Address, IPv6Network
from types import MappingProxyType

from agents.actions import (
    Action,
    Advertise,
    AssignLinkLocal,
    Drop,
    DropReason,
    Ignore,
    IgnoreReason,
    InstallAccessRoute,
    InstallUplink,
    ProbePath,
    Release,
    RemoveAccessRoute,
    RemoveUplink,
    Send,
)
from agents.bindings import AccessLinks, Attachment, Interface
from agents.config import FIXED_LINK_LOCAL, AgentConfig
from agents.heartbeat import Heartbeats, Sessions
from agents.hop_limit import crossing
from agents.interface_identifier import link_local
from agents.localized_routing import LocalizedRoutes
from agents.messages import (
    AccessTechnologyType,
    BindingRevocationAcknowledgement,
    BindingRevocationIndication,
    HandoffIndicator,
    Heartbeat,
    LocalizedRoutingInitiation,
    Message,
    NotificationReason,
    ProxyBindingAcknowledgement,
    ProxyBindingUpdate,
    RevocationStatus,
    RevocationTrigger,
    Status,
    UpdateNotification,
)
from agents.ordering import Ordering
from agents.policies import POLICIES
from agents.profiles import Profile
from agents.queries import Resolver
from agents.registration import Outcomes, Registrar
from agents.revocation import HANDOVERS, Responder, RevocationOutcome, Revocations, concerns, revoked
from agents.schemes import Delivery, Query
from agents.timers import Timers, earliest

ROUTER_LIFETIME = 1800
"""Router Lifetime of the advertisements, in s (RFC 4861, 6.2.1 AdvDefaultLifetime)."""

ADVERTISEMENT_INTERVAL = 600.0
"""s between unsolicited advertisements on one link (RFC 4861, 6.2.1 MaxRtrAdvInterval)."""

_IPV6_HEADER = 40

_NOTHING_TO_REVOKE: Mapping[int, RevocationStatus] = MappingProxyType(
    {RevocationTrigger.REVOKING_MOBILITY_NODE_LOCAL_POLICY: RevocationStatus.REVOKED_MOBILE_NODES_IDENTITY_REQUIRED}
)
"""What a BRI is answered that revokes nothing here (RFC 5846, 9.1), unless the binding does not exist (6.2.1)."""


class Mag:
    """One MAG. Its methods return what is to be done, in order; ``now`` is its own clock, in s since 1970."""

    def __init__(self, config: AgentConfig, now: float, sequence: int = 0, restarts: int = 0) -> None:
        """``restarts`` is how often it has started before and lost its state (RFC 5847, 3.2)."""
        self._config = config
        self._scheme = config.scheme
        self._agents = config.agents
        self._profiles = config.profiles.by_mn_id
        self._links = AccessLinks()
        self._advertisements: Timers[str] = Timers()
        self._probes: Timers[IPv6Address] = Timers()
        if config.lma is not None and config.settings.path_probe:
            self._probes.set(config.lma, now)
        ordering = Ordering(sequence)
        self._registrar = Registrar(config, ordering, Outcomes(self._accepted, self._denied))
        self._resolver = Resolver(config, ordering)
        self._localized = LocalizedRoutes(config, ordering, self._links)
        self._policy = POLICIES[config.policy].mag(config, ordering, self._resolver)
        anchors = () if config.lma is None else (config.lma,)
        sessions = Sessions(self._registered, self._forgotten)
        self._heartbeats = Heartbeats(config.settings, anchors, sessions, restarts, now)
        self._revocations = Revocations(config.settings, ordering, Responder(self._revoke))

    @property
    def attachments(self) -> tuple[Attachment, ...]:
        """The nodes on its access links."""
        return tuple(self._links)

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
        """The node ``mn_id`` has appeared on an access link, with one of its interfaces.

        Without a policy profile that entitles it to mobility it gets no service (RFC 5213, 6.14). ``handoff`` is what the link layer
        knows of how it came there (6.9.1.1 (4) and (5)); ``timestamp`` is of the node's own making (5.5), as the option has it.
        """
        interface = Interface.named(mn_id, link_layer)
        before = self._links.on(link)
        if before is not None and before.interface == interface:
            return self.solicited(link, now)
        actions = self.detached(link, now)
        profile = self._profiles.get(mn_id)
        if profile is None or not profile.mobility:
            return actions
        if (elsewhere := self._links.of_interface(interface)) is not None:
            actions += self._leave(elsewhere, now)
        expected = self._policy.expects(interface)
        prefixes = expected or self._prefixes(profile, handoff)
        if not prefixes and not self._scheme.binding_update:
            return actions
        if expected and handoff is HandoffIndicator.UNKNOWN:
            handoff = HandoffIndicator.BETWEEN_MAGS
        attachment = Attachment(link, *interface, prefixes, handoff, access_technology, timestamp)
        if self._scheme.binding_update:
            self._links.add(attachment)
            actions += self._resolver.at_home(prefixes) + self._localized.at_home(prefixes)
            actions += self._registrar.register(attachment, now, served=bool(expected))
            return actions + (self._serve(attachment, now) if expected else [])
        actions += self._take_over(prefixes, now)
        self._links.add(attachment)
        return actions + self._resolver.at_home(prefixes) + self._serve(attachment, now)

    def leaving(self, link: str, to: IPv6Address, now: float) -> list[Action]:
        """The node on an access link is about to leave for the MAG ``to``; nothing happens where there is none, or it is not served."""
        attachment = self._links.on(link)
        return self._policy.leaving(attachment, to, now) if attachment is not None and attachment.served else []

    def detached(self, link: str, now: float) -> list[Action]:
        """The node on an access link has gone, or the link has; nothing happens where there was none."""
        attachment = self._links.on(link)
        if attachment is None:
            return []
        if self._handed_over(attachment):
            self._registrar.forget(attachment.interface)
        return self._leave(attachment, now) + self._registrar.deregister(attachment.interface, now)

    def solicited(self, link: str, now: float, source: IPv6Address | None = None) -> list[Action]:
        """A Router Solicitation came from ``source``; it is answered once the node is registered (RFC 5213, 6.9.2)."""
        attachment = self._links.on(link)
        if attachment is None:
            return []
        if source is not None and source.is_link_local:
            attachment.node_link_local = source
        return [self._advertise(attachment, now)] if attachment.served else []

    def path_changed(self, now: float) -> list[Action]:
        """The path to the LMA has another MTU: tell every node, by an advertisement (RFC 5213, 6.9.5)."""
        return [self._advertise(attachment, now) for attachment in self._links if attachment.served]

    def receive(self, message: Message, source: IPv6Address, now: float, link: str | None = None) -> list[Action]:
        """Take in a message from ``source``; ``link`` names the access link that it came from, if it did."""
        if link is not None:
            return [Ignore(IgnoreReason.FROM_ACCESS_LINK, source)]
        if source not in self._agents:
            return [Ignore(IgnoreReason.UNKNOWN_SENDER, source)]
        if source == self._config.address:
            return [Ignore(IgnoreReason.NOT_OURS, source)]
        if isinstance(message, ProxyBindingUpdate):
            return self._asked(message, source)
        if isinstance(message, ProxyBindingAcknowledgement):
            return self._resolver.answered(message, source, now) if message.query else self._registrar.receive(message, source, now)
        if isinstance(message, LocalizedRoutingInitiation) and self._scheme.localized_routing:
            return self._localized.receive(message, source, now)
        if isinstance(message, Heartbeat):
            return self._heartbeats.receive(message, source, now)
        if isinstance(message, BindingRevocationIndication | BindingRevocationAcknowledgement):
            return self._revocations.receive(message, source, now)
        if isinstance(message, UpdateNotification) and message.notification_reason == NotificationReason.FORCE_REREGISTRATION:
            return self._registrar.notified(message, source, now)
        return self._heartbeats.unsupported(message, source, now) or self._policy.receive(message, source, now)

    def malformed(self, source: IPv6Address, now: float) -> list[Action]:
        """Octets came from ``source`` that are no message."""
        return [Ignore(IgnoreReason.MALFORMED, source)]

    def refused(self, reason: IgnoreReason, message: Message, source: IPv6Address, now: float) -> list[Action]:
        """A message came from ``source`` that is not to be trusted."""
        return [Ignore(reason, source)]

    def packet_for(self, hoa: IPv6Address, packet: bytes, now: float) -> list[Action]:
        """A packet for ``hoa`` found no route in the kernel; its source address tells the access link.

        Nothing is forwarded for a node without a binding (RFC 5213, 6.10.5); what this MAG itself sends is.
        """
        if hoa not in self._config.home:
            return [Drop((packet,), DropReason.NOT_HOME)]
        source = IPv6Address(packet[8:24])
        sender = self._links.match(source)
        if source != self._config.address and (sender is None or not sender[1].served):
            return [Drop((packet,), DropReason.NOT_BOUND)]
        here = self._links.match(hoa)
        if here is not None and here[1].served:
            return [Release((packet,), None)]
        if self._scheme.query is Query.NONE:
            return [Drop((packet,), DropReason.NOT_ATTACHED)]
        if here is not None:
            return self._resolver.hold(hoa, packet, now)
        return self._resolver.packet_for(hoa, packet, sender[1].link if sender else None, now)

    def tunnelled(self, packet: bytes, source: IPv6Address, now: float, multicast: bool = False) -> list[Action]:
        """``packet`` came through a tunnel from ``source``, or with ``multicast`` to the group, and has no access route here."""
        if len(packet) < _IPV6_HEADER:
            return [Ignore(IgnoreReason.MALFORMED, source)]
        if source not in self._agents or source == self._config.address:
            return [Ignore(IgnoreReason.UNKNOWN_SENDER, source), Drop((packet,), DropReason.NOT_ATTACHED)]
        hoa = IPv6Address(packet[24:40])
        if hoa not in self._config.home:
            return [Drop((packet,), DropReason.NOT_HOME)]
        if self._scheme.localized_routing:
            told = self._localized.stray(IPv6Address(packet[8:24]), hoa, source, now)
            return [Drop((packet,), DropReason.NOT_ATTACHED), *told]
        here = self._links.match(hoa)
        if here is not None:
            if here[1].served:
                return crossing(packet, lambda crossed: [Release((crossed,), None)])
            return self._policy.early(hoa, packet, now)
        return [Drop((packet,), DropReason.NOT_ATTACHED)] if multicast else self._policy.stray(hoa, packet, source, now)

    @property
    def next_timeout(self) -> float | None:
        """When ``timeout`` is to be called, or None where nothing waits."""
        parts = self._registrar, self._resolver, self._localized, self._policy, self._heartbeats, self._revocations
        return earliest(*(part.next_timeout for part in parts), self._advertisements.next, self._probes.next)

    def timeout(self, now: float) -> list[Action]:
        """Do what is due: repeat messages, renew or withdraw routes, drop packets held for too long, advertise, probe."""
        parts = self._heartbeats, self._registrar, self._resolver, self._localized, self._policy, self._revocations
        actions = [action for part in parts for action in part.timeout(now)]
        for link in self._advertisements.due(now):
            actions += self.solicited(link, now)
        for anchor in self._probes.due(now):
            self._probes.set(anchor, now + self._config.settings.path_probe)
            actions.append(ProbePath(anchor))
        return actions

    def stop(self, now: float) -> list[Action]:
        """Withdraw everything: advertisements, routes, registrations; packets that wait are dropped."""
        actions: list[Action] = []
        for attachment in self._links:
            if attachment.served:
                actions += [Advertise(attachment.link, attachment.prefixes, 0), *self._withdraw(attachment)]
        return actions + self._resolver.stop() + self._localized.stop() + self._revoke_all(now) + self._registrar.stop(now)

    def _prefixes(self, profile: Profile, handoff: HandoffIndicator) -> tuple[IPv6Network, ...]:
        """The prefixes to ask for, or to host: those of the profile, of a session handed over those that it has.

        A new interface has a session of its own (RFC 5213, 6.9.1.1 (4)): the LMA chooses its prefixes, or they are what others leave.
        The LMA also tells which prefixes of the profile are an interface's, where they are those of several.
        """
        if not self._scheme.home_prefixes:
            routed = profile.routed_prefixes.get(self._config.name)
            return () if routed is None else (routed,)
        others = self._links.of_mn_id(profile.mn_id)
        if handoff is HandoffIndicator.NEW_INTERFACE:
            taken = {prefix for other in others for prefix in other.prefixes}
            return () if self._scheme.binding_update else tuple(p for p in profile.home_network_prefixes if p not in taken)
        if handoff is HandoffIndicator.BETWEEN_INTERFACES and len(others) == 1:
            return others[0].prefixes
        several = profile.session_prefixes is not None and profile.session_prefixes < len(profile.home_network_prefixes)
        return () if several and self._scheme.binding_update else profile.home_network_prefixes

    def _handed_over(self, attachment: Attachment) -> bool:
        """Whether another interface of the node is taking this one's session over."""
        others = (other for other in self._links.of_mn_id(attachment.mn_id) if other is not attachment)
        takers = (other for other in others if other.handoff is HandoffIndicator.BETWEEN_INTERFACES)
        return any(set(other.prefixes) & set(attachment.prefixes) for other in takers)

    def _take_over(self, prefixes: tuple[IPv6Network, ...], now: float, to: Attachment | None = None) -> list[Action]:
        """These prefixes go to another interface: the ones that had them lose their sessions."""
        actions: list[Action] = []
        for prefix in prefixes:
            holder = self._links.of_prefix(prefix)
            if holder is not None and holder is not to:
                self._registrar.forget(holder.interface)
                actions += self._deny(holder, now) + self._leave(holder, now)
        return actions

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

    def _registered(self, anchor: IPv6Address) -> bool:
        return self._registrar.bound

    def _forgotten(self, anchor: IPv6Address, before: float, now: float) -> list[Action]:
        """The LMA has restarted: register every node anew; meanwhile they are served, and learnt routes stand until they lapse.

        Localized routes end, as the LMA that knew of them would tell when a node moves.
        """
        return self._localized.stop() + self._registrar.renew(self._registrar.updates, now)

    def _revoke(self, indication: BindingRevocationIndication, source: IPv6Address, now: float) -> RevocationOutcome:
        """The LMA revokes bindings: deny their nodes service, and tell it no more of them (RFC 5846, 9.1)."""
        options = indication.mn_id, indication.alternate_care_of, *indication.home_network_prefixes
        if indication.trigger == RevocationTrigger.PER_PEER_POLICY and any(option is not None for option in options):
            return RevocationOutcome(RevocationStatus.REVOCATION_FUNCTION_NOT_SUPPORTED)
        own = self._config.address
        updates = self._registrar.updates if source == self._config.lma else ()
        ended = [update for update in updates if concerns(indication, own, update.interface.mn_id, update.prefixes, own)]
        if not ended:
            return RevocationOutcome(_NOTHING_TO_REVOKE.get(indication.trigger, RevocationStatus.BINDING_DOES_NOT_EXIST))
        attachments = [here for update in ended if (here := self._links.of_interface(update.interface)) is not None]
        if attachments and indication.trigger in HANDOVERS:
            return RevocationOutcome(RevocationStatus.REVOCATION_FAILED_MN_IS_ATTACHED)
        for update in ended:
            self._registrar.revoke(update.interface)
        prefixes = (prefix for update in ended for prefix in update.prefixes)
        return revoked(indication, prefixes, (action for here in attachments for action in self._deny(here, now)))

    def _revoke_all(self, now: float) -> list[Action]:
        """Revoke every binding at once, if there are any and the domain lets MAGs do that (RFC 5846, 9.2)."""
        if self._config.lma is None or not self._config.settings.revocation_bulk or not self._registrar.bound:
            return []
        for update in self._registrar.updates:
            self._registrar.revoke(update.interface)
        return self._revocations.begin(self._config.lma, RevocationTrigger.PER_PEER_POLICY, now, self._config.name)

    def _accepted(
        self, interface: Interface, prefixes: tuple[IPv6Network, ...], link_local: IPv6Address | None, now: float
    ) -> list[Action]:
        """The LMA has registered an interface, or refreshed its binding; prefixes that it had before are withdrawn (RFC 5213, 6.12)."""
        attachment = self._attachment(interface)
        assert self._config.lma is not None, "a scheme of binding updates has an LMA"
        self._heartbeats.watch(self._config.lma, now)
        if attachment.served and attachment.prefixes == prefixes:
            return []
        actions = self._take_over(prefixes, now, attachment)
        withdrawn: tuple[IPv6Network, ...] = ()
        if attachment.served:
            withdrawn = tuple(prefix for prefix in attachment.prefixes if prefix not in prefixes)
            actions += self._withdraw(attachment)
        self._links.remove(attachment)
        attachment.prefixes = prefixes
        self._links.add(attachment)
        actions += self._resolver.at_home(prefixes) + self._localized.at_home(prefixes)
        return actions + self._serve(attachment, now, link_local, withdrawn)

    def _denied(self, interface: Interface, now: float) -> list[Action]:
        """The LMA refuses an interface, or its binding has ended: it gets no service (RFC 5213, 6.9.1.2 (11))."""
        return self._deny(self._attachment(interface), now)

    def _attachment(self, interface: Interface) -> Attachment:
        attachment = self._links.of_interface(interface)
        assert attachment is not None, "a registration ends when its interface leaves"
        return attachment

    def _deny(self, attachment: Attachment, now: float) -> list[Action]:
        if not attachment.served:
            return []
        attachment.served = False
        self._advertisements.cancel(attachment.link)
        localized = self._localized.left(attachment.prefixes, now)
        return [Advertise(attachment.link, attachment.prefixes, 0), *localized, *self._withdraw(attachment)]

    def _assign_link_local(self, attachment: Attachment, given: IPv6Address | None, now: float) -> list[Action]:
        """Use the LMA's link-local address, or where the node has that one, the one that RFC 6543 keeps free, and say so (6.9.1.2 (15))."""
        if int(self._config.settings.link_local):
            return []
        in_use = {attachment.node_link_local, _link_local_of(attachment.link_layer_identifier)}
        if given is not None and given not in in_use:
            return [AssignLinkLocal(attachment.link, given)]
        told = self._registrar.tell_link_local(attachment.interface, FIXED_LINK_LOCAL, now) if given is not None else []
        return [AssignLinkLocal(attachment.link, FIXED_LINK_LOCAL), *told]

    def _serve(
        self,
        attachment: Attachment,
        now: float,
        link_local: IPv6Address | None = None,
        withdrawn: tuple[IPv6Network, ...] = (),
    ) -> list[Action]:
        attachment.served = True
        actions = self._assign_link_local(attachment, link_local, now)
        actions += [InstallAccessRoute(prefix, attachment.link) for prefix in attachment.prefixes]
        if self._scheme.delivery is Delivery.DATA_DRIVEN and self._config.lma is not None:
            actions.append(InstallUplink(attachment.link, self._config.lma))
        actions.append(self._advertise(attachment, now, withdrawn))
        return actions + self._policy.served(attachment, now) + self._resolver.deliver(attachment.prefixes)

    def _leave(self, attachment: Attachment, now: float) -> list[Action]:
        self._links.remove(attachment)
        self._advertisements.cancel(attachment.link)
        self._resolver.link_gone(attachment.link)
        self._policy.left(attachment, now)
        return self._localized.left(attachment.prefixes, now) + (self._withdraw(attachment) if attachment.served else [])

    def _withdraw(self, attachment: Attachment) -> list[Action]:
        uplink: list[Action] = [RemoveUplink(attachment.link)] if self._scheme.delivery is Delivery.DATA_DRIVEN else []
        return uplink + [RemoveAccessRoute(prefix, attachment.link) for prefix in attachment.prefixes]

    def _advertise(self, attachment: Attachment, now: float, withdrawn: tuple[IPv6Network, ...] = ()) -> Action:
        self._advertisements.set(attachment.link, now + ADVERTISEMENT_INTERVAL)
        return Advertise(attachment.link, attachment.prefixes, ROUTER_LIFETIME, withdrawn)


def _link_local_of(link_layer: bytes) -> IPv6Address | None:
    """The address that a node gives itself by its link-layer address (RFC 4291, appendix A; RFC 4862, 5.3)."""
    if len(link_layer) != 6:
        return None
    return IPv6Address(link_local(link_layer))
