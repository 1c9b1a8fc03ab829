"""One MAG alone: RFC 5213, section 6, and the MAG operations of the draft, 3.2.3 and 3.3.2."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from ipaddress import IPv6Address, IPv6Network
from itertools import pairwise
from typing import Any

import pytest
from memory_network import EPOCH, GROUP, LMA, config, hoa_of, link_layer_of, mag_address, mn_id_of, packet, prefix_of, sent

from agents.actions import (
    Action,
    Advertise,
    AssignLinkLocal,
    Drop,
    DropReason,
    Ignore,
    IgnoreReason,
    InstallAccessRoute,
    InstallRoute,
    InstallUplink,
    Multicast,
    ProbePath,
    Release,
    RemoveAccessRoute,
    RemoveRoute,
    RemoveUplink,
    Send,
    TimeExceeded,
    Unreachable,
)
from agents.config import FirstPacket, MessageOrder, Settings
from agents.mag import ADVERTISEMENT_INTERVAL, ROUTER_LIFETIME, Mag
from agents.messages import (
    BindingError,
    HandoffIndicator,
    HandoverInitiate,
    ProxyBindingAcknowledgement,
    ProxyBindingUpdate,
    Status,
    UpdateNotification,
    UpdateNotificationAcknowledgement,
    seconds_from_timestamp,
    timestamp_from_seconds,
)
from agents.profiles import Profile, ProfileStore
from agents.schemes import SCHEMES

MAG1, MAG2, MAG3 = (mag_address(number) for number in (1, 2, 3))
CN, MN = hoa_of(1), hoa_of(2)
CN_LINK = "mn1-air"
P1, P2, P3 = (packet(CN, MN, serial) for serial in (1, 2, 3))


def mag(scheme: str = "s-pmip", policy: str | None = None, **settings: Any) -> Mag:
    return Mag(config(scheme, policy, settings=Settings(**settings)), EPOCH)


def attach(gateway: Mag, host: int = 1, now: float = EPOCH, link: str | None = None, **how: Any) -> list[Action]:
    return gateway.attached(link or f"mn{host}-air", mn_id_of(host), link_layer_of(host), now, **how)


def request_of(actions: list[Action]) -> ProxyBindingUpdate:
    (message,) = [message for message in sent(actions) if isinstance(message, ProxyBindingUpdate)]
    return message


def acknowledge(request: ProxyBindingUpdate, status: int = 0, **changes: Any) -> ProxyBindingAcknowledgement:
    answer = ProxyBindingAcknowledgement(
        status=status,
        sequence=request.sequence,
        lifetime=request.lifetime,
        mn_id=request.mn_id,
        home_network_prefixes=request.home_network_prefixes,
        handoff_indicator=request.handoff_indicator,
        access_technology=request.access_technology,
        link_layer_identifier=request.link_layer_identifier,
        timestamp=request.timestamp,
    )
    return replace(answer, **changes)


def answer(
    question: ProxyBindingUpdate, care_of: IPv6Address | None = MAG2, status: int = 0, lifetime: int = 2
) -> ProxyBindingAcknowledgement:
    return ProxyBindingAcknowledgement(
        status=status,
        sequence=question.sequence,
        lifetime=lifetime,
        query=True,
        home_network_prefixes=(prefix_of(2),),
        timestamp=question.timestamp,
        alternate_care_of=care_of,
    )


def serving(scheme: str = "s-pmip", policy: str | None = None, **settings: Any) -> Mag:
    """A MAG to which the CN is attached and registered."""
    gateway = mag(scheme, policy, **settings)
    actions = attach(gateway)
    if gateway._scheme.binding_update:
        gateway.receive(acknowledge(request_of(actions)), LMA, EPOCH)
    return gateway


def routed(scheme: str = "s-pmip", policy: str | None = None, **settings: Any) -> Mag:
    """The same, with a route to the MN at MAG 2, asked for and learnt at EPOCH."""
    gateway = serving(scheme, policy, **settings)
    question = request_of(gateway.packet_for(MN, P1, EPOCH))
    gateway.receive(answer(question), LMA if scheme == "s-pmip" else MAG2, EPOCH)
    return gateway


def timeouts(gateway: Mag, until: float) -> list[tuple[float, Action]]:
    """What the MAG does by itself, with s after EPOCH."""
    done: list[tuple[float, Action]] = []
    while (now := gateway.next_timeout) is not None and now <= EPOCH + until:
        done += [(round(now - EPOCH, 3), action) for action in gateway.timeout(now)]
    return done


class TestRegistration:
    def test_an_attached_node_is_registered(self) -> None:
        gateway = mag("pmip")
        assert attach(gateway) == [
            Send(
                ProxyBindingUpdate(
                    sequence=0,
                    lifetime=75,
                    mn_id=mn_id_of(1),
                    home_network_prefixes=(prefix_of(1),),
                    handoff_indicator=4,
                    access_technology=4,
                    link_layer_identifier=link_layer_of(1),
                    timestamp=timestamp_from_seconds(EPOCH),
                ),
                LMA,
            )
        ]

    def test_a_prefix_that_the_acknowledgement_names_twice_is_served_once(self) -> None:
        gateway = mag("pmip")
        twice = acknowledge(request_of(attach(gateway)), home_network_prefixes=(prefix_of(1), prefix_of(1)))
        actions = gateway.receive(twice, LMA, EPOCH)
        assert actions.count(InstallAccessRoute(prefix_of(1), CN_LINK)) == 1
        assert gateway.attachments[0].prefixes == (prefix_of(1),)

    def test_pmip_serves_it_once_accepted_with_an_uplink_to_the_anchor(self) -> None:
        gateway = mag("pmip")
        request = request_of(attach(gateway))
        assert gateway.solicited(CN_LINK, EPOCH) == []
        assert gateway.receive(acknowledge(request), LMA, EPOCH) == [
            InstallAccessRoute(prefix_of(1), CN_LINK),
            InstallUplink(CN_LINK, LMA),
            Advertise(CN_LINK, (prefix_of(1),), ROUTER_LIFETIME),
        ]
        assert gateway.solicited(CN_LINK, EPOCH) == [Advertise(CN_LINK, (prefix_of(1),), ROUTER_LIFETIME)]

    def test_s_pmip_serves_it_without_an_uplink(self) -> None:
        gateway = mag("s-pmip")
        request = request_of(attach(gateway))
        assert [type(action) for action in gateway.receive(acknowledge(request), LMA, EPOCH)] == [InstallAccessRoute, Advertise]

    def test_the_anchor_chooses_the_prefixes(self) -> None:
        gateway = mag("pmip")
        request = request_of(attach(gateway))
        other = (IPv6Network("2001:db8:1ff:1::/64"),)
        actions = gateway.receive(acknowledge(request, home_network_prefixes=other), LMA, EPOCH)
        assert Advertise(CN_LINK, other, ROUTER_LIFETIME) in actions
        assert gateway.attachments[0].prefixes == other

    def test_an_unanswered_update_is_repeated_with_new_times_and_growing_waits(self) -> None:
        gateway = mag("pmip")
        first = request_of(attach(gateway))
        repeats = timeouts(gateway, 100)
        assert [time for time, _ in repeats] == [1, 3, 7, 15, 31, 63, 95]
        messages = [request_of([action]) for _, action in repeats]
        assert [seconds_from_timestamp(message.timestamp or 0) - EPOCH for message in messages] == [time for time, _ in repeats]
        assert len({message.sequence for message in [first, *messages]}) == 8
        assert {message.handoff_indicator for message in messages} == {4}

    def test_an_answer_to_an_earlier_repetition_counts(self) -> None:
        gateway = mag("pmip")
        first = request_of(attach(gateway))
        gateway.timeout(EPOCH + 1)
        assert InstallUplink(CN_LINK, LMA) in gateway.receive(acknowledge(first), LMA, EPOCH + 1.1)
        assert sent(action for _, action in timeouts(gateway, 100)) == []

    def test_a_binding_is_refreshed_before_it_ends(self) -> None:
        gateway = mag("pmip")
        first = request_of(attach(gateway))
        gateway.receive(acknowledge(first), LMA, EPOCH)
        assert gateway.next_timeout == EPOCH + 225
        refresh = request_of(gateway.timeout(EPOCH + 225))
        assert refresh == replace(first, sequence=1, handoff_indicator=5, timestamp=timestamp_from_seconds(EPOCH + 225))
        assert gateway.receive(acknowledge(refresh), LMA, EPOCH + 225) == []
        assert 195 < (gateway.next_timeout or 0) - (EPOCH + 225) < 225

    @pytest.mark.parametrize("first", [0, 0xFFF0, 31415])
    def test_bindings_that_began_at_one_moment_are_not_refreshed_at_one(self, first: int) -> None:
        """No two of 200 within 50 ms, and no more than 8 in any second of the 30 s over which they are spread."""
        gateway = Mag(config("pmip", hosts=200), EPOCH, first)
        for host in range(1, 201):
            gateway.receive(acknowledge(request_of(attach(gateway, host))), LMA, EPOCH)
        sendings = [(action.message.mn_id, when) for when, action in timeouts(gateway, 225.5) if isinstance(action, Send)]
        times = sorted(dict(reversed(sendings)).values())
        assert len(times) == 200
        assert 194.9 <= min(times) <= max(times) <= 225
        assert min(later - earlier for earlier, later in pairwise(times)) > 0.05
        assert max(sum(at <= time < at + 1 for time in times) for at in times) <= 8

    @pytest.mark.parametrize("status", [128, 129, 130, 134, 152, 153, 154, 158, 159, 160, 161, 162, 199])
    def test_a_refused_node_gets_no_service(self, status: int) -> None:
        gateway = mag("pmip")
        request = request_of(attach(gateway))
        assert gateway.receive(acknowledge(request, status), LMA, EPOCH) == []
        assert gateway.solicited(CN_LINK, EPOCH) == []
        assert gateway.next_timeout is None
        assert gateway.detached(CN_LINK, EPOCH) == []

    def test_a_node_refused_at_its_refresh_loses_service(self) -> None:
        gateway = serving("pmip")
        refresh = request_of(gateway.timeout(EPOCH + 225))
        assert gateway.receive(acknowledge(refresh, Status.PROXY_REG_NOT_ENABLED), LMA, EPOCH + 225) == [
            Advertise(CN_LINK, (prefix_of(1),), 0),
            RemoveUplink(CN_LINK),
            RemoveAccessRoute(prefix_of(1), CN_LINK),
        ]

    def test_a_node_that_is_not_enabled_is_not_registered_again(self) -> None:
        gateway = mag("pmip")
        gateway.receive(acknowledge(request_of(attach(gateway)), Status.PROXY_REG_NOT_ENABLED), LMA, EPOCH)
        gateway.detached(CN_LINK, EPOCH + 1)
        assert attach(gateway, now=EPOCH + 2) == []
        assert attach(gateway, link="other-air", now=EPOCH + 3) == []
        assert request_of(attach(gateway, 2, now=EPOCH + 4)).mn_id == mn_id_of(2)

    def test_a_node_that_was_refused_otherwise_is_registered_when_it_attaches_anew(self) -> None:
        gateway = mag("pmip")
        gateway.receive(acknowledge(request_of(attach(gateway)), Status.INSUFFICIENT_RESOURCES), LMA, EPOCH)
        gateway.detached(CN_LINK, EPOCH + 1)
        assert request_of(attach(gateway, now=EPOCH + 2)).lifetime == 75

    def test_the_anchor_is_asked_for_any_prefix_where_it_refuses_those_of_the_profile(self) -> None:
        gateway = mag("pmip")
        refusal = acknowledge(request_of(attach(gateway)), Status.NOT_AUTHORIZED_FOR_HOME_NETWORK_PREFIX)
        second = request_of(gateway.receive(refusal, LMA, EPOCH))
        assert second.home_network_prefixes == (IPv6Network("::/0"),)
        given = (IPv6Network("2001:db8:1ff:1::/64"),)
        actions = gateway.receive(acknowledge(second, home_network_prefixes=given), LMA, EPOCH)
        assert InstallAccessRoute(given[0], CN_LINK) in actions
        assert request_of(gateway.timeout(EPOCH + 225)).home_network_prefixes == given
        gateway.detached(CN_LINK, EPOCH + 226)
        assert request_of(attach(gateway, now=EPOCH + 227)).home_network_prefixes == (IPv6Network("::/0"),)

    def test_a_node_that_may_have_no_prefix_at_all_is_refused(self) -> None:
        gateway = mag("pmip")
        status = Status.NOT_AUTHORIZED_FOR_HOME_NETWORK_PREFIX
        second = request_of(gateway.receive(acknowledge(request_of(attach(gateway)), status), LMA, EPOCH))
        assert gateway.receive(acknowledge(second, status), LMA, EPOCH) == []
        assert gateway.next_timeout is None

    def test_an_update_refused_for_an_older_timestamp_is_tried_again_with_the_latest(self) -> None:
        gateway = mag("pmip")
        request = request_of(attach(gateway))
        assert gateway.receive(acknowledge(request, Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED), LMA, EPOCH) == []
        again = request_of(gateway.timeout(EPOCH + 1))
        assert again.timestamp == timestamp_from_seconds(EPOCH + 1)

    @pytest.mark.parametrize("ahead", [0.4, -0.4, 3600, -2 * 86400])
    def test_an_update_refused_for_a_wrong_timestamp_is_tried_again_ever_less_often(self, ahead: float) -> None:
        gateway = mag("pmip")
        request, now, times = request_of(attach(gateway)), EPOCH, []
        while now < EPOCH + 100:
            wrong = acknowledge(request, Status.TIMESTAMP_MISMATCH, timestamp=timestamp_from_seconds(now + ahead))
            assert gateway.receive(wrong, LMA, now) == []
            now = gateway.next_timeout or now + 1000
            request = request_of(gateway.timeout(now))
            assert request.timestamp == timestamp_from_seconds(now)
            times.append(now - EPOCH)
        assert times == [1, 3, 7, 15, 31, 63, 95, 127]
        gateway.receive(acknowledge(request), LMA, now)
        assert gateway.attachments[0].served

    def test_a_refusal_of_no_open_exchange_is_none(self) -> None:
        gateway = serving("pmip")
        (before,) = gateway._registrar.updates
        assert before.request is not None
        refusal = acknowledge(before.request, Status.TIMESTAMP_MISMATCH, timestamp=timestamp_from_seconds(EPOCH))
        assert gateway.receive(refusal, LMA, EPOCH + 2 * 86400) == [Ignore(IgnoreReason.UNMATCHED, LMA)]
        assert gateway.attachments[0].served

    @pytest.mark.parametrize("status", [Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED, Status.REASON_UNSPECIFIED])
    def test_a_node_refused_at_its_refresh_is_denied_service_whatever_the_reason(self, status: Status) -> None:
        gateway = serving("pmip")
        refresh = request_of(gateway.timeout(EPOCH + 225))
        assert Advertise(CN_LINK, (prefix_of(1),), 0) in gateway.receive(acknowledge(refresh, status), LMA, EPOCH + 225)
        assert not gateway.attachments[0].served

    def test_an_anchor_that_returns_no_timestamp_is_understood(self) -> None:
        gateway = mag("pmip")
        request = request_of(attach(gateway))
        gateway.receive(acknowledge(request, timestamp=None), LMA, EPOCH)
        assert gateway.attachments[0].served

    def test_a_refresh_that_is_refused_is_tried_once_more_as_a_first_registration(self) -> None:
        gateway = serving("pmip")
        refresh = request_of(gateway.timeout(EPOCH + 225))
        again = request_of(gateway.receive(acknowledge(refresh, Status.REASON_UNSPECIFIED), LMA, EPOCH + 225))
        assert (refresh.handoff_indicator, again.handoff_indicator) == (5, 4)
        gateway.receive(acknowledge(again), LMA, EPOCH + 225.1)
        assert gateway.attachments[0].served

    def test_one_that_is_refused_again_is_not(self) -> None:
        gateway = serving("pmip")
        refresh = request_of(gateway.timeout(EPOCH + 225))
        again = request_of(gateway.receive(acknowledge(refresh, Status.REASON_UNSPECIFIED), LMA, EPOCH + 225))
        assert not sent(gateway.receive(acknowledge(again, Status.REASON_UNSPECIFIED), LMA, EPOCH + 225.1))
        assert gateway.next_timeout is None

    @pytest.mark.parametrize(
        "changes",
        [{"handoff_indicator": 1}, {"access_technology": 3}, {"link_layer_identifier": b"other!"}, {"mn_id": mn_id_of(2)}],
    )
    def test_an_acknowledgement_that_does_not_echo_the_request_is_ignored_and_ends_the_tries(self, changes: dict[str, Any]) -> None:
        gateway = mag("pmip")
        request = request_of(attach(gateway))
        assert gateway.receive(acknowledge(request, **changes), LMA, EPOCH) == [Ignore(IgnoreReason.ALTERED, LMA)]
        assert gateway.next_timeout is None
        assert not gateway.attachments[0].served

    def test_an_answer_is_compared_with_the_request_that_it_answers(self) -> None:
        """A refused refresh is repeated with another handoff indicator; a second answer to the first of the two must not end the tries."""
        gateway = serving("pmip")
        refresh = request_of(gateway.timeout(EPOCH + 225))
        refusal = acknowledge(refresh, Status.TIMESTAMP_MISMATCH, timestamp=timestamp_from_seconds(EPOCH + 225.4))
        gateway.receive(refusal, LMA, EPOCH + 225.5)
        again = request_of(gateway.timeout(EPOCH + 226))
        assert (refresh.handoff_indicator, again.handoff_indicator) == (5, 4)
        gateway.receive(refusal, LMA, EPOCH + 226.1)
        gateway.receive(acknowledge(again), LMA, EPOCH + 226.2)
        assert gateway.attachments[0].served

    @pytest.mark.parametrize("option", ["handoff_indicator", "access_technology", "link_layer_identifier", "mn_id", "timestamp"])
    def test_an_option_that_is_absent_has_no_other_value(self, option: str) -> None:
        gateway = mag("pmip")
        gateway.receive(acknowledge(request_of(attach(gateway)), **{option: None}), LMA, EPOCH)
        assert gateway.attachments[0].served

    def test_an_acknowledgement_of_nothing_is_ignored(self) -> None:
        gateway = mag("pmip")
        request = request_of(attach(gateway))
        assert gateway.receive(acknowledge(request, sequence=77), LMA, EPOCH) == [Ignore(IgnoreReason.UNMATCHED, LMA)]
        assert gateway.next_timeout == EPOCH + 1

    @pytest.mark.parametrize("changes", [{"home_network_prefixes": ()}, {"home_network_prefixes": (IPv6Network("::/0"),)}, {"lifetime": 0}])
    def test_an_acceptance_of_nothing_is_no_valid_response(self, changes: dict[str, Any]) -> None:
        gateway = mag("pmip")
        request = request_of(attach(gateway))
        assert gateway.receive(acknowledge(request, **changes), LMA, EPOCH) == [Ignore(IgnoreReason.MALFORMED, LMA)]
        assert gateway.next_timeout == EPOCH + 1

    def test_a_binding_that_is_not_refreshed_in_time_ends_here_and_is_made_anew(self) -> None:
        gateway = serving("pmip")
        done = timeouts(gateway, 400)
        assert [(time, type(action)) for time, action in done if not isinstance(action, Send)] == [
            (300, Advertise),
            (300, RemoveUplink),
            (300, RemoveAccessRoute),
        ]
        indicators = {time: request_of([action]).handoff_indicator for time, action in done if isinstance(action, Send)}
        assert {value for time, value in indicators.items() if time < 300} == {5}
        assert {value for time, value in indicators.items() if time > 300} == {4}
        last = request_of([done[-1][1]])
        assert InstallAccessRoute(prefix_of(1), CN_LINK) in gateway.receive(acknowledge(last), LMA, EPOCH + 400)

    def test_a_binding_counts_from_when_its_update_was_sent(self) -> None:
        gateway = mag("pmip")
        request = request_of(attach(gateway))
        gateway.receive(acknowledge(request, lifetime=5), LMA, EPOCH + 0.5)
        assert gateway.next_timeout == EPOCH + 15
        assert not any(isinstance(action, Advertise) for _, action in timeouts(gateway, 19.9))
        assert (20, Advertise(CN_LINK, (prefix_of(1),), 0)) in timeouts(gateway, 20)

    def test_the_anchor_gets_three_updates_a_second_about_one_node(self) -> None:
        gateway = serving("pmip")
        done = []
        for step in range(1, 6):
            now = EPOCH + step / 10
            done += gateway.detached(CN_LINK, now) if step % 2 else attach(gateway, now=now)
        assert len(sent(done)) == 2
        ((when, _),) = [(time, action) for time, action in timeouts(gateway, 1.05) if isinstance(action, Send)]
        assert when == 1.0
        assert request_of([*attach(gateway, 2, now=EPOCH + 0.5)]).mn_id == mn_id_of(2)

    def test_only_the_anchor_acknowledges(self) -> None:
        gateway = mag("pmip")
        request = request_of(attach(gateway))
        assert gateway.receive(acknowledge(request), MAG2, EPOCH) == [Ignore(IgnoreReason.UNKNOWN_SENDER, MAG2)]

    def test_a_node_that_leaves_is_deregistered(self) -> None:
        gateway = mag("pmip")
        first = request_of(attach(gateway))
        gateway.receive(acknowledge(first), LMA, EPOCH)
        *removed, send = gateway.detached(CN_LINK, EPOCH + 1)
        assert removed == [RemoveUplink(CN_LINK), RemoveAccessRoute(prefix_of(1), CN_LINK)]
        request = request_of([send])
        assert request == replace(first, sequence=1, lifetime=0, handoff_indicator=4, timestamp=timestamp_from_seconds(EPOCH + 1))
        assert gateway.receive(acknowledge(request), LMA, EPOCH + 1) == []
        assert gateway.next_timeout is None
        assert gateway.detached(CN_LINK, EPOCH + 2) == []

    def test_a_deregistration_is_sent_once_and_its_answer_waited_for(self) -> None:
        gateway = serving("pmip")
        request = request_of(gateway.detached(CN_LINK, EPOCH))
        assert gateway.next_timeout == EPOCH + 1
        assert gateway.receive(acknowledge(request, Status.REASON_UNSPECIFIED), LMA, EPOCH) == []
        assert gateway.next_timeout == EPOCH + 1
        assert timeouts(gateway, 100) == []
        assert gateway.receive(acknowledge(request), LMA, EPOCH + 2) == [Ignore(IgnoreReason.UNMATCHED, LMA)]

    def test_renumbering_withdraws_the_old_prefix(self) -> None:
        gateway = serving("pmip")
        refresh = request_of(gateway.timeout(EPOCH + 225))
        new = IPv6Network("2001:db8:1ff:1::/64")
        assert gateway.receive(acknowledge(refresh, home_network_prefixes=(new,)), LMA, EPOCH + 225) == [
            RemoveUplink(CN_LINK),
            RemoveAccessRoute(prefix_of(1), CN_LINK),
            InstallAccessRoute(new, CN_LINK),
            InstallUplink(CN_LINK, LMA),
            Advertise(CN_LINK, (new,), ROUTER_LIFETIME, (prefix_of(1),)),
        ]

    def test_every_node_is_told_of_another_path_mtu(self) -> None:
        gateway = serving("pmip")
        attach(gateway, 2)
        assert gateway.path_changed(EPOCH + 1) == [Advertise(CN_LINK, (prefix_of(1),), ROUTER_LIFETIME)]

    def test_the_path_to_the_anchor_is_probed_from_the_start(self) -> None:
        assert timeouts(mag("pmip", path_probe=5.0), 10) == [(0, ProbePath(LMA)), (5, ProbePath(LMA)), (10, ProbePath(LMA))]
        assert mag("sd-pmip", path_probe=5.0).next_timeout is None

    @pytest.mark.parametrize("identifier", [b"", bytes(2), bytes(6)])
    def test_a_link_layer_identifier_that_is_not_known_is_not_sent(self, identifier: bytes) -> None:
        gateway = mag("pmip")
        request = request_of(gateway.attached(CN_LINK, mn_id_of(1), identifier, EPOCH))
        assert request.link_layer_identifier is None
        assert InstallUplink(CN_LINK, LMA) in gateway.receive(acknowledge(request), LMA, EPOCH)
        assert request_of(gateway.detached(CN_LINK, EPOCH)).lifetime == 0

    def test_a_node_that_comes_back_is_no_longer_deregistered(self) -> None:
        gateway = serving("pmip")
        left = request_of(gateway.detached(CN_LINK, EPOCH + 1))
        back = request_of(attach(gateway, now=EPOCH + 1))
        assert (back.timestamp or 0) > (left.timestamp or 0)
        assert gateway.receive(acknowledge(left), LMA, EPOCH + 1) == [Ignore(IgnoreReason.UNMATCHED, LMA)]
        assert InstallUplink(CN_LINK, LMA) in gateway.receive(acknowledge(back), LMA, EPOCH + 1)
        assert [request.lifetime for request in sent(action for _, action in timeouts(gateway, 200))] == []

    def test_a_node_that_leaves_before_it_is_registered_is_deregistered(self) -> None:
        gateway = mag("pmip")
        registering = request_of(attach(gateway))
        assert request_of(gateway.detached(CN_LINK, EPOCH)).lifetime == 0
        assert gateway.receive(acknowledge(registering), LMA, EPOCH) == [Ignore(IgnoreReason.UNMATCHED, LMA)]
        assert timeouts(gateway, 100) == []

    def test_a_node_seen_twice_on_its_link_is_advertised_to_again(self) -> None:
        gateway = serving()
        assert attach(gateway) == [Advertise(CN_LINK, (prefix_of(1),), ROUTER_LIFETIME)]

    def test_a_node_that_changes_link_at_one_mag_is_registered_anew(self) -> None:
        gateway = serving()
        removed, send = attach(gateway, link="other-air", now=EPOCH + 1)
        assert removed == RemoveAccessRoute(prefix_of(1), CN_LINK)
        request = request_of([send])
        assert request.lifetime == 75
        assert InstallAccessRoute(prefix_of(1), "other-air") in gateway.receive(acknowledge(request), LMA, EPOCH + 1)
        assert gateway.detached(CN_LINK, EPOCH + 1) == []

    def test_another_node_on_a_link_takes_the_place_of_the_first(self) -> None:
        gateway = serving()
        actions = attach(gateway, 2, link=CN_LINK, now=EPOCH + 1)
        assert actions[0] == RemoveAccessRoute(prefix_of(1), CN_LINK)
        assert [(message.mn_id, message.lifetime > 0) for message in sent(actions)] == [(mn_id_of(1), False), (mn_id_of(2), True)]

    def test_a_node_without_profile_gets_no_service(self) -> None:
        gateway = mag("pmip")
        assert gateway.attached("x-air", "nobody@dmm.example", b"x", EPOCH) == []
        assert gateway.solicited("x-air", EPOCH) == []
        assert gateway.next_timeout is None

    def test_a_node_that_is_not_entitled_to_mobility_gets_no_service(self) -> None:
        told = config("pmip")
        gateway = Mag(replace(told, profiles=ProfileStore([Profile(mn_id_of(1), (prefix_of(1),), mobility=False)])), EPOCH)
        assert attach(gateway) == []
        assert gateway.solicited(CN_LINK, EPOCH) == []

    def test_advertisements_are_repeated_long_before_they_end(self) -> None:
        gateway = serving("sd-pmip")
        assert ADVERTISEMENT_INTERVAL * 2 < ROUTER_LIFETIME
        assert timeouts(gateway, 1300) == [
            (600.0, Advertise(CN_LINK, (prefix_of(1),), ROUTER_LIFETIME)),
            (1200.0, Advertise(CN_LINK, (prefix_of(1),), ROUTER_LIFETIME)),
        ]

    def test_stop_withdraws_everything(self) -> None:
        gateway = routed()
        gateway.packet_for(hoa_of(3), packet(CN, hoa_of(3)), EPOCH)
        actions = gateway.stop(EPOCH + 1)
        assert actions[:4] == [
            Advertise(CN_LINK, (prefix_of(1),), 0),
            RemoveAccessRoute(prefix_of(1), CN_LINK),
            RemoveRoute(prefix_of(2)),
            Drop((packet(CN, hoa_of(3)),), DropReason.STOPPED),
        ]
        assert request_of(actions).lifetime == 0


class TestSequenceNumbers:
    """RFC 5213, 5.5: sequence numbers keep PBUs in order."""

    def test_updates_carry_no_timestamp_and_count_for_each_session(self) -> None:
        gateway = mag("pmip", message_order=MessageOrder.SEQUENCE)
        first, other = request_of(attach(gateway)), request_of(attach(gateway, 2))
        repeats = [request_of([action]) for _, action in timeouts(gateway, 1)]
        assert {message.timestamp for message in (first, other, *repeats)} == {None}
        assert [(message.mn_id, message.sequence) for message in (first, other, *repeats)] == [
            (mn_id_of(1), 0),
            (mn_id_of(2), 1),
            (mn_id_of(1), 1),
            (mn_id_of(2), 2),
        ]

    def test_a_sequence_number_of_two_sessions_is_told_apart_by_its_node(self) -> None:
        gateway = mag("pmip", message_order=MessageOrder.SEQUENCE)
        attach(gateway)
        other = request_of(attach(gateway, 2))
        gateway.timeout(EPOCH + 1)
        gateway.receive(acknowledge(other), LMA, EPOCH + 1)
        assert [attachment.mn_id for attachment in gateway.attachments if attachment.served] == [mn_id_of(2)]

    def test_out_of_window_goes_on_from_the_anchors_number(self) -> None:
        gateway = mag("pmip", message_order=MessageOrder.SEQUENCE)
        request = request_of(attach(gateway))
        refusal = acknowledge(request, Status.SEQUENCE_NUMBER_OUT_OF_WINDOW, sequence=0xFFFF)
        assert [request_of(gateway.receive(replace(refusal, sequence=last), LMA, EPOCH)).sequence for last in (700, 0xFFFF)] == [701, 0]
        accepted = acknowledge(request, sequence=0)
        assert InstallUplink(CN_LINK, LMA) in gateway.receive(accepted, LMA, EPOCH)
        assert request_of(gateway.timeout(EPOCH + 225)).sequence == 1

    def test_an_anchor_that_names_the_node_only_is_understood_where_one_session_waits(self) -> None:
        """RFC 5213, 6.9.1.2 (5): a restarted MAG would be out of service for a lifetime."""
        gateway = mag("pmip", message_order=MessageOrder.SEQUENCE)
        request, _ = request_of(attach(gateway)), attach(gateway, 2)
        refusal = acknowledge(request, Status.SEQUENCE_NUMBER_OUT_OF_WINDOW, sequence=700, link_layer_identifier=None)
        assert request_of(gateway.receive(refusal, LMA, EPOCH)).sequence == 701

    def test_with_timestamps_it_is_a_refusal_like_others(self) -> None:
        gateway = mag("pmip")
        assert gateway.receive(acknowledge(request_of(attach(gateway)), Status.SEQUENCE_NUMBER_OUT_OF_WINDOW), LMA, EPOCH) == []
        assert gateway.next_timeout is None

    def test_a_node_that_comes_back_soon_goes_on_counting(self) -> None:
        gateway = serving("pmip", message_order=MessageOrder.SEQUENCE)
        left = request_of(gateway.detached(CN_LINK, EPOCH + 0.1))
        assert request_of(attach(gateway, now=EPOCH + 0.2)).sequence == left.sequence + 1

    def test_a_session_begins_above_the_last_number_that_was_sent_for_the_one_before(self) -> None:
        """The LMA may still have that one, be it de-registered; without it, numbers are the agent's own again."""
        gateway = serving("pmip", message_order=MessageOrder.SEQUENCE)
        for _, action in timeouts(gateway, 2):
            gateway.receive(acknowledge(request_of([action])), LMA, EPOCH + 2)
        left = request_of(gateway.detached(CN_LINK, EPOCH + 230))
        gateway.receive(acknowledge(left, lifetime=0), LMA, EPOCH + 230.1)
        assert request_of(attach(gateway, now=EPOCH + 230.2)).sequence == left.sequence + 1
        left = request_of(gateway.detached(CN_LINK, EPOCH + 231))
        gateway.receive(acknowledge(left, lifetime=0), LMA, EPOCH + 231.1)
        while (when := gateway.next_timeout) is not None:
            gateway.timeout(when)
        assert when is None
        assert request_of(attach(gateway, now=EPOCH + 1000)).sequence < left.sequence


