"""What is said to the sender of a Mobility Header that cannot be read (RFC 6275, 9.2 and 9.3.3)."""

from __future__ import annotations

from ipaddress import IPv6Address

from agents.actions import Action, ParameterProblem, Send
from agents.messages import BindingError, BindingErrorStatus, MessageError, ParameterProblemError, UnknownTypeError, ipv6_packet
from agents.ordering import TokenBuckets

ERROR_RATE = 10.0
"""Errors a second, as RFC 4443, 2.4 (f) has it for ICMPv6."""

_IPV6_HEADER = 40
_UNSPECIFIED = IPv6Address("::")


class HeaderErrors:
    """Answers what RFC 6275 wants to be answered, no more often than ERROR_RATE allows."""

    def __init__(self) -> None:
        self._budget: TokenBuckets[None] = TokenBuckets(ERROR_RATE)

    def answer(self, error: MessageError, data: bytes, source: IPv6Address, destination: IPv6Address, now: float) -> list[Action]:
        """Tell ``source`` what ``error`` there was in ``data``, the octets that it sent behind an IPv6 header."""
        if not isinstance(error, UnknownTypeError | ParameterProblemError) or source.is_multicast or source.is_unspecified:
            return []
        if not self._budget.take(None, now):
            return []
        if isinstance(error, UnknownTypeError):
            return [Send(BindingError(status=BindingErrorStatus.UNRECOGNIZED_MH_TYPE, home_address=_UNSPECIFIED), source)]
        return [ParameterProblem(ipv6_packet(data, source, destination), _IPV6_HEADER + error.offset)]
