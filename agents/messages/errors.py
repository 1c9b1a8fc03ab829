"""What can be wrong with octets or values; who answers a sender tells apart what RFC 6275 (9.2) has answers for."""

from __future__ import annotations


class MessageError(ValueError):
    """Octets that are no message of ours, or values that no message can carry."""


class UnknownTypeError(MessageError):
    """An MH Type not known here, which RFC 6275 (9.2) answers with a Binding Error of status 2."""

    def __init__(self, mh_type: int) -> None:
        super().__init__(f"unknown Mobility Header type {mh_type}")
        self.mh_type = mh_type


class ParameterProblemError(MessageError):
    """A header that RFC 6275 (9.2) answers with an ICMPv6 Parameter Problem, code 0.

    Attributes:
        offset: of the octet in the Mobility Header that is wrong; the ICMPv6 Pointer points there.
    """

    offset: int


class PayloadProtocolError(ParameterProblemError):
    """A Payload Proto field other than 59."""

    offset = 0


class HeaderLengthError(ParameterProblemError):
    """A Header Len field that says less than the message's fixed part needs."""

    offset = 1