class TestNodeTimestamps:
    """RFC 5213, 5.5: MobileNodeGeneratedTimestampInUse."""

    def test_the_nodes_timestamp_grows_with_each_update(self) -> None:
        gateway = mag("pmip", message_order=MessageOrder.NODE_TIMESTAMP)
        first = request_of(attach(gateway, timestamp=77))
        assert [first.timestamp, *(request_of([action]).timestamp for _, action in timeouts(gateway, 3))] == [77, 78, 79]

    def test_a_node_that_makes_none_has_the_gateways(self) -> None:
        gateway = mag("pmip", message_order=MessageOrder.NODE_TIMESTAMP)
        assert request_of(attach(gateway)).timestamp == timestamp_from_seconds(EPOCH)

    def test_the_time_of_day_is_used_where_the_domain_says_so(self) -> None:
        assert request_of(attach(mag("pmip"), timestamp=77)).timestamp == timestamp_from_seconds(EPOCH)


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


class TestSPmip:
    """Draft, 3.2.3."""

    def test_query_1_and_2_goes_from_the_mag_to_the_lma(self) -> None:
        (send,) = serving().packet_for(MN, P1, EPOCH)
        assert isinstance(send, Send)
        assert (send.destination, send.tunnelled) == (LMA, False)

    def test_query_3_names_the_home_address_and_nothing_else(self) -> None:
        question = request_of(serving().packet_for(MN, P1, EPOCH))
        assert question == ProxyBindingUpdate(
            sequence=1,
            lifetime=2,
            query=True,
            home_network_prefixes=(IPv6Network(MN),),
            timestamp=timestamp_from_seconds(EPOCH) + 1,
        )

    def test_packets_wait_during_the_query_which_is_made_once(self) -> None:
        gateway = serving()
        gateway.packet_for(MN, P1, EPOCH)
        assert gateway.packet_for(MN, P2, EPOCH + 0.1) == []

    def test_answer_1_without_the_q_flag_it_is_none(self) -> None:
        gateway = serving()
        question = request_of(gateway.packet_for(MN, P1, EPOCH))
        assert gateway.receive(replace(answer(question), query=False), LMA, EPOCH) == [Ignore(IgnoreReason.UNMATCHED, LMA)]

    def test_answer_2_success_releases_what_waits_first_and_then_sets_up_the_route(self) -> None:
        gateway = serving()
        question = request_of(gateway.packet_for(MN, P1, EPOCH))
        gateway.packet_for(MN, P2, EPOCH)
        assert gateway.receive(answer(question), LMA, EPOCH + 0.05) == [Release((P1, P2), MAG2), InstallRoute(prefix_of(2), MAG2)]
        assert gateway.packet_for(MN, P3, EPOCH + 0.05) == [Release((P3,), MAG2)]

    def test_answer_2_failure_gives_the_packets_up_and_tells_the_cn(self) -> None:
        gateway = serving()
        question = request_of(gateway.packet_for(MN, P1, EPOCH))
        gateway.packet_for(MN, P2, EPOCH)
        failure = answer(question, None, Status.NOT_LMA_FOR_THIS_MOBILE_NODE)
        assert gateway.receive(failure, LMA, EPOCH) == [Drop((P1, P2), DropReason.QUERY_FAILED), Unreachable(P1)]

    def test_a_failure_is_remembered_for_a_while(self) -> None:
        gateway = serving()
        question = request_of(gateway.packet_for(MN, P1, EPOCH))
        gateway.receive(answer(question, None, Status.NOT_LMA_FOR_THIS_MOBILE_NODE), LMA, EPOCH)
        assert gateway.packet_for(MN, P2, EPOCH + 0.9) == [Drop((P2,), DropReason.UNREACHABLE), Unreachable(P2)]
        assert request_of(gateway.packet_for(MN, P3, EPOCH + 1)).query

    def test_a_failure_tells_every_sender_once(self) -> None:
        gateway = serving()
        gateway.receive(acknowledge(request_of(attach(gateway, 3))), LMA, EPOCH)
        other = packet(hoa_of(3), MN, 9)
        question = request_of(gateway.packet_for(MN, P1, EPOCH))
        for data in (other, P2):
            gateway.packet_for(MN, data, EPOCH)
        actions = gateway.receive(answer(question, None, Status.NOT_LMA_FOR_THIS_MOBILE_NODE), LMA, EPOCH)
        assert actions == [Drop((P1, other, P2), DropReason.QUERY_FAILED), Unreachable(P1), Unreachable(other)]

    def test_an_unanswered_query_is_repeated_and_then_fails(self) -> None:
        gateway = serving(buffer_time=60.0)
        question = request_of(gateway.packet_for(MN, P1, EPOCH))
        *repeats, dropped, unreachable = timeouts(gateway, 100)
        assert [time for time, _ in repeats] == [0.2, 0.6, 1.4, 3.0]
        assert {request_of([action]).sequence for _, action in repeats} == {question.sequence}
        assert dropped == (6.2, Drop((P1,), DropReason.QUERY_FAILED))
        assert unreachable == (6.2, Unreachable(P1))

    def test_one_answer_serves_all_home_addresses_of_its_prefix(self) -> None:
        gateway = serving()
        other = packet(CN, MN + 1, 5)
        question = request_of(gateway.packet_for(MN, P1, EPOCH))
        second = request_of(gateway.packet_for(MN + 1, other, EPOCH))
        assert gateway.receive(answer(question), LMA, EPOCH) == [
            Release((P1,), MAG2),
            Release((other,), MAG2),
            InstallRoute(prefix_of(2), MAG2),
        ]
        assert gateway.receive(answer(second), LMA, EPOCH) == [Ignore(IgnoreReason.UNMATCHED, LMA)]

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"sequence": 999}, IgnoreReason.UNMATCHED),
            ({"home_network_prefixes": (prefix_of(3),)}, IgnoreReason.MALFORMED),
            ({"home_network_prefixes": ()}, IgnoreReason.MALFORMED),
            ({"alternate_care_of": None}, IgnoreReason.MALFORMED),
            ({"alternate_care_of": IPv6Address("2001:db8::bad")}, IgnoreReason.UNKNOWN_SENDER),
            ({"alternate_care_of": MAG1}, IgnoreReason.STALE),
        ],
    )
    def test_an_answer_of_no_use_is_ignored_and_the_query_goes_on(self, changes: dict[str, Any], reason: IgnoreReason) -> None:
        gateway = serving()
        question = request_of(gateway.packet_for(MN, P1, EPOCH))
        assert gateway.receive(replace(answer(question), **changes), LMA, EPOCH) == [Ignore(reason, LMA)]
        assert request_of(gateway.timeout(EPOCH + 0.2)).sequence == question.sequence

    def test_only_the_lma_answers(self) -> None:
        gateway = serving()
        question = request_of(gateway.packet_for(MN, P1, EPOCH))
        assert gateway.receive(answer(question), MAG3, EPOCH) == [Ignore(IgnoreReason.UNKNOWN_SENDER, MAG3)]

    def test_an_answer_without_lifetime_serves_the_waiting_packets_only(self) -> None:
        gateway = serving()
        question = request_of(gateway.packet_for(MN, P1, EPOCH))
        assert gateway.receive(answer(question, lifetime=0), LMA, EPOCH) == [Release((P1,), MAG2)]
        assert request_of(gateway.packet_for(MN, P2, EPOCH)).query

    def test_both_ends_behind_one_mag_need_no_query(self) -> None:
        gateway = serving()
        gateway.receive(acknowledge(request_of(attach(gateway, 2))), LMA, EPOCH)
        assert gateway.packet_for(MN, P1, EPOCH) == [Release((P1,), None)]

    def test_packets_for_a_node_being_registered_here_wait_for_it(self) -> None:
        gateway = serving()
        request = request_of(attach(gateway, 2))
        assert gateway.packet_for(MN, P1, EPOCH) == []
        assert gateway.receive(acknowledge(request), LMA, EPOCH + 0.05)[-1] == Release((P1,), None)

    def test_packets_that_wait_for_an_answer_go_to_the_node_when_it_comes_here(self) -> None:
        gateway = serving()
        question = request_of(gateway.packet_for(MN, P1, EPOCH))
        request = request_of(attach(gateway, 2))
        assert gateway.receive(answer(question), LMA, EPOCH) == [Ignore(IgnoreReason.UNMATCHED, LMA)]
        assert gateway.receive(acknowledge(request), LMA, EPOCH)[-1] == Release((P1,), None)

    def test_a_node_that_comes_here_needs_its_tunnel_route_no_more(self) -> None:
        gateway = routed()
        assert attach(gateway, 2)[0] == RemoveRoute(prefix_of(2))
        assert RemoveRoute(prefix_of(2)) not in gateway.stop(EPOCH)

    def test_buffering_that_is_off_drops_and_queries(self) -> None:
        gateway = serving(buffer_packets=0)
        send, drop = gateway.packet_for(MN, P1, EPOCH)
        assert request_of([send]).query
        assert drop == Drop((P1,), DropReason.BUFFER_OFF)
        assert gateway.receive(answer(request_of([send])), LMA, EPOCH) == [InstallRoute(prefix_of(2), MAG2)]

    def test_packets_are_not_held_for_ever(self) -> None:
        gateway = serving(buffer_time=5.0)
        gateway.packet_for(MN, P1, EPOCH)
        assert (5.0, Drop((P1,), DropReason.BUFFER_TIMEOUT)) in timeouts(gateway, 6)

    def test_queries_are_limited_for_each_access_link(self) -> None:
        gateway = serving(query_rate=1.0)
        third = packet(CN, hoa_of(3), 5)
        fourth = packet(hoa_of(4), hoa_of(3), 6)
        gateway.receive(acknowledge(request_of(attach(gateway, 4))), LMA, EPOCH)
        gateway.packet_for(MN, P1, EPOCH)
        assert gateway.packet_for(hoa_of(3), third, EPOCH) == [Drop((third,), DropReason.RATE_LIMITED)]
        assert request_of(gateway.packet_for(hoa_of(3), fourth, EPOCH)).query
        assert gateway.packet_for(MN, P2, EPOCH) == []

    def test_what_is_no_home_address_is_dropped(self) -> None:
        data = packet(CN, IPv6Address("2001:db8:f::1"))
        assert serving().packet_for(IPv6Address("2001:db8:f::1"), data, EPOCH) == [Drop((data,), DropReason.NOT_HOME)]

    def test_pmip_sends_nothing_past_the_anchor(self) -> None:
        assert serving("pmip").packet_for(MN, P1, EPOCH) == [Drop((P1,), DropReason.NOT_ATTACHED)]


