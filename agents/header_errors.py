"""What is said to the sender of a Mobility Header that cannot be read (RFC 6275, 9.2 and 9.3.3)."""

from __future__ import annotations

from ipaddress import IPv6Address

from agents.actions import Action, ParameterProblem, Send
from agents.messages import BindingError, BindingErrorStatus, MessageError, ParameterProblemError, UnknownTypeError, ipv6_packet
from agents.ordering import TokenBuckets

ERROR_RATE = 10.0
"""Errors a second, of ICMPv6 (RFC 4443, 2.4 (f)) and as many Binding Errors about unknown types."""

_IPV6_HEADER = 40
_UNSPECIFIED = IPv6Address("::")


class HeaderErrors:
    """Answers what RFC 6275 wants to be answered.

    A Binding Error is signed where the domain has a key, so only who has the key gets one, no more often than ERROR_RATE allows. An
    ICMPv6 error bears no signature and changes nothing at any agent; how often it is sent, the endpoint decides (agents/endpoint.py).
    """

    def __init__(self) -> None:
        self._budget: TokenBuckets[None] = TokenBuckets(ERROR_RATE)

    def answer(
        self, error: MessageError, data: bytes, source: IPv6Address, destination: IPv6Address, now: float, trusted: bool = True
    ) -> list[Action]:
        """Tell ``source`` what ``error`` there was in ``data``, the octets that it sent behind an IPv6 header.

        ``trusted`` tells whether they are authenticated, where the domain has a key.
        """
        if source.is_multicast or source.is_unspecified:
            return []
        if isinstance(error, ParameterProblemError):
            return [ParameterProblem(ipv6_packet(data, source, destination), _IPV6_HEADER + error.offset)]
        if not isinstance(error, UnknownTypeError) or not trusted or not self._budget.take(None, now):
            return []
        return [Send(BindingError(status=BindingErrorStatus.UNRECOGNIZED_MH_TYPE, home_address=_UNSPECIFIED), source)]
