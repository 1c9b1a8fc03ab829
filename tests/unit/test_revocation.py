"""Binding revocation (RFC 5846): of one node, of all nodes of a MAG by the LMA or by itself, upon handover; repeats and races."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from ipaddress import IPv6Address
from random import Random
from typing import Any

import lone_mag
import pytest
from cases import REGISTERING
from hypothesis import given
from hypothesis import settings as trials
from hypothesis import strategies as st
from lone_mag import acknowledge, attach, request_of
from memory_network import EPOCH, LMA, MemoryNetwork, config, link_layer_of, mag_address, mn_id_of, prefix_of, sent
from proxy_binding_updates import MAG1, MAG2, MAG3, acknowledged, lma, status, update

from agents.actions import Action, Advertise, Ignore, IgnoreReason, InstallRoute, Note, Notice, RemoveAccessRoute, RemoveRoute, Send
from agents.authentication import Unprotected
from agents.config import Settings
from agents.lma import Lma
from agents.mag import Mag
from agents.messages import (
    BindingRevocationAcknowledgement,
    BindingRevocationIndication,
    HandoffIndicator,
    Heartbeat,
    ProxyBindingUpdate,
    RevocationStatus,
    RevocationTrigger,
    Status,
)

T = RevocationTrigger
S = RevocationStatus
HANDOVERS = [T.INTER_MAG_HANDOVER_SAME_ACCESS_TYPE, T.INTER_MAG_HANDOVER_DIFFERENT_ACCESS_TYPE, T.INTER_MAG_HANDOVER_UNKNOWN]
UPON_HANDOVER = Settings(revocation_on_handover=True)
BULK = Settings(revocation_bulk=True)


def indication(**changes: Any) -> BindingRevocationIndication:
    """A BRI for the binding of host 1."""
    said = BindingRevocationIndication(
        sequence=3, trigger=T.ADMINISTRATIVE_REASON, mn_id=mn_id_of(1), home_network_prefixes=(prefix_of(1),)
    )
    return replace(said, **changes)


def acknowledgement(asked: BindingRevocationIndication, code: int = S.SUCCESS) -> BindingRevocationAcknowledgement:
    return BindingRevocationAcknowledgement(
        sequence=asked.sequence, status=code, proxy=asked.proxy, ipv4_only=asked.ipv4_only, all_bindings=asked.all_bindings
    )


def indicated(actions: list[Action]) -> BindingRevocationIndication:
    (message,) = [message for message in sent(actions) if isinstance(message, BindingRevocationIndication)]
    return message


def answered(actions: list[Action]) -> BindingRevocationAcknowledgement:
    (message,) = [message for message in sent(actions) if isinstance(message, BindingRevocationAcknowledgement)]
    return message


def gateway(scheme: str = "s-pmip", hosts: int = 1, **settings: Any) -> Mag:
    """MAG 1 with registered hosts."""
    mag = lone_mag.mag(scheme, **settings)
    for host in range(1, hosts + 1):
        mag.receive(acknowledge(request_of(attach(mag, host))), LMA, EPOCH)
    return mag


def anchor(hosts: int = 1, settings: Settings = Settings(), **profile: Any) -> Lma:  # noqa: B008
    """An LMA with bindings of hosts at MAG 1."""
    anchor = lma(settings=settings, **profile)
    for host in range(1, hosts + 1):
        anchor.receive(update(EPOCH, host=host), MAG1, EPOCH)
    return anchor


def served(mag: Mag) -> list[str]:
    return [here.mn_id for here in mag.attachments if here.served]


class TestGateway:
    """RFC 5846, 6.2.1 and 9.1."""

    def test_an_administrative_revocation_ends_the_service(self) -> None:
        mag = gateway()
        assert mag.receive(indication(), LMA, EPOCH + 1) == [
            Advertise("mn1-air", (prefix_of(1),), 0),
            RemoveAccessRoute(prefix_of(1), "mn1-air"),
            Send(acknowledgement(indication()), LMA),
        ]

    def test_and_nothing_more_is_said_of_the_binding(self) -> None:
        mag = gateway()
        mag.receive(indication(), LMA, EPOCH + 1)
        assert mag.timeout(EPOCH + 1000) == []
        assert mag.solicited("mn1-air", EPOCH + 1000) == []
        assert mag.detached("mn1-air", EPOCH + 1000) == []

    def test_a_node_that_attaches_anew_is_registered_anew(self) -> None:
        mag = gateway()
        mag.receive(indication(), LMA, EPOCH + 1)
        mag.detached("mn1-air", EPOCH + 2)
        assert len(sent(mag.attached("mn1-air", mn_id_of(1), link_layer_of(1), EPOCH + 3), "PBU")) == 1

    def test_other_nodes_keep_their_service(self) -> None:
        mag = gateway(hosts=3)
        mag.receive(indication(mn_id=mn_id_of(2), home_network_prefixes=()), LMA, EPOCH + 1)
        assert served(mag) == [mn_id_of(1), mn_id_of(3)]

    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({"trigger": 9}, S.REVOCATION_TRIGGER_NOT_SUPPORTED),
            ({"trigger": 200, "all_bindings": True}, S.REVOCATION_TRIGGER_NOT_SUPPORTED),
            ({"all_bindings": True}, S.REVOCATION_FUNCTION_NOT_SUPPORTED),
            ({"trigger": T.PER_PEER_POLICY}, S.REVOCATION_FUNCTION_NOT_SUPPORTED),
            ({"trigger": T.PER_PEER_POLICY, "all_bindings": True}, S.REVOCATION_FUNCTION_NOT_SUPPORTED),
            (
                {"trigger": T.PER_PEER_POLICY, "all_bindings": True, "mn_id": None, "home_network_prefixes": (), "proxy": False},
                S.REVOCATION_FUNCTION_NOT_SUPPORTED,
            ),
            ({"proxy": False}, S.BINDING_DOES_NOT_EXIST),
            ({"ipv4_only": True}, S.BINDING_DOES_NOT_EXIST),
            ({"mn_id": None}, S.BINDING_DOES_NOT_EXIST),
            ({"mn_id": mn_id_of(2)}, S.BINDING_DOES_NOT_EXIST),
            ({"home_network_prefixes": (prefix_of(2),)}, S.BINDING_DOES_NOT_EXIST),
            ({"alternate_care_of": MAG2}, S.BINDING_DOES_NOT_EXIST),
            (
                {"trigger": T.REVOKING_MOBILITY_NODE_LOCAL_POLICY, "all_bindings": True, "mn_id": None},
                S.REVOKED_MOBILE_NODES_IDENTITY_REQUIRED,
            ),
            (
                {"trigger": T.REVOKING_MOBILITY_NODE_LOCAL_POLICY, "all_bindings": True, "mn_id": "@example"},
                S.REVOKED_MOBILE_NODES_IDENTITY_REQUIRED,
            ),
            *(({"trigger": trigger}, S.REVOCATION_FAILED_MN_IS_ATTACHED) for trigger in HANDOVERS),
        ],
    )
    def test_what_is_refused_with_which_status_and_changes_nothing(self, changes: dict[str, Any], code: int) -> None:
        mag = gateway()
        asked = indication(**changes)
        assert mag.receive(asked, LMA, EPOCH + 1) == [Send(acknowledgement(asked, code), LMA)]
        assert served(mag) == [mn_id_of(1)]

    def test_only_the_anchor_revokes(self) -> None:
        mag = gateway()
        refused = acknowledgement(indication(), S.BINDING_DOES_NOT_EXIST)
        assert mag.receive(indication(), MAG2, EPOCH + 1) == [Send(refused, MAG2)]
        stranger = IPv6Address("2001:db8::bad")
        assert mag.receive(indication(), stranger, EPOCH + 1) == [Ignore(IgnoreReason.UNKNOWN_SENDER, stranger)]
        assert mag.receive(indication(), LMA, EPOCH + 1, link="mn1-air") == [Ignore(IgnoreReason.FROM_ACCESS_LINK, LMA)]
        assert served(mag) == [mn_id_of(1)]

    def test_all_bindings_of_a_peer(self) -> None:
        mag = gateway(hosts=3)
        asked = BindingRevocationIndication(sequence=5, trigger=T.PER_PEER_POLICY, all_bindings=True)
        actions = mag.receive(asked, LMA, EPOCH + 1)
        assert answered(actions) == acknowledgement(asked)
        assert (served(mag), sent(mag.stop(EPOCH + 2))) == ([], [])

    def test_all_bindings_of_a_realm(self) -> None:
        mag = gateway(hosts=2)
        asked = BindingRevocationIndication(
            sequence=5, trigger=T.REVOKING_MOBILITY_NODE_LOCAL_POLICY, all_bindings=True, mn_id="@dmm.example", alternate_care_of=MAG1
        )
        assert answered(mag.receive(asked, LMA, EPOCH + 1)) == acknowledgement(asked)
        assert served(mag) == []

    @pytest.mark.parametrize("trigger", HANDOVERS)
    def test_a_node_that_has_left_is_spoken_of_no_more(self, trigger: int) -> None:
        mag = gateway()
        mag.detached("mn1-air", EPOCH + 1)
        asked = indication(trigger=trigger)
        assert mag.receive(asked, LMA, EPOCH + 1.01) == [Send(acknowledgement(asked), LMA)]
        assert mag.next_timeout is None
        again = replace(asked, sequence=4)
        assert mag.receive(again, LMA, EPOCH + 1.02) == [Send(acknowledgement(again, S.BINDING_DOES_NOT_EXIST), LMA)]

    def test_prefixes_that_are_gone_already_are_named_in_a_partial_success(self) -> None:
        mag = gateway()
        asked = indication(home_network_prefixes=(prefix_of(1), prefix_of(4)))
        answer = answered(mag.receive(asked, LMA, EPOCH + 1))
        assert (answer.status, answer.mn_id, answer.home_network_prefixes) == (S.PARTIAL_SUCCESS, mn_id_of(1), (prefix_of(4),))
        assert served(mag) == []

    def test_a_repeated_indication_gets_the_same_answer_and_ends_nothing_new(self) -> None:
        mag = gateway()
        first = answered(mag.receive(indication(), LMA, EPOCH + 1))
        mag.detached("mn1-air", EPOCH + 1.1)
        mag.attached("mn1-air", mn_id_of(1), link_layer_of(1), EPOCH + 1.2)
        assert mag.receive(indication(), LMA, EPOCH + 2) == [Send(first, LMA)]
        assert len(sent(mag.timeout(EPOCH + 2.2), "PBU")) == 1
        later = answered(mag.receive(indication(), LMA, EPOCH + 10))
        assert later.status == S.SUCCESS
        assert sent(mag.timeout(EPOCH + 20), "PBU") == []

    def test_without_an_anchor_there_is_nothing_to_revoke(self) -> None:
        mag = Mag(config("sd-pmip"), EPOCH)
        mag.attached("mn1-air", mn_id_of(1), link_layer_of(1), EPOCH)
        assert answered(mag.receive(indication(), MAG2, EPOCH)).status == S.BINDING_DOES_NOT_EXIST
        assert served(mag) == [mn_id_of(1)]


class TestGatewayThatStops:
    """RFC 5846, 9.2."""

    def test_it_revokes_all_its_bindings_by_one_message(self) -> None:
        mag = gateway(hosts=3, revocation_bulk=True)
        (asked,) = sent(mag.stop(EPOCH + 1))
        assert isinstance(asked, BindingRevocationIndication)
        assert (asked.trigger, asked.all_bindings, asked.proxy, asked.ipv4_only) == (T.PER_PEER_POLICY, True, True, False)
        assert (asked.mn_id, asked.home_network_prefixes, asked.alternate_care_of) == ("mag1", (), None)
        assert sent(mag.timeout(EPOCH + 2)) == [asked]
        assert mag.receive(acknowledgement(asked), LMA, EPOCH + 2.1) == []
        assert sent(mag.timeout(EPOCH + 1000)) == []

    def test_without_bindings_or_leave_it_does_not(self) -> None:
        assert sent(gateway(hosts=0, revocation_bulk=True).stop(EPOCH)) == []
        assert len(sent(gateway(hosts=2).stop(EPOCH), "PBU")) == 2

    def test_a_refusal_is_noted(self) -> None:
        mag = gateway(revocation_bulk=True)
        asked = indicated(mag.stop(EPOCH + 1))
        refusal = acknowledgement(asked, S.GLOBAL_REVOCATION_NOT_AUTHORIZED)
        assert mag.receive(refusal, LMA, EPOCH + 2) == [Note(Notice.REFUSED, LMA, "BRI")]
        assert sent(mag.timeout(EPOCH + 1000)) == []


class TestAnchorThatIsAsked:
    """RFC 5846, 8.2."""

    EVERYTHING = BindingRevocationIndication(sequence=9, trigger=T.PER_PEER_POLICY, all_bindings=True, mn_id="mag1")

    def test_all_bindings_of_the_sender_end_as_if_deregistered(self) -> None:
        lma = anchor(3, BULK)
        lma.receive(update(EPOCH + 0.1, host=4), MAG2, EPOCH + 0.1)
        actions = lma.receive(self.EVERYTHING, MAG1, EPOCH + 1)
        assert actions == [*(RemoveRoute(prefix_of(host)) for host in (1, 2, 3)), Send(acknowledgement(self.EVERYTHING), MAG1)]
        assert [binding.mn_id for binding in lma.bindings if not binding.leaving] == [mn_id_of(4)]
        lma.timeout(EPOCH + 11)
        assert [binding.mn_id for binding in lma.bindings] == [mn_id_of(4)]

    def test_those_of_another_care_of_address_where_it_says_so(self) -> None:
        lma = anchor(1, BULK)
        actions = lma.receive(replace(self.EVERYTHING, alternate_care_of=MAG1), MAG3, EPOCH + 1)
        assert actions[0] == RemoveRoute(prefix_of(1))

    @pytest.mark.parametrize(
        ("asked", "code"),
        [
            (replace(EVERYTHING, mn_id=None), S.GLOBAL_REVOCATION_NOT_AUTHORIZED),
            (replace(EVERYTHING, proxy=False), S.REVOCATION_FUNCTION_NOT_SUPPORTED),
            (replace(EVERYTHING, trigger=T.REVOKING_MOBILITY_NODE_LOCAL_POLICY), S.REVOCATION_FUNCTION_NOT_SUPPORTED),
            (replace(EVERYTHING, alternate_care_of=MAG3), S.BINDING_DOES_NOT_EXIST),
            (indication(mn_id=mn_id_of(2)), S.BINDING_DOES_NOT_EXIST),
            (indication(ipv4_only=True), S.BINDING_DOES_NOT_EXIST),
            (indication(proxy=False), S.BINDING_DOES_NOT_EXIST),
        ],
    )
    def test_what_is_refused_with_which_status_and_changes_nothing(self, asked: BindingRevocationIndication, code: int) -> None:
        lma = anchor(1, BULK)
        assert lma.receive(asked, MAG1, EPOCH + 1) == [Send(acknowledgement(asked, code), MAG1)]
        assert not lma.bindings[0].leaving

    def test_a_domain_may_not_let_gateways_revoke_everything(self) -> None:
        refused = acknowledgement(self.EVERYTHING, S.GLOBAL_REVOCATION_NOT_AUTHORIZED)
        assert anchor().receive(self.EVERYTHING, MAG1, EPOCH + 1) == [Send(refused, MAG1)]

    def test_one_node_by_its_identifier_or_by_prefixes_and_only_where_it_is(self) -> None:
        for asked in (indication(home_network_prefixes=()), indication()):
            lma = anchor(2)
            assert lma.receive(asked, MAG1, EPOCH + 1) == [RemoveRoute(prefix_of(1)), Send(acknowledgement(asked), MAG1)]
            lma = anchor(2)
            assert answered(lma.receive(asked, MAG2, EPOCH + 1)).status == S.BINDING_DOES_NOT_EXIST

    def test_strangers_are_ignored(self) -> None:
        stranger = IPv6Address("2001:db8::bad")
        assert anchor(1, BULK).receive(self.EVERYTHING, stranger, EPOCH) == [Ignore(IgnoreReason.UNKNOWN_SENDER, stranger)]


class TestAnchor:
    """RFC 5846, 6.1.1, 6.2.2, 6.3 and 8.1."""

    def test_a_node_is_revoked_and_its_binding_stands_until_that_is_acknowledged(self) -> None:
        lma = anchor()
        (send,) = lma.revoke(mn_id_of(1), EPOCH + 1)
        assert isinstance(send, Send)
        asked = indicated([send])
        assert send.destination == MAG1
        assert asked == indication(sequence=asked.sequence)
        assert (asked.proxy, asked.ipv4_only, asked.all_bindings) == (True, False, False)
        assert [binding.mn_id for binding in lma.bindings] == [mn_id_of(1)]
        assert lma.receive(acknowledgement(asked), MAG1, EPOCH + 1.1) == [RemoveRoute(prefix_of(1))]
        assert not lma.bindings
        assert lma.next_timeout is None

    def test_it_is_repeated_unchanged_and_given_up_and_then_the_binding_ends_all_the_same(self) -> None:
        lma = anchor()
        asked = indicated(lma.revoke(mn_id_of(1), EPOCH + 1))
        assert lma.next_timeout == EPOCH + 2
        assert lma.timeout(EPOCH + 2) == [Send(asked, MAG1)]
        assert lma.next_timeout == EPOCH + 4
        assert lma.timeout(EPOCH + 4) == [Note(Notice.NOT_ACKNOWLEDGED, MAG1, "BRI"), RemoveRoute(prefix_of(1))]
        assert lma.bindings == ()

    def test_how_often_and_how_soon_are_settings(self) -> None:
        lma = anchor(1, Settings(revocation_tries=5, revocation_timeout=0.5, revocation_timeout_max=3.0))
        lma.revoke(mn_id_of(1), EPOCH)
        times = []
        while (now := lma.next_timeout) is not None:
            times += [now - EPOCH for _ in sent(lma.timeout(now))]
            if not lma.bindings:
                break
        assert times == [0.5, 1.5, 3.5, 6.5]

    @pytest.mark.parametrize("code", [S.BINDING_DOES_NOT_EXIST, S.REVOCATION_FUNCTION_NOT_SUPPORTED, S.PARTIAL_SUCCESS])
    def test_whatever_the_answer_a_revoked_binding_ends(self, code: int) -> None:
        lma = anchor()
        asked = indicated(lma.revoke(mn_id_of(1), EPOCH + 1))
        noted = [Note(Notice.REFUSED, MAG1, "BRI")] if code >= S.BINDING_DOES_NOT_EXIST else []
        assert lma.receive(acknowledgement(asked, code), MAG1, EPOCH + 1) == [*noted, RemoveRoute(prefix_of(1))]

    def test_only_its_peer_acknowledges_it_and_once(self) -> None:
        lma = anchor()
        answer = acknowledgement(indicated(lma.revoke(mn_id_of(1), EPOCH + 1)))
        assert lma.receive(answer, MAG2, EPOCH + 1) == [Ignore(IgnoreReason.UNMATCHED, MAG2)]
        wrong = replace(answer, sequence=answer.sequence ^ 1)
        assert lma.receive(wrong, MAG1, EPOCH + 1) == [Ignore(IgnoreReason.UNMATCHED, MAG1)]
        lma.receive(answer, MAG1, EPOCH + 1)
        assert lma.receive(answer, MAG1, EPOCH + 1) == [Ignore(IgnoreReason.UNMATCHED, MAG1)]

    def test_all_that_a_gateway_has_registered(self) -> None:
        lma = anchor(2)
        lma.receive(update(EPOCH + 0.1, host=3), MAG2, EPOCH + 0.1)
        asked = indicated(lma.revoke_all(MAG1, EPOCH + 1))
        assert asked == BindingRevocationIndication(sequence=asked.sequence, trigger=T.PER_PEER_POLICY, all_bindings=True)
        assert lma.receive(acknowledgement(asked), MAG1, EPOCH + 1) == [RemoveRoute(prefix_of(1)), RemoveRoute(prefix_of(2))]
        assert [binding.mn_id for binding in lma.bindings] == [mn_id_of(3)]
        assert lma.revoke_all(MAG1, EPOCH + 2) == []
        assert lma.revoke("nobody@dmm.example", EPOCH + 2) == []

    def test_sequence_numbers_of_what_is_under_way_differ(self) -> None:
        lma = anchor(4)
        numbers = [indicated(lma.revoke(mn_id_of(host), EPOCH + 1)).sequence for host in (1, 2, 3, 4)]
        assert len(set(numbers)) == 4
        assert lma.revoke(mn_id_of(1), EPOCH + 1.5) == []

    def test_a_refresh_that_crosses_the_revocation_is_refused(self) -> None:
        lma = anchor()
        asked = indicated(lma.revoke(mn_id_of(1), EPOCH + 1))
        assert status(lma.receive(update(EPOCH + 1), MAG1, EPOCH + 1.05)) == Status.ADMINISTRATIVELY_PROHIBITED
        assert lma.receive(acknowledgement(asked), MAG1, EPOCH + 1.1) == [RemoveRoute(prefix_of(1))]

    def test_a_deregistration_that_crosses_it_is_accepted(self) -> None:
        lma = anchor()
        asked = indicated(lma.revoke(mn_id_of(1), EPOCH + 1))
        assert status(lma.receive(update(EPOCH + 1, lifetime=0), MAG1, EPOCH + 1.05)) == Status.ACCEPTED
        assert lma.receive(acknowledgement(asked), MAG1, EPOCH + 1.1) == []
        assert status(lma.receive(update(EPOCH + 2), MAG1, EPOCH + 2)) == Status.ACCEPTED

    def test_a_node_that_moves_meanwhile_keeps_its_new_binding(self) -> None:
        lma = anchor()
        asked = indicated(lma.revoke_all(MAG1, EPOCH + 1))
        lma.receive(update(EPOCH + 1.05), MAG2, EPOCH + 1.05)
        assert lma.receive(acknowledgement(asked), MAG1, EPOCH + 1.1) == []
        assert [binding.care_of for binding in lma.bindings] == [MAG2]


class TestUponHandover:
    """RFC 5846, 3.4.1 and 8.1."""

    @pytest.mark.parametrize(
        ("technology", "handoff", "trigger"),
        [
            (4, HandoffIndicator.BETWEEN_MAGS, T.INTER_MAG_HANDOVER_SAME_ACCESS_TYPE),
            (3, HandoffIndicator.BETWEEN_INTERFACES, T.INTER_MAG_HANDOVER_DIFFERENT_ACCESS_TYPE),
        ],
    )
    def test_the_previous_gateway_is_told_after_the_new_one_is_answered(self, technology: int, handoff: int, trigger: int) -> None:
        lma = anchor(1, UPON_HANDOVER)
        actions = lma.receive(update(EPOCH + 1, access_technology=technology, handoff_indicator=handoff), MAG2, EPOCH + 1)
        asked = indicated(actions)
        assert asked == indication(sequence=asked.sequence, trigger=trigger)
        assert actions[0] == InstallRoute(prefix_of(1), MAG2)
        assert [action.destination for action in actions if isinstance(action, Send)] == [MAG2, MAG1]
        assert lma.receive(acknowledgement(asked, S.BINDING_DOES_NOT_EXIST), MAG1, EPOCH + 1.1) == [Note(Notice.REFUSED, MAG1, "BRI")]
        assert [(binding.care_of, binding.leaving) for binding in lma.bindings] == [(MAG2, False)]

    def test_not_where_it_has_deregistered_nor_where_the_domain_does_not_want_it(self) -> None:
        lma = anchor(1, UPON_HANDOVER)
        lma.receive(update(EPOCH + 1, lifetime=0), MAG1, EPOCH + 1)
        assert sent(lma.receive(update(EPOCH + 1.1), MAG2, EPOCH + 1.1), "BRI") == []
        assert sent(lma.receive(update(EPOCH + 2), MAG2, EPOCH + 2), "BRI") == []
        assert sent(anchor().receive(update(EPOCH + 1), MAG2, EPOCH + 1), "BRI") == []

    def waiting(self, settings: Settings = UPON_HANDOVER) -> tuple[Lma, BindingRevocationIndication]:
        """A node of two prefixes appears at MAG 2 with another interface, or for ought that is known with the same."""
        lma = anchor(1, settings, home_network_prefixes=(prefix_of(1), prefix_of(9)))
        actions = lma.receive(self.unknown(EPOCH + 1), MAG2, EPOCH + 1)
        (send,) = actions
        assert isinstance(send, Send)
        assert send.destination == MAG1
        return lma, indicated(actions)

    def unknown(self, now: float) -> ProxyBindingUpdate:
        return update(now, link_layer_identifier=link_layer_of(7), home_network_prefixes=(prefix_of(0).supernet(new_prefix=0),))

    def test_who_waits_for_a_deregistration_asks_the_previous_gateway_once(self) -> None:
        lma, asked = self.waiting()
        assert asked == indication(sequence=asked.sequence, trigger=T.INTER_MAG_HANDOVER_UNKNOWN)
        assert lma.receive(self.unknown(EPOCH + 1.5), MAG2, EPOCH + 1.5) == []

    @pytest.mark.parametrize("code", [S.SUCCESS, S.BINDING_DOES_NOT_EXIST])
    def test_a_node_that_is_gone_takes_its_session_along(self, code: int) -> None:
        lma, asked = self.waiting()
        answer = acknowledged(lma.receive(acknowledgement(asked, code), MAG1, EPOCH + 1.1))
        assert (answer.status, answer.home_network_prefixes) == (0, (prefix_of(1),))
        assert [(binding.care_of, binding.prefixes) for binding in lma.bindings] == [(MAG2, (prefix_of(1),))]

    def test_a_deregistration_does_so_too_and_the_answer_changes_nothing_then(self) -> None:
        lma, asked = self.waiting()
        lma.receive(update(EPOCH + 1.05, lifetime=0), MAG1, EPOCH + 1.05)
        assert lma.receive(acknowledgement(asked), MAG1, EPOCH + 1.1) == []
        assert [(binding.care_of, binding.leaving) for binding in lma.bindings] == [(MAG2, False)]

    def test_a_node_that_is_still_attached_begins_another_session(self) -> None:
        lma, asked = self.waiting()
        refusal = acknowledgement(asked, S.REVOCATION_FAILED_MN_IS_ATTACHED)
        answer = acknowledged(lma.receive(refusal, MAG1, EPOCH + 1.1))
        assert (answer.status, answer.home_network_prefixes) == (0, (prefix_of(9),))
        assert {binding.care_of for binding in lma.bindings} == {MAG1, MAG2}

    def test_so_does_one_of_which_nothing_is_heard(self) -> None:
        lma, _ = self.waiting(replace(UPON_HANDOVER, binding_assign_delay=60.0))
        assert len(sent(lma.timeout(EPOCH + 2), "BRI")) == 1
        answer = acknowledged(lma.timeout(EPOCH + 4))
        assert (answer.status, answer.home_network_prefixes) == (0, (prefix_of(9),))

    def test_the_delay_of_rfc_5213_bounds_the_wait(self) -> None:
        lma, asked = self.waiting()
        lma.timeout(EPOCH + 2)
        assert acknowledged(lma.timeout(EPOCH + 2.5)).home_network_prefixes == (prefix_of(9),)
        lma.receive(acknowledgement(asked), MAG1, EPOCH + 2.6)
        assert [binding.care_of for binding in lma.bindings if not binding.leaving] == [MAG2]


def settled(scheme: str, settings: Settings, **options: Any) -> MemoryNetwork:
    network = MemoryNetwork(scheme, settings=settings, **options)
    for host in (1, 2, 3):
        network.attach(host, 1 if host == 3 else host)
    network.run(1)
    return network


@pytest.mark.parametrize("scheme", REGISTERING)
def test_a_revoked_node_has_no_service_and_others_do(scheme: str) -> None:
    network = settled(scheme, Settings())
    network.command(LMA, network.lma.revoke(mn_id_of(1), network.now))
    network.run(2)
    assert [len(network.kinds(name)) for name in ("BRI", "BRA")] == [1, 1]
    assert network.mag(1).access == {prefix_of(3): "mn3-air"}
    assert network.advertised[1] == ()
    assert {binding.mn_id for binding in network.lma.bindings} == {mn_id_of(2), mn_id_of(3)}
    assert set(network.nodes[LMA].routes) == {prefix_of(2), prefix_of(3)}
    network.run(1000)
    assert {binding.mn_id for binding in network.lma.bindings} == {mn_id_of(2), mn_id_of(3)}


@pytest.mark.parametrize("scheme", REGISTERING)
def test_a_gateway_that_stops_takes_its_bindings_along(scheme: str) -> None:
    network = settled(scheme, BULK)
    updates = len(network.kinds("PBU"))
    mag = network.mag(1)
    network.command(MAG1, mag.agent.stop(network.now))
    network.run(20)
    assert [len(network.kinds(name)) for name in ("PBU", "BRI", "BRA")] == [updates, 1, 1]
    assert {binding.mn_id for binding in network.lma.bindings} == {mn_id_of(2)}
    assert (mag.access, mag.routes, mag.uplinks) == ({}, {}, {})


@pytest.mark.parametrize("scheme", REGISTERING)
def test_a_key_authenticates_revocations_and_heartbeats(scheme: str) -> None:
    key = Settings(authentication_key="00112233445566778899aabbccddeeff", heartbeat_interval=5.0, revocation_bulk=True)
    network = settled(scheme, key)
    network.run(12)
    network.command(LMA, network.lma.revoke(mn_id_of(2), network.now))
    network.run(13)
    assert len(network.kinds("BRA")) == 1
    assert network.notes == []
    octets = next(octets for source, destination, octets in reversed(network.sendings) if octets[2] == 16)
    network.receive(MAG1, octets, LMA, MAG1)
    forged = Unprotected(key.query_flag).octets(
        Heartbeat(sequence=0, response=True, unsolicited=True, restart_counter=9), MAG1, LMA, network.now
    )
    network.receive(LMA, forged, MAG1, LMA)
    assert {ignored.reason for ignored in network.ignored} == {IgnoreReason.NOT_AUTHENTICATED}
    assert network.notes == []


@trials(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(1.5, 12), st.integers(1, 3), st.integers(1, 3)), max_size=6),
    st.lists(st.tuples(st.floats(1.5, 12), st.sampled_from(["node", "gateway", "stop"]), st.integers(1, 3)), max_size=4),
    st.floats(0, 0.4),
    st.randoms(use_true_random=False),
    st.sampled_from(REGISTERING),
)
def test_after_any_moves_revocations_and_losses_all_agree(
    moves: list[tuple[float, int, int]], commands: list[tuple[float, str, int]], loss: float, random: Random, scheme: str
) -> None:
    """Who is served at a MAG has a binding there, and who has a binding has a route and is served."""
    lossy = [loss]
    network = settled(scheme, replace(UPON_HANDOVER, revocation_bulk=True), lost=lambda kind: random.random() < lossy[0])
    network.at(15, lambda: lossy.__setitem__(0, 0.0))

    def move(host: int, number: int) -> None:
        if host in network.where:
            network.move(host, number)

    for when, host, number in moves:
        network.at(when, partial(move, host, number))

    def stop(address: IPv6Address) -> None:
        if network.nodes[address].up:
            network.command(address, network.nodes[address].agent.stop(network.now))
            network.crash(address)
            network.at(network.now - EPOCH + 1, lambda: network.restart(address))

    def tell(what: str, number: int) -> None:
        if what == "node":
            network.command(LMA, network.lma.revoke(mn_id_of(number), network.now))
        elif what == "gateway":
            network.command(LMA, network.lma.revoke_all(mag_address(number), network.now))
        else:
            stop(mag_address(number))

    for when, what, number in commands:
        network.at(when, partial(tell, what, number))
    network.run(700)
    bound = {(binding.prefixes[0], binding.care_of) for binding in network.lma.bindings}
    assert set(network.nodes[LMA].routes.items()) == bound
    assert {(prefix, mag_address(number)) for number in (1, 2, 3) for prefix in network.mag(number).access} == bound
    if not commands:
        assert bound == {(prefix_of(host), mag_address(number)) for host, number in network.where.items()}