class TestRenewal:
    """A route lapses before its answer does, so that the next packet can prove that it is used."""

    def test_a_route_that_is_not_used_ends(self) -> None:
        assert timeouts(routed("sd-pmip"), 100) == [(7.0, RemoveRoute(prefix_of(2)))]

    def test_a_route_in_use_is_asked_for_again_without_loss(self) -> None:
        gateway = routed()
        assert gateway.timeout(EPOCH + 7) == [RemoveRoute(prefix_of(2))]
        release, route, send = gateway.packet_for(MN, P2, EPOCH + 7.1)
        assert (release, route) == (Release((P2,), MAG2), InstallRoute(prefix_of(2), MAG2))
        question = request_of([send])
        assert gateway.packet_for(MN, P3, EPOCH + 7.1) == [Release((P3,), MAG2)]
        assert gateway.receive(answer(question), LMA, EPOCH + 7.2) == []
        assert gateway.timeout(EPOCH + 8) == []
        assert gateway.timeout(EPOCH + 7.1 + 7) == [RemoveRoute(prefix_of(2))]

    def test_its_answer_may_name_another_mag(self) -> None:
        gateway = routed()
        gateway.timeout(EPOCH + 7)
        question = request_of(gateway.packet_for(MN, P2, EPOCH + 7.1))
        assert gateway.receive(answer(question, MAG3), LMA, EPOCH + 7.2) == [InstallRoute(prefix_of(2), MAG3)]

    def test_without_an_answer_the_route_ends_with_the_old_one_and_packets_wait(self) -> None:
        gateway = routed()
        gateway.timeout(EPOCH + 7)
        question = request_of(gateway.packet_for(MN, P2, EPOCH + 7.1))
        assert RemoveRoute(prefix_of(2)) in gateway.timeout(EPOCH + 8)
        assert gateway.packet_for(MN, P3, EPOCH + 8) == []
        assert gateway.receive(answer(question), LMA, EPOCH + 8.1) == [Release((P3,), MAG2), InstallRoute(prefix_of(2), MAG2)]

    def test_an_answer_of_failure_ends_the_route(self) -> None:
        gateway = routed()
        gateway.timeout(EPOCH + 7)
        question = request_of(gateway.packet_for(MN, P2, EPOCH + 7.1))
        failure = answer(question, None, Status.NOT_LMA_FOR_THIS_MOBILE_NODE)
        assert gateway.receive(failure, LMA, EPOCH + 7.2) == [RemoveRoute(prefix_of(2))]

    def test_a_packet_after_the_answers_end_queries_even_if_no_timer_fired(self) -> None:
        gateway = routed()
        removed, send = gateway.packet_for(MN, P2, EPOCH + 9)
        assert removed == RemoveRoute(prefix_of(2))
        assert request_of([send]).query

    def test_a_margin_longer_than_the_lifetime_does_not_prevent_routes(self) -> None:
        gateway = routed(query_margin=60.0)
        assert gateway.next_timeout == EPOCH + 4


