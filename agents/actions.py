"""What the sans-IO LMA and MAG ask of the world, as plain values.

An agent's methods return a list of these in the order in which they are to be carried out. Its endpoint (agents/endpoint.py) turns
messages into octets; then the daemon turns each into system calls, a simulation into its own events, a test compares them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv6Address, IPv6Network

from agents.messages import Message


class DropReason(StrEnum):
    """Why a data packet was given up; the same words stand in events.jsonl."""

    BUFFER_FULL = "buffer full"
    BUFFERS_FULL = "buffers full"
    BUFFER_TIMEOUT = "buffer timeout"
    BUFFER_OFF = "buffer off"
    QUERY_FAILED = "query failed"
    UNREACHABLE = "address unreachable"
    RATE_LIMITED = "query rate limited"
    NOT_ATTACHED = "not attached"
    NOT_HOME = "not a home address"
    HOP_LIMIT = "hop limit exceeded"
    NOT_BOUND = "sender without binding here"
    STOPPED = "agent stopped"


class IgnoreReason(StrEnum):
    """Why a signalling message had no effect; the same words stand in events.jsonl."""

    MALFORMED = "malformed"
    FROM_ACCESS_LINK = "from an access link"
    UNKNOWN_SENDER = "unknown sender"
    UNEXPECTED = "unexpected type"
    UNMATCHED = "no exchange waits for it"
    STALE = "stale"
    ALTERED = "does not echo the request"
    NOT_OURS = "no binding here"
    NO_SUCH_PREFIX = "not a node's prefix"
    NOT_AUTHENTICATED = "not authenticated"
    REPLAYED = "replayed"
    UNTIMELY = "sent at another time"
    TOO_OFTEN = "too often"


class Notice(StrEnum):
    """What an agent has found out about a peer; the same words stand in events.jsonl."""

    PEER_LOST = "peer lost"
    PEER_BACK = "peer back"
    PEER_RESTARTED = "peer restarted"
    NOT_ACKNOWLEDGED = "not acknowledged"
    REFUSED = "refused by peer"
    NOT_SUPPORTED = "not supported by peer"


@dataclass(frozen=True, slots=True)
class Send:
    """Send a Mobility Header message; ``tunnelled`` means inside IP-in-IP to the same destination (what goes to SD-PMIP's group).

    One that is ``unsigned`` bears no authenticator, though the domain may have a key: it answers what was not authenticated.
    """

    message: Message
    destination: IPv6Address
    tunnelled: bool = False
    unsigned: bool = False


@dataclass(frozen=True, slots=True)
class Transmit:
    """Send ``octets``, the Mobility Header that says ``message``, from the agent's address; ``tunnelled`` as in Send."""

    octets: bytes
    message: Message
    destination: IPv6Address
    tunnelled: bool = False


@dataclass(frozen=True, slots=True)
class InstallRoute:
    """Forward ``prefix`` in the kernel, encapsulated (RFC 2473) to ``care_of``; replaces an earlier one, and goes before an uplink."""

    prefix: IPv6Network
    care_of: IPv6Address


@dataclass(frozen=True, slots=True)
class RemoveRoute:
    """Withdraw the tunnel route of ``prefix``."""

    prefix: IPv6Network


@dataclass(frozen=True, slots=True)
class InstallLocalRoute:
    """Deliver what access links send to ``prefix`` past the anchor, as long as it has an access route here (RFC 6705, 5)."""

    prefix: IPv6Network


@dataclass(frozen=True, slots=True)
class RemoveLocalRoute:
    """Withdraw what InstallLocalRoute installed."""

    prefix: IPv6Network


@dataclass(frozen=True, slots=True)
class InstallAccessRoute:
    """Deliver ``prefix`` on the access link ``link``, and forward what comes from there with a source in ``prefix``."""

    prefix: IPv6Network
    link: str


@dataclass(frozen=True, slots=True)
class RemoveAccessRoute:
    """Withdraw what InstallAccessRoute installed."""

    prefix: IPv6Network
    link: str


@dataclass(frozen=True, slots=True)
class InstallUplink:
    """Tunnel to the anchor whatever comes from the access link with a source that has a route there, whatever its destination
    (RFC 5213, 6.10.5)."""

    link: str
    anchor: IPv6Address


@dataclass(frozen=True, slots=True)
class RemoveUplink:
    """Withdraw what InstallUplink installed."""

    link: str


@dataclass(frozen=True, slots=True)
class AssignLinkLocal:
    """Let this be the MAG's link-local address on ``link``, and the source of what it advertises there (RFC 5213, 6.9.1.2 (15))."""

    link: str
    address: IPv6Address


@dataclass(frozen=True, slots=True)
class Advertise:
    """Send a Router Advertisement (RFC 4861) to the one node on ``link``; ``lifetime`` in s, 0 withdraws, as it does ``withdrawn``."""

    link: str
    prefixes: tuple[IPv6Network, ...]
    lifetime: int
    withdrawn: tuple[IPv6Network, ...] = ()


@dataclass(frozen=True, slots=True)
class ProbePath:
    """Send an ICMPv6 Echo Request to ``destination`` that the path must take whole (RFC 5213, 6.9.5)."""

    destination: IPv6Address


@dataclass(frozen=True, slots=True)
class Release:
    """Send packets on, in order: encapsulated to ``care_of``, or, where that is None, on the access link of their destination.

    They have crossed this router: their hop limit is lowered no more.
    """

    packets: tuple[bytes, ...]
    care_of: IPv6Address | None


@dataclass(frozen=True, slots=True)
class Multicast:
    """Send a packet on, encapsulated to ``group``, where the MAG of its destination takes it out (draft, 3.3.1)."""

    packet: bytes
    group: IPv6Address


@dataclass(frozen=True, slots=True)
class Drop:
    """Give packets up."""

    packets: tuple[bytes, ...]
    reason: DropReason


@dataclass(frozen=True, slots=True)
class Unreachable:
    """Tell the source of ``packet`` by ICMPv6: destination unreachable, address unreachable (RFC 4443, 3.1)."""

    packet: bytes


@dataclass(frozen=True, slots=True)
class TimeExceeded:
    """Tell the source of ``packet`` by ICMPv6: hop limit exceeded in transit (RFC 4443, 3.3)."""

    packet: bytes


@dataclass(frozen=True, slots=True)
class ParameterProblem:
    """Tell the source of ``packet`` by ICMPv6: erroneous header field, at octet ``pointer`` (RFC 4443, 3.4)."""

    packet: bytes
    pointer: int


@dataclass(frozen=True, slots=True)
class Report:
    """Send the ICMPv6 error ``octets``, checksum zero, to ``source``, whose packet to ``destination`` it quotes; ``what`` names it."""

    what: str
    octets: bytes
    source: IPv6Address
    destination: IPv6Address


@dataclass(frozen=True, slots=True)
class Withhold:
    """So many ICMPv6 errors were not sent since the last one that was, because there were too many (RFC 4443, 2.4 (f))."""

    errors: int


@dataclass(frozen=True, slots=True)
class Ignore:
    """A message was dropped and is counted."""

    reason: IgnoreReason
    source: IPv6Address


@dataclass(frozen=True, slots=True)
class Note:
    """Something that whoever runs the network wants to know of ``peer``; nothing is to be done. ``about`` is a kind of message."""

    notice: Notice
    peer: IPv6Address
    about: str


RouteAction = (
    InstallRoute
    | RemoveRoute
    | InstallLocalRoute
    | RemoveLocalRoute
    | InstallAccessRoute
    | RemoveAccessRoute
    | InstallUplink
    | RemoveUplink
    | AssignLinkLocal
)
"""What changes how packets are forwarded; agents/fib.py says how."""

Failure = Unreachable | TimeExceeded | ParameterProblem
"""What the source of a packet is told of it, if that may be and not too much is told already."""

_Other = RouteAction | Advertise | ProbePath | Release | Multicast | Drop | Ignore | Note

Action = Send | Failure | _Other
"""What an agent asks for."""

Effect = Transmit | Report | Withhold | _Other
"""What an agent's endpoint asks for: the same, with octets in place of messages and errors."""
