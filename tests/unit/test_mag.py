"""What a MAG does about its access links itself: the interfaces there, its own address, who is forwarded for, who may speak."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from ipaddress import IPv6Address, IPv6Network

import pytest
from lone_mag import CN, CN_LINK, MN, P1, acknowledge, attach, mag, request_of, serving
from memory_network import EPOCH, LMA, config, hoa_of, link_layer_of, mag_address, mn_id_of, packet, prefix_of, sent
from proxy_binding_updates import MAG1, MAG2

from agents.actions import (
    Advertise,
    AssignLinkLocal,
    Drop,
    DropReason,
    Ignore,
    IgnoreReason,
    InstallAccessRoute,
    InstallUplink,
    Release,
    RemoveAccessRoute,
    RemoveUplink,
    TimeExceeded,
)
from agents.mag import ROUTER_LIFETIME, Mag
from agents.messages import HandoffIndicator, HandoverInitiate, ProxyBindingUpdate, Status
from agents.profiles import Profile, ProfileStore


class TestInterfaces:
    """Two interfaces of a node are two sessions (RFC 5213, 5.4 and 6.9.1.1)."""

    second = staticmethod(partial(Mag.attached, link="lan-air", mn_id=mn_id_of(1), link_layer=b"second", access_technology=3))

    @pytest.mark.parametrize("handoff", [1, 2, 3, 4])
    def test_what_the_link_layer_knows_is_told_to_the_anchor(self, handoff: int) -> None:
        request = request_of(attach(mag("pmip"), handoff=HandoffIndicator(handoff), access_technology=5))
        assert (request.handoff_indicator, request.access_technology) == (handoff, 5)

    def test_a_new_interface_gets_prefixes_from_the_anchor_and_leaves_the_first_alone(self) -> None:
        gateway = serving("pmip")
        request = request_of(self.second(gateway, now=EPOCH, handoff=HandoffIndicator.NEW_INTERFACE))
        assert request.home_network_prefixes == (IPv6Network("::/0"),)
        other = IPv6Network("2001:db8:1ff:1::/64")
        actions = gateway.receive(acknowledge(request, home_network_prefixes=(other,)), LMA, EPOCH)
        assert actions == [
            InstallAccessRoute(other, "lan-air"),
            InstallUplink("lan-air", LMA),
            Advertise("lan-air", (other,), ROUTER_LIFETIME),
        ]
        assert [attachment.served for attachment in gateway.attachments] == [True, True]
        left = request_of(gateway.detached(CN_LINK, EPOCH + 1))
        assert (left.home_network_prefixes, left.link_layer_identifier) == ((prefix_of(1),), link_layer_of(1))
        assert gateway.solicited("lan-air", EPOCH + 1) != []

    def test_each_interface_is_refreshed_by_itself(self) -> None:
        gateway = serving("pmip")
        request = request_of(self.second(gateway, now=EPOCH, handoff=HandoffIndicator.NEW_INTERFACE))
        gateway.receive(acknowledge(request, home_network_prefixes=(prefix_of(9),)), LMA, EPOCH)
        refreshes = [message for message in sent(gateway.timeout(EPOCH + 225)) if isinstance(message, ProxyBindingUpdate)]
        assert [(message.link_layer_identifier, message.home_network_prefixes) for message in refreshes] == [
            (b"second", (prefix_of(9),)),
            (link_layer_of(1), (prefix_of(1),)),
        ]

    def test_a_profile_with_prefixes_for_several_interfaces_leaves_the_choice_to_the_anchor(self) -> None:
        profile = Profile(mn_id_of(1), (prefix_of(1), prefix_of(99)), session_prefixes=1)
        gateway = Mag(replace(config("pmip"), profiles=ProfileStore([profile])), EPOCH)
        request = request_of(attach(gateway))
        assert request.home_network_prefixes == (IPv6Network("::/0"),)
        gateway.receive(acknowledge(request, home_network_prefixes=(prefix_of(99),)), LMA, EPOCH)
        assert gateway.attachments[0].prefixes == (prefix_of(99),)

    def test_all_prefixes_of_a_session_are_named_when_it_is_extended_and_ended(self) -> None:
        gateway = mag("pmip")
        both = prefix_of(1), prefix_of(99)
        gateway.receive(acknowledge(request_of(attach(gateway)), home_network_prefixes=both), LMA, EPOCH)
        assert request_of(gateway.timeout(EPOCH + 225)).home_network_prefixes == both
        assert request_of(gateway.detached(CN_LINK, EPOCH + 226)).home_network_prefixes == both

    def test_a_node_that_another_mag_has_handed_over_is_known_to_come_from_there(self) -> None:
        told = config("s-pmip", "predict")
        profile = Profile(mn_id_of(1), (prefix_of(1), prefix_of(99)), session_prefixes=1)
        gateway = Mag(replace(told, profiles=ProfileStore([profile, *list(told.profiles)[1:]])), EPOCH)
        initiate = HandoverInitiate(
            sequence=1, code=3, mn_id=mn_id_of(1), home_network_prefixes=(prefix_of(99),), link_layer_identifier=link_layer_of(1)
        )
        gateway.receive(initiate, MAG2, EPOCH)
        actions = attach(gateway)
        assert request_of(actions).handoff_indicator == HandoffIndicator.BETWEEN_MAGS
        assert InstallAccessRoute(prefix_of(99), CN_LINK) in actions
        assert request_of(attach(gateway, 2)).handoff_indicator == HandoffIndicator.UNKNOWN

    @pytest.mark.parametrize(("code", "source"), [(2, MAG2), (1, MAG2), (4, MAG2), (3, LMA)])
    def test_only_another_mag_announces_a_node_and_only_by_codes_that_do(self, code: int, source: IPv6Address) -> None:
        gateway = mag("s-pmip", "predict")
        initiate = HandoverInitiate(
            sequence=1, code=code, mn_id=mn_id_of(1), home_network_prefixes=(prefix_of(1),), link_layer_identifier=link_layer_of(1)
        )
        assert gateway.receive(initiate, source, EPOCH) == [Ignore(IgnoreReason.UNEXPECTED, source)]
        assert request_of(attach(gateway)).handoff_indicator == HandoffIndicator.UNKNOWN

    def test_a_handover_between_interfaces_takes_the_session_along(self) -> None:
        gateway = serving("pmip")
        request = request_of(self.second(gateway, now=EPOCH, handoff=HandoffIndicator.BETWEEN_INTERFACES))
        assert request.home_network_prefixes == (prefix_of(1),)
        assert gateway.receive(acknowledge(request), LMA, EPOCH) == [
            Advertise(CN_LINK, (prefix_of(1),), 0),
            RemoveUplink(CN_LINK),
            RemoveAccessRoute(prefix_of(1), CN_LINK),
            InstallAccessRoute(prefix_of(1), "lan-air"),
            InstallUplink("lan-air", LMA),
            Advertise("lan-air", (prefix_of(1),), ROUTER_LIFETIME),
        ]
        assert gateway.detached(CN_LINK, EPOCH + 1) == []
        assert 195 < (gateway.next_timeout or 0) - EPOCH < 225

    def test_the_old_interface_may_leave_before_the_new_one_is_registered(self) -> None:
        gateway = serving("s-pmip")
        request = request_of(self.second(gateway, now=EPOCH, handoff=HandoffIndicator.BETWEEN_INTERFACES))
        assert gateway.detached(CN_LINK, EPOCH) == [RemoveAccessRoute(prefix_of(1), CN_LINK)]
        attach(gateway, 3)
        assert gateway.packet_for(CN, packet(hoa_of(3), CN), EPOCH) == [Drop((packet(hoa_of(3), CN),), DropReason.NOT_BOUND)]
        assert InstallAccessRoute(prefix_of(1), "lan-air") in gateway.receive(acknowledge(request), LMA, EPOCH)

    def test_without_an_anchor_the_newest_interface_has_the_prefixes(self) -> None:
        gateway = serving("sd-pmip", "error")
        actions = self.second(gateway, now=EPOCH)
        assert actions == [
            Advertise(CN_LINK, (prefix_of(1),), 0),
            RemoveAccessRoute(prefix_of(1), CN_LINK),
            InstallAccessRoute(prefix_of(1), "lan-air"),
            Advertise("lan-air", (prefix_of(1),), ROUTER_LIFETIME),
        ]
        assert self.second(gateway, link="x-air", link_layer=b"third!", now=EPOCH, handoff=HandoffIndicator.NEW_INTERFACE) == []


class TestLinkLocalAddress:
    """RFC 5213, 6.8: FixedMAGLinkLocalAddressOnAllAccessLinks is ALL_ZERO."""

    ANY = IPv6Address("::")
    GIVEN = IPv6Address("fe80::1:2")
    RESERVED = IPv6Address("fe80::200:5eff:fe00:5213")

    def test_it_is_asked_for_and_used_before_anything_is_advertised(self) -> None:
        gateway = mag("pmip", link_local=self.ANY)
        request = request_of(attach(gateway))
        assert request.link_local_address == self.ANY
        actions = gateway.receive(acknowledge(request, link_local_address=self.GIVEN), LMA, EPOCH)
        assert actions[0] == AssignLinkLocal(CN_LINK, self.GIVEN)
        assert [type(action) for action in actions].count(Advertise) == 1
        assert request_of(gateway.timeout(EPOCH + 225)).link_local_address == self.GIVEN

    @pytest.mark.parametrize("seen", [True, False])
    def test_an_address_that_the_node_has_is_replaced_and_the_anchor_told_at_once(self, seen: bool) -> None:
        gateway = mag("pmip", link_local=self.ANY)
        request = request_of(attach(gateway))
        own = self.GIVEN if seen else IPv6Address("fe80::ff:fe00:1")
        if seen:
            gateway.solicited(CN_LINK, EPOCH, own)
        actions = gateway.receive(acknowledge(request, link_local_address=own), LMA, EPOCH)
        assert actions[0] == AssignLinkLocal(CN_LINK, self.RESERVED)
        told = request_of(actions)
        assert (told.link_local_address, told.handoff_indicator) == (self.RESERVED, 5)
        assert gateway.receive(acknowledge(told, link_local_address=self.RESERVED), LMA, EPOCH) == []

    @pytest.mark.parametrize("none", [None, ANY])
    def test_without_one_from_the_anchor_the_reserved_one_serves(self, none: IPv6Address | None) -> None:
        gateway = mag("pmip", link_local=self.ANY)
        actions = gateway.receive(acknowledge(request_of(attach(gateway)), link_local_address=none), LMA, EPOCH)
        assert actions[0] == AssignLinkLocal(CN_LINK, self.RESERVED)
        assert sent(actions) == []

    @pytest.mark.parametrize("scheme", ["none", "sd-pmip"])
    def test_where_there_is_no_anchor_the_reserved_one_serves(self, scheme: str) -> None:
        assert attach(mag(scheme, link_local=self.ANY))[0] == AssignLinkLocal(CN_LINK, self.RESERVED)

    def test_a_fixed_one_is_neither_asked_for_nor_replaced(self) -> None:
        gateway = mag("pmip")
        request = request_of(attach(gateway))
        assert request.link_local_address is None
        actions = gateway.receive(acknowledge(request, link_local_address=self.GIVEN), LMA, EPOCH)
        assert not any(isinstance(action, AssignLinkLocal) for action in actions)


class TestNone:
    def test_each_router_advertises_a_prefix_of_its_own(self) -> None:
        own = IPv6Network("2001:db8:1:1::/64")
        gateway = mag("none")
        assert attach(gateway) == [InstallAccessRoute(own, CN_LINK), Advertise(CN_LINK, (own,), ROUTER_LIFETIME)]
        assert gateway.detached(CN_LINK, EPOCH) == [RemoveAccessRoute(own, CN_LINK)]

    def test_a_router_without_a_prefix_for_the_node_serves_it_not(self) -> None:
        gateway = Mag(replace(config("none"), name="elsewhere"), EPOCH)
        assert attach(gateway) == []


class TestWhoIsForwardedFor:
    """RFC 5213, 6.9.1.2 (11) and 6.10.5."""

    def test_no_packet_of_a_node_that_is_being_registered(self) -> None:
        gateway = mag("s-pmip")
        attach(gateway)
        assert gateway.packet_for(MN, P1, EPOCH) == [Drop((P1,), DropReason.NOT_BOUND)]

    def test_no_packet_of_a_node_that_was_refused(self) -> None:
        gateway = mag("s-pmip")
        gateway.receive(acknowledge(request_of(attach(gateway)), Status.REASON_UNSPECIFIED), LMA, EPOCH)
        assert gateway.packet_for(MN, P1, EPOCH) == [Drop((P1,), DropReason.NOT_BOUND)]

    @pytest.mark.parametrize("source", [hoa_of(3), IPv6Address("fe80::ff:fe00:1"), MAG2, IPv6Address("2001:db8:f::1")])
    def test_no_packet_with_a_source_of_nobody_here(self, source: IPv6Address) -> None:
        data = packet(source, MN)
        assert serving("sd-pmip").packet_for(MN, data, EPOCH) == [Drop((data,), DropReason.NOT_BOUND)]

    def test_what_the_gateway_itself_sends(self) -> None:
        assert request_of(serving().packet_for(MN, packet(MAG1, MN), EPOCH)).query


class TestWhoMaySpeak:
    @pytest.mark.parametrize("scheme", ["pmip", "s-pmip", "sd-pmip"])
    def test_strangers_access_links_and_garbage_are_ignored(self, scheme: str) -> None:
        gateway = serving(scheme)
        stranger = IPv6Address("2001:db8::bad")
        question = ProxyBindingUpdate(sequence=5, lifetime=2, query=True, home_network_prefixes=(IPv6Network(CN),))
        assert gateway.receive(question, stranger, EPOCH) == [Ignore(IgnoreReason.UNKNOWN_SENDER, stranger)]
        assert gateway.receive(question, MAG2, EPOCH, link=CN_LINK) == [Ignore(IgnoreReason.FROM_ACCESS_LINK, MAG2)]
        assert gateway.malformed(MAG2, EPOCH) == [Ignore(IgnoreReason.MALFORMED, MAG2)]
        assert gateway.tunnelled(bytes(39), MAG2, EPOCH) == [Ignore(IgnoreReason.MALFORMED, MAG2)]
        for pretender in (stranger, mag_address(1)):
            assert gateway.tunnelled(P1, pretender, EPOCH) == [
                Ignore(IgnoreReason.UNKNOWN_SENDER, pretender),
                Drop((P1,), DropReason.NOT_ATTACHED),
            ]

    def test_a_tunnelled_packet_for_who_is_here_after_all_is_delivered(self) -> None:
        data = packet(MN, CN)
        crossed = data[:7] + bytes((data[7] - 1,)) + data[8:]
        assert serving().tunnelled(data, MAG2, EPOCH) == [Release((crossed,), None)]

    def test_a_tunnelled_packet_for_who_is_here_after_all_is_reported_at_its_last_hop(self) -> None:
        data = packet(MN, CN)[:7] + b"\x01" + packet(MN, CN)[8:]
        assert serving().tunnelled(data, MAG2, EPOCH) == [Drop((data,), DropReason.HOP_LIMIT), TimeExceeded(data)]

    def test_a_tunnelled_packet_for_no_home_address_is_dropped(self) -> None:
        data = packet(MN, IPv6Address("2001:db8:f::1"))
        assert serving().tunnelled(data, MAG2, EPOCH) == [Drop((data,), DropReason.NOT_HOME)]