class TestSdPmip:
    """Draft, 3.3.1 and 3.3.2."""

    def test_procedure_1_an_attached_node_is_served_at_once_without_registration(self) -> None:
        assert attach(mag("sd-pmip")) == [
            InstallAccessRoute(prefix_of(1), CN_LINK),
            Advertise(CN_LINK, (prefix_of(1),), ROUTER_LIFETIME),
        ]

    def test_query_1_to_3_goes_encapsulated_to_the_group_and_names_the_home_address(self) -> None:
        (send,) = serving("sd-pmip").packet_for(MN, P1, EPOCH)
        assert isinstance(send, Send)
        assert (send.destination, send.tunnelled) == (GROUP, True)
        assert request_of([send]).query
        assert request_of([send]).home_network_prefixes == (IPv6Network(MN),)

    def test_answer_1_a_query_without_the_q_flag_is_none(self) -> None:
        question = request_of(serving("sd-pmip").packet_for(MN, P1, EPOCH))
        gateway = serving("sd-pmip")
        assert gateway.receive(replace(question, query=False), MAG2, EPOCH) == [Ignore(IgnoreReason.UNEXPECTED, MAG2)]

    def test_answer_2_and_3_the_mag_of_the_node_answers_by_unicast(self) -> None:
        gateway = serving("sd-pmip")
        question = ProxyBindingUpdate(sequence=5, lifetime=2, query=True, home_network_prefixes=(IPv6Network(CN),), timestamp=42)
        assert gateway.receive(question, MAG2, EPOCH) == [
            Send(
                ProxyBindingAcknowledgement(
                    status=0,
                    sequence=5,
                    lifetime=2,
                    query=True,
                    home_network_prefixes=(prefix_of(1),),
                    timestamp=42,
                    alternate_care_of=MAG1,
                ),
                MAG2,
            )
        ]

    def test_answer_3_all_other_mags_stay_silent(self) -> None:
        question = ProxyBindingUpdate(sequence=5, lifetime=2, query=True, home_network_prefixes=(IPv6Network(MN),), timestamp=42)
        assert serving("sd-pmip").receive(question, MAG2, EPOCH) == [Ignore(IgnoreReason.NOT_OURS, MAG2)]

    def test_answer_3_a_mag_that_the_node_has_left_stays_silent(self) -> None:
        gateway = serving("sd-pmip")
        gateway.detached(CN_LINK, EPOCH)
        question = ProxyBindingUpdate(sequence=5, lifetime=2, query=True, home_network_prefixes=(IPv6Network(CN),), timestamp=42)
        assert gateway.receive(question, MAG2, EPOCH) == [Ignore(IgnoreReason.NOT_OURS, MAG2)]

    def test_a_query_without_home_address_is_malformed(self) -> None:
        question = ProxyBindingUpdate(sequence=5, lifetime=2, query=True)
        assert serving("sd-pmip").receive(question, MAG2, EPOCH) == [Ignore(IgnoreReason.MALFORMED, MAG2)]

    def test_procedure_5_the_answer_opens_the_tunnel_buffered_packets_first(self) -> None:
        gateway = serving("sd-pmip")
        question = request_of(gateway.packet_for(MN, P1, EPOCH))
        assert gateway.receive(answer(question), MAG2, EPOCH) == [Release((P1,), MAG2), InstallRoute(prefix_of(2), MAG2)]

    def test_an_answer_speaks_of_nobody_but_its_sender(self) -> None:
        gateway = serving("sd-pmip")
        question = request_of(gateway.packet_for(MN, P1, EPOCH))
        assert gateway.receive(answer(question, MAG3), MAG2, EPOCH) == [Ignore(IgnoreReason.UNKNOWN_SENDER, MAG2)]
        assert gateway.receive(answer(question, MAG2), MAG2, EPOCH)[-1] == InstallRoute(prefix_of(2), MAG2)

    @pytest.mark.parametrize("scheme", ["s-pmip", "sd-pmip"])
    @pytest.mark.parametrize("prefix", ["2001:db8:100::/40", "2001:db8:100:2::/63", "2001:db8:100:2::2/128", "::/0"])
    def test_an_answer_names_a_prefix_of_a_nodes_profile(self, scheme: str, prefix: str) -> None:
        gateway, source = serving(scheme), LMA if scheme == "s-pmip" else MAG2
        question = request_of(gateway.packet_for(MN, P1, EPOCH))
        wrong = replace(answer(question), home_network_prefixes=(IPv6Network(prefix, strict=False),))
        assert gateway.receive(wrong, source, EPOCH) == [Ignore(IgnoreReason.NO_SUCH_PREFIX, source)]
        assert gateway.receive(answer(question), source, EPOCH)[-1] == InstallRoute(prefix_of(2), MAG2)

    def test_an_answer_without_care_of_option_means_its_sender(self) -> None:
        gateway = serving("sd-pmip")
        question = request_of(gateway.packet_for(MN, P1, EPOCH))
        assert gateway.receive(answer(question, None), MAG3, EPOCH)[-1] == InstallRoute(prefix_of(2), MAG3)

    def test_one_mags_failure_is_not_the_domains(self) -> None:
        gateway = serving("sd-pmip")
        question = request_of(gateway.packet_for(MN, P1, EPOCH))
        failure = answer(question, None, Status.NOT_LMA_FOR_THIS_MOBILE_NODE)
        assert gateway.receive(failure, MAG3, EPOCH) == [Ignore(IgnoreReason.NOT_OURS, MAG3)]
        assert gateway.receive(answer(question), MAG2, EPOCH)[0] == Release((P1,), MAG2)

    def test_first_packet_multicast_sends_packets_to_the_group_until_the_answer(self) -> None:
        gateway = serving("sd-pmip", first_packet=FirstPacket.MULTICAST)
        send, first = gateway.packet_for(MN, P1, EPOCH)
        assert first == Multicast(P1, GROUP)
        assert gateway.packet_for(MN, P2, EPOCH) == [Multicast(P2, GROUP)]
        assert gateway.receive(answer(request_of([send])), MAG2, EPOCH) == [InstallRoute(prefix_of(2), MAG2)]

    def test_ones_own_message_to_the_group_is_nothing_new(self) -> None:
        gateway = serving("sd-pmip")
        question = request_of(gateway.packet_for(MN, P1, EPOCH))
        assert gateway.receive(question, MAG1, EPOCH) == [Ignore(IgnoreReason.NOT_OURS, MAG1)]

    def test_s_pmip_answers_no_queries(self) -> None:
        question = ProxyBindingUpdate(sequence=5, lifetime=2, query=True, home_network_prefixes=(IPv6Network(CN),), timestamp=42)
        assert serving("s-pmip").receive(question, MAG2, EPOCH) == [Ignore(IgnoreReason.UNEXPECTED, MAG2)]


