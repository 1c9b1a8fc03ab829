"""Mobility Headers that cannot be read are answered as RFC 6275, 9.2 and 9.3.3, wants it."""

from __future__ import annotations

from ipaddress import IPv6Address

import pytest
from scapy.layers.inet6 import ICMPv6ParamProblem

from agents.actions import Action, ParameterProblem, Send
from agents.header_errors import ERROR_RATE, HeaderErrors
from agents.messages import BindingError, BindingErrorStatus, MessageError, decode, ipv6_packet
from agents.router_advertisement import encode_parameter_problem

HERE, THERE = IPv6Address("2001:db8::1"), IPv6Address("2001:db8::2")
UNKNOWN_TYPE, PAYLOAD, SHORT = "3b01ff00 0000 0001 c200 0001 00000000", "3a010500 0000 0001 c200 0001 00000000", "3b000500 0000 0001"


def answer(octets: str, source: IPv6Address = THERE, errors: HeaderErrors | None = None, now: float = 0.0) -> list[Action]:
    data = bytes.fromhex(octets)
    with pytest.raises(MessageError) as raised:
        decode(data)
    return (errors or HeaderErrors()).answer(raised.value, data, source, HERE, now)


def test_an_unknown_type_gets_a_binding_error_of_status_2_without_home_address() -> None:
    error = BindingError(status=BindingErrorStatus.UNRECOGNIZED_MH_TYPE, home_address=IPv6Address("::"))
    assert answer(UNKNOWN_TYPE) == [Send(error, THERE)]


@pytest.mark.parametrize(("octets", "pointer"), [(PAYLOAD, 40), (SHORT, 41)], ids=["payload protocol", "header length"])
def test_a_wrong_header_field_gets_a_parameter_problem_that_points_at_it(octets: str, pointer: int) -> None:
    packet = ipv6_packet(bytes.fromhex(octets), THERE, HERE)
    assert answer(octets) == [ParameterProblem(packet, pointer)]
    dissected = ICMPv6ParamProblem(encode_parameter_problem(packet, pointer))
    assert (dissected.type, dissected.code, dissected.ptr) == (4, 0, pointer)
    assert bytes(dissected.payload) == packet


@pytest.mark.parametrize("octets", ["", "3b010500 0000 0001 c000 0001 00000000", "3b010500 0000 0001 c200 0001 17010000"])
def test_whatever_else_is_wrong_is_not_answered(octets: str) -> None:
    assert answer(octets) == []


@pytest.mark.parametrize("source", ["ff02::1", "::"])
def test_who_has_no_unicast_address_is_not_answered(source: str) -> None:
    assert answer(UNKNOWN_TYPE, IPv6Address(source)) == []


def test_answers_are_rate_limited() -> None:
    errors = HeaderErrors()
    answered = [answer(UNKNOWN_TYPE, IPv6Address(int(THERE) + number), errors) for number in range(50)]
    assert sum(map(len, answered)) == ERROR_RATE
    assert len(answer(UNKNOWN_TYPE, errors=errors, now=1 / ERROR_RATE)) == 1