class TestNone:
    def test_each_router_advertises_a_prefix_of_its_own(self) -> None:
        own = IPv6Network("2001:db8:1:1::/64")
        gateway = mag("none")
        assert attach(gateway) == [InstallAccessRoute(own, CN_LINK), Advertise(CN_LINK, (own,), ROUTER_LIFETIME)]
        assert gateway.detached(CN_LINK, EPOCH) == [RemoveAccessRoute(own, CN_LINK)]

    def test_a_router_without_a_prefix_for_the_node_serves_it_not(self) -> None:
        gateway = Mag(replace(config("none"), name="elsewhere"), EPOCH)
        assert attach(gateway) == []


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


class TestExpire:
    @pytest.mark.parametrize("scheme", ["s-pmip", "sd-pmip"])
    def test_nothing_is_done_about_stale_routes(self, scheme: str) -> None:
        gateway = routed(scheme, "expire")
        data = packet(CN, hoa_of(3))
        assert gateway.tunnelled(data, MAG2, EPOCH) == [Drop((data,), DropReason.NOT_ATTACHED)]
        error = BindingError(status=1, home_address=MN)
        assert gateway.receive(error, MAG2, EPOCH) == [Ignore(IgnoreReason.UNEXPECTED, MAG2)]


@pytest.mark.parametrize("scheme", ["s-pmip", "sd-pmip"])
class TestError:
    def test_a_stray_packet_is_answered_with_a_binding_error(self, scheme: str) -> None:
        gateway = serving(scheme, "error")
        data = packet(hoa_of(3), MN)
        assert gateway.tunnelled(data, MAG3, EPOCH) == [
            Send(BindingError(status=1, home_address=MN), MAG3),
            Drop((data,), DropReason.NOT_ATTACHED),
        ]

    def test_a_burst_causes_one_and_a_lost_one_is_made_good(self, scheme: str) -> None:
        gateway = serving(scheme, "error")
        errors = [len(sent(gateway.tunnelled(packet(hoa_of(3), MN), MAG3, EPOCH + number * 0.01), "BE")) for number in range(10)]
        assert errors == [1, 0, 0, 0, 0, 1, 0, 0, 0, 0]

    def test_packets_to_the_group_cause_none(self, scheme: str) -> None:
        data = packet(hoa_of(3), MN)
        assert serving(scheme, "error").tunnelled(data, MAG3, EPOCH, multicast=True) == [Drop((data,), DropReason.NOT_ATTACHED)]

    def test_the_anchor_is_told_nothing(self, scheme: str) -> None:
        gateway = serving("s-pmip", "error")
        assert sent(gateway.tunnelled(packet(hoa_of(3), MN), LMA, EPOCH)) == []

    def test_the_sender_drops_its_route_asks_again_and_lets_packets_wait(self, scheme: str) -> None:
        gateway = routed(scheme, "error")
        removed, send = gateway.receive(BindingError(status=1, home_address=MN), MAG2, EPOCH + 1)
        assert removed == RemoveRoute(prefix_of(2))
        assert gateway.packet_for(MN, P2, EPOCH + 1) == []
        new = answer(request_of([send]), MAG3)
        sender = LMA if scheme == "s-pmip" else MAG3
        assert gateway.receive(new, sender, EPOCH + 1.1) == [Release((P2,), MAG3), InstallRoute(prefix_of(2), MAG3)]

    def test_an_error_about_another_mag_or_no_route_changes_nothing(self, scheme: str) -> None:
        gateway = routed(scheme, "error")
        assert gateway.receive(BindingError(status=1, home_address=MN), MAG3, EPOCH) == [Ignore(IgnoreReason.STALE, MAG3)]
        assert gateway.receive(BindingError(status=1, home_address=hoa_of(3)), MAG2, EPOCH) == [Ignore(IgnoreReason.STALE, MAG2)]
        assert gateway.receive(BindingError(status=2, home_address=MN), MAG2, EPOCH) == [Ignore(IgnoreReason.UNEXPECTED, MAG2)]


def notification(prefix: IPv6Network, care_of: IPv6Address | None, now: float, **changes: Any) -> UpdateNotification:
    news = UpdateNotification(
        sequence=11,
        notification_reason=2,
        mn_id=mn_id_of(2),
        home_network_prefixes=(prefix,),
        timestamp=timestamp_from_seconds(now),
        alternate_care_of=care_of,
    )
    return replace(news, **changes)


class TestNotify:
    def test_s_pmip_repoints_its_route_and_acknowledges(self) -> None:
        gateway = routed("s-pmip", "notify")
        news = notification(prefix_of(2), MAG3, EPOCH + 1, acknowledge=True)
        acknowledgement = Send(
            UpdateNotificationAcknowledgement(sequence=11, status=0, mn_id=mn_id_of(2), home_network_prefixes=(prefix_of(2),)), LMA
        )
        assert gateway.receive(news, LMA, EPOCH + 1) == [InstallRoute(prefix_of(2), MAG3), acknowledgement]
        assert gateway.receive(replace(news, retransmit=True), LMA, EPOCH + 2) == [acknowledgement]
        assert gateway.timeout(EPOCH + 7) == [RemoveRoute(prefix_of(2))]

    def test_s_pmip_hears_the_lma_only(self) -> None:
        gateway = routed("s-pmip", "notify")
        assert gateway.receive(notification(prefix_of(2), MAG3, EPOCH + 1), MAG3, EPOCH + 1) == [Ignore(IgnoreReason.UNKNOWN_SENDER, MAG3)]

    def test_sd_pmip_hears_the_new_mag_only(self) -> None:
        gateway = routed("sd-pmip", "notify")
        assert gateway.receive(notification(prefix_of(2), MAG3, EPOCH + 1), MAG2, EPOCH + 1) == [Ignore(IgnoreReason.UNKNOWN_SENDER, MAG2)]
        assert gateway.receive(notification(prefix_of(2), MAG3, EPOCH + 1), MAG3, EPOCH + 1) == [InstallRoute(prefix_of(2), MAG3)]

    def test_older_news_do_not_change_a_newer_route(self) -> None:
        gateway = routed("sd-pmip", "notify")
        gateway.receive(notification(prefix_of(2), MAG3, EPOCH + 2), MAG3, EPOCH + 2)
        old = notification(prefix_of(2), MAG2, EPOCH + 1)
        assert gateway.receive(old, MAG2, EPOCH + 2.1) == [Ignore(IgnoreReason.STALE, MAG2)]

    @pytest.mark.parametrize("off", [-0.3, -0.2, 0.2, 0.3])
    def test_whose_clock_is_ahead_makes_no_difference(self, off: float) -> None:
        """A query, then a move, as seen by a MAG whose clock is off: the anchor's news carry the anchor's time."""
        gateway = serving("s-pmip", "notify")
        question = request_of(gateway.packet_for(MN, P1, EPOCH + off))
        gateway.receive(answer(question), LMA, EPOCH + off + 0.05)
        actions = gateway.receive(notification(prefix_of(2), MAG3, EPOCH + 0.1), LMA, EPOCH + off + 0.1)
        assert actions == [InstallRoute(prefix_of(2), MAG3)]

    @pytest.mark.parametrize("off", [-0.29, 0.29])
    def test_where_there_is_no_anchor_the_next_mag_is_believed_whatever_its_clock_says(self, off: float) -> None:
        gateway = routed("sd-pmip", "notify")
        gateway.receive(notification(prefix_of(2), MAG3, EPOCH + 1), MAG3, EPOCH + 1)
        news = notification(prefix_of(2), MAG2, EPOCH + 1.01 + off)
        assert gateway.receive(news, MAG2, EPOCH + 1.01) == [InstallRoute(prefix_of(2), MAG2)]
        assert gateway.receive(notification(prefix_of(2), MAG3, EPOCH + 1), MAG3, EPOCH + 1.02) == [Ignore(IgnoreReason.STALE, MAG3)]

    def test_news_of_another_kind_or_without_care_of_change_nothing(self) -> None:
        gateway = routed("s-pmip", "notify")
        for news in (notification(prefix_of(2), MAG3, EPOCH, notification_reason=4), notification(prefix_of(2), None, EPOCH)):
            assert gateway.receive(news, LMA, EPOCH) == [Ignore(IgnoreReason.UNEXPECTED, LMA)]

    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({"notification_reason": 0}, 128),
            ({"notification_reason": 3}, 129),
            ({"notification_reason": 4}, 128),
            ({"notification_reason": 255}, 128),
            ({"alternate_care_of": None}, 128),
            ({"alternate_care_of": MAG1}, 128),
            ({"alternate_care_of": LMA}, 128),
            ({"mn_id": None}, 128),
            ({"mn_id": mn_id_of(3)}, 128),
            ({"mn_id": "nobody@dmm.example"}, 128),
            ({"home_network_prefixes": ()}, 128),
        ],
    )
    def test_news_that_cannot_be_applied_are_acknowledged_as_failed_or_dropped(self, changes: dict[str, Any], code: int) -> None:
        gateway = routed("s-pmip", "notify")
        news = replace(notification(prefix_of(2), MAG3, EPOCH + 1), **changes)
        ignored = Ignore(IgnoreReason.UNEXPECTED, LMA)
        assert gateway.receive(news, LMA, EPOCH + 1) == [ignored]
        failure = UpdateNotificationAcknowledgement(
            sequence=11, status=code, mn_id=news.mn_id, home_network_prefixes=news.home_network_prefixes
        )
        for _ in range(2):
            assert gateway.receive(replace(news, acknowledge=True), LMA, EPOCH + 1) == [ignored, Send(failure, LMA)]
        assert gateway.packet_for(MN, P2, EPOCH + 1) == [Release((P2,), MAG2)]

    def test_a_repetition_whose_first_was_lost_counts_as_the_first(self) -> None:
        gateway = routed("s-pmip", "notify")
        news = notification(prefix_of(2), MAG3, EPOCH + 1, acknowledge=True, retransmit=True)
        first, second = gateway.receive(news, LMA, EPOCH + 2)
        assert first == InstallRoute(prefix_of(2), MAG3)
        assert [message.sequence for message in sent([second])] == [11]

    def test_a_repetition_undoes_no_later_news_and_is_acknowledged(self) -> None:
        gateway = routed("s-pmip", "notify")
        old = notification(prefix_of(2), MAG3, EPOCH + 1, acknowledge=True)
        gateway.receive(old, LMA, EPOCH + 1)
        gateway.receive(notification(prefix_of(2), MAG2, EPOCH + 2, sequence=12), LMA, EPOCH + 2)
        ignored, acknowledged = gateway.receive(replace(old, retransmit=True), LMA, EPOCH + 2.1)
        assert ignored == Ignore(IgnoreReason.STALE, LMA)
        assert [message.status for message in sent([acknowledged])] == [0]
        assert gateway.packet_for(MN, P2, EPOCH + 3) == [Release((P2,), MAG2)]

    @pytest.mark.parametrize("policy", SCHEMES["s-pmip"].policies)
    @pytest.mark.parametrize("retransmit", [False, True])
    def test_the_anchor_may_want_a_node_registered_anew(self, policy: str, retransmit: bool) -> None:
        gateway = serving("s-pmip", policy)
        news = UpdateNotification(sequence=11, notification_reason=1, mn_id=mn_id_of(1), retransmit=retransmit)
        (request,) = sent(gateway.receive(news, LMA, EPOCH + 1))
        assert isinstance(request, ProxyBindingUpdate)
        assert (request.mn_id, request.home_network_prefixes, request.handoff_indicator) == (mn_id_of(1), (prefix_of(1),), 5)
        again, acknowledgement = sent(gateway.receive(replace(news, acknowledge=True), LMA, EPOCH + 2))
        assert isinstance(again, ProxyBindingUpdate)
        assert acknowledgement == UpdateNotificationAcknowledgement(sequence=11, status=0, mn_id=mn_id_of(1))

    def test_but_not_one_that_is_not_here_nor_may_another(self) -> None:
        gateway = serving("s-pmip", "notify")
        news = UpdateNotification(sequence=11, notification_reason=1, mn_id=mn_id_of(2))
        ignored = Ignore(IgnoreReason.NOT_OURS, LMA)
        failure = UpdateNotificationAcknowledgement(sequence=11, status=128, mn_id=mn_id_of(2))
        assert gateway.receive(news, LMA, EPOCH + 1) == [ignored]
        assert gateway.receive(replace(news, acknowledge=True), LMA, EPOCH + 1) == [ignored, Send(failure, LMA)]
        assert gateway.receive(replace(news, mn_id=mn_id_of(1)), MAG2, EPOCH + 1) == [Ignore(IgnoreReason.UNKNOWN_SENDER, MAG2)]

    def test_news_that_name_this_mag_change_nothing(self) -> None:
        gateway = routed("s-pmip", "notify")
        assert gateway.receive(notification(prefix_of(2), MAG1, EPOCH + 1), LMA, EPOCH + 1) == [Ignore(IgnoreReason.UNEXPECTED, LMA)]

    def test_news_of_no_interest_are_acknowledged(self) -> None:
        gateway = serving("s-pmip", "notify")
        actions = gateway.receive(notification(prefix_of(2), MAG3, EPOCH, acknowledge=True), LMA, EPOCH)
        assert [type(message) for message in sent(actions)] == [UpdateNotificationAcknowledgement]
        assert len(actions) == 1

    def test_news_let_waiting_packets_go_and_the_query_goes_on(self) -> None:
        gateway = serving("s-pmip", "notify")
        question = request_of(gateway.packet_for(MN, P1, EPOCH))
        gateway.receive(answer(question, MAG1), LMA, EPOCH + 0.05)
        news = notification(prefix_of(2), MAG3, EPOCH + 0.1)
        assert gateway.receive(news, LMA, EPOCH + 0.1) == [Release((P1,), MAG3), InstallRoute(prefix_of(2), MAG3)]
        assert request_of(gateway.timeout(EPOCH + 0.2)).sequence == question.sequence
        assert gateway.receive(answer(question, MAG3), LMA, EPOCH + 0.25) == []

    def test_an_answer_older_than_the_news_does_not_undo_them(self) -> None:
        gateway = serving("s-pmip", "notify")
        question = request_of(gateway.packet_for(MN, P1, EPOCH))
        gateway.receive(notification(prefix_of(2), MAG3, EPOCH + 0.1), LMA, EPOCH + 0.1)
        assert gateway.receive(answer(question, MAG2), LMA, EPOCH + 0.11) == [Ignore(IgnoreReason.STALE, LMA)]
        assert gateway.packet_for(MN, P2, EPOCH + 0.2) == [Release((P2,), MAG3)]

    def test_sd_pmip_tells_the_group_three_times_where_the_node_is(self) -> None:
        gateway = mag("sd-pmip", "notify")
        first = [action for action in attach(gateway) if isinstance(action, Send)]
        repeats = [(time, action) for time, action in timeouts(gateway, 100) if isinstance(action, Send)]
        assert [time for time, _ in repeats] == [1.0, 2.0]
        for send in [*first, *(action for _, action in repeats)]:
            assert (send.destination, send.tunnelled) == (GROUP, True)
        (news,) = sent(first)
        assert isinstance(news, UpdateNotification)
        assert (news.home_network_prefixes, news.alternate_care_of, news.acknowledge) == ((prefix_of(1),), MAG1, False)
        assert sent(action for _, action in repeats) == [replace(news, retransmit=True)] * 2

    def test_sd_pmip_says_no_more_once_the_node_has_left(self) -> None:
        gateway = mag("sd-pmip", "notify")
        attach(gateway)
        gateway.detached(CN_LINK, EPOCH + 0.5)
        assert timeouts(gateway, 100) == []

    def test_news_from_elsewhere_do_not_take_an_attached_node_away(self) -> None:
        gateway = serving("sd-pmip", "notify")
        attach(gateway, 2)
        assert gateway.receive(notification(prefix_of(1), MAG3, EPOCH + 1, mn_id=mn_id_of(1)), MAG3, EPOCH + 1) == []
        assert gateway.packet_for(CN, packet(MN, CN), EPOCH + 1) == [Release((packet(MN, CN),), None)]
