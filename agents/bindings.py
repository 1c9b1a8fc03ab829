"""The tables of Proxy Mobile IPv6: an LMA's Binding Cache, a MAG's Binding Update List, its access links and its learnt answers.

Every look-up, by prefix, by home address or by MN-ID, costs the same however many entries there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv6Address, IPv6Network
from typing import NamedTuple

from agents.messages import AccessTechnologyType, HandoffIndicator, ProxyBindingUpdate, seconds_from_timestamp
from agents.prefixes import PrefixTable

UNKNOWN_INTERFACE = bytes(2)
"""The link-layer identifier of a binding whose PBU had none (RFC 5213, 5.1)."""


@dataclass(slots=True)
class Binding:
    """A Binding Cache entry, one mobility session (RFC 5213, 5.1).

    Attributes:
        link_layer_identifier: of the node's interface, or UNKNOWN_INTERFACE.
        link_local_address: what a MAG uses on the link to the node.
        sequence, timestamp: those of the last PBU accepted; a timestamp of 0 where it had none.
        expires: when the binding is deleted.
        accepted: when the last PBU was accepted, by the LMA's clock.
        leaving: whether it was de-registered and waits for that.
        revoked: whether its MAG was told that it ends, and has not yet acknowledged it (RFC 5846, 8.1).
    """

    mn_id: str
    prefixes: tuple[IPv6Network, ...]
    care_of: IPv6Address
    access_technology: int
    link_layer_identifier: bytes
    link_local_address: IPv6Address
    sequence: int
    timestamp: int
    expires: float
    accepted: float = 0.0
    leaving: bool = False
    revoked: bool = False


class BindingCache:
    """The LMA's bindings."""

    def __init__(self) -> None:
        self._by_prefix: PrefixTable[Binding] = PrefixTable()
        self._by_mn_id: dict[str, list[Binding]] = {}
        self._by_care_of: dict[IPv6Address, dict[IPv6Network, Binding]] = {}

    def add(self, binding: Binding) -> None:
        """Put in a binding whose prefixes no other has."""
        for prefix in binding.prefixes:
            self._by_prefix[prefix] = binding
        self._by_mn_id.setdefault(binding.mn_id, []).append(binding)
        self._by_care_of.setdefault(binding.care_of, {})[binding.prefixes[0]] = binding

    def remove(self, binding: Binding) -> None:
        """Take a binding out."""
        for prefix in binding.prefixes:
            self._by_prefix.pop(prefix)
        sessions = self._by_mn_id[binding.mn_id]
        sessions.remove(binding)
        if not sessions:
            del self._by_mn_id[binding.mn_id]
        hosted = self._by_care_of[binding.care_of]
        del hosted[binding.prefixes[0]]
        if not hosted:
            del self._by_care_of[binding.care_of]

    def of_prefix(self, prefix: IPv6Network) -> Binding | None:
        """The binding that has exactly this prefix."""
        return self._by_prefix.get(prefix)

    def of_mn_id(self, mn_id: str) -> tuple[Binding, ...]:
        """The sessions of a mobile node, one for each of its interfaces."""
        return tuple(self._by_mn_id.get(mn_id, ()))

    def of_care_of(self, care_of: IPv6Address) -> tuple[Binding, ...]:
        """The sessions that a MAG has registered and not de-registered."""
        return tuple(binding for binding in self._by_care_of.get(care_of, {}).values() if not binding.leaving)

    def match(self, hoa: IPv6Address) -> tuple[IPv6Network, Binding] | None:
        """The binding of a home address, and which of its prefixes matched."""
        return self._by_prefix.match(hoa)

    def __iter__(self) -> Iterator[Binding]:
        for sessions in self._by_mn_id.values():
            yield from sessions


class Interface(NamedTuple):
    """One interface of a mobile node, whose mobility session is its own (RFC 5213, 5.4)."""

    mn_id: str
    link_layer_identifier: bytes

    @classmethod
    def named(cls, mn_id: str | None, identifier: bytes | None) -> Interface:
        """The interface that these options name, or what is known of it; an identifier that is missing or all zero is UNKNOWN_INTERFACE."""
        return cls(mn_id or "", identifier if identifier and any(identifier) else UNKNOWN_INTERFACE)

    @property
    def known_identifier(self) -> bytes | None:
        """Its link-layer identifier, as an option has it, or None where it is not known (RFC 5213, 6.9.1.1 (7))."""
        return None if self.link_layer_identifier == UNKNOWN_INTERFACE else self.link_layer_identifier


class SentUpdate(NamedTuple):
    """A PBU, and when it went out in s."""

    request: ProxyBindingUpdate
    at: float


@dataclass(slots=True)
class BindingUpdate:
    """A Binding Update List entry (RFC 5213, 6.1): what the MAG has told the LMA of an interface of a mobile node.

    Attributes:
        interface: whose session it is.
        access_technology, handoff, lifetime: what the next PBU says.
        prefixes: those assigned, or else asked for; empty to let the LMA choose.
        link_local: the MAG's address on the access link, or asked for as ``::``; None where all links have a fixed one.
        timestamp: the node's own for the next PBU, if it made one.
        request: the last PBU sent.
        sent: each PBU of the exchange, by sequence number.
        refused: whether the LMA wants no more PBUs.
    """

    interface: Interface
    access_technology: int
    handoff: HandoffIndicator
    lifetime: int
    prefixes: tuple[IPv6Network, ...]
    link_local: IPv6Address | None = None
    timestamp: int | None = None
    request: ProxyBindingUpdate | None = None
    sent: dict[int, SentUpdate] = field(default_factory=dict)
    refused: bool = False


@dataclass(slots=True)
class Attachment:
    """An interface of a mobile node on an access link.

    Attributes:
        link: the access link.
        mn_id, link_layer_identifier: the node and its interface.
        prefixes: those hosted, or else asked for.
        handoff, access_technology, timestamp: what the link layer tells of the attachment (RFC 5213, 8.4, 8.5 and 8.8).
        node_link_local: the node's own link-local address, as far as it has been seen.
        served: whether its prefixes are routed and advertised there.
    """

    link: str
    mn_id: str
    link_layer_identifier: bytes
    prefixes: tuple[IPv6Network, ...]
    handoff: HandoffIndicator = HandoffIndicator.UNKNOWN
    access_technology: int = AccessTechnologyType.WIRELESS_LAN
    timestamp: int | None = None
    node_link_local: IPv6Address | None = None
    served: bool = False

    @property
    def interface(self) -> Interface:
        """Which interface it is."""
        return Interface(self.mn_id, self.link_layer_identifier)


class AccessLinks:
    """The interfaces of mobile nodes attached to one MAG, one to a link; a prefix is found at the one that had it first."""

    def __init__(self) -> None:
        self._by_link: dict[str, Attachment] = {}
        self._by_mn_id: dict[str, dict[bytes, Attachment]] = {}
        self._by_prefix: PrefixTable[Attachment] = PrefixTable()

    def add(self, attachment: Attachment) -> None:
        """Put in an interface that is on no other link, on a link that has no other."""
        self._by_link[attachment.link] = attachment
        self._by_mn_id.setdefault(attachment.mn_id, {})[attachment.link_layer_identifier] = attachment
        self._claim(attachment)

    def remove(self, attachment: Attachment) -> None:
        """Take an interface out; its prefixes are found at another of the node that wants them."""
        del self._by_link[attachment.link]
        del self._by_mn_id[attachment.mn_id][attachment.link_layer_identifier]
        for prefix in attachment.prefixes:
            if self._by_prefix.get(prefix) is attachment:
                self._by_prefix.pop(prefix)
        for other in self.of_mn_id(attachment.mn_id):
            self._claim(other)
        if not self._by_mn_id[attachment.mn_id]:
            del self._by_mn_id[attachment.mn_id]

    def _claim(self, attachment: Attachment) -> None:
        for prefix in attachment.prefixes:
            if self._by_prefix.get(prefix) is None:
                self._by_prefix[prefix] = attachment

    def on(self, link: str) -> Attachment | None:
        """Who is on this link."""
        return self._by_link.get(link)

    def of_mn_id(self, mn_id: str) -> tuple[Attachment, ...]:
        """Where this node is, with each of its interfaces."""
        return tuple(self._by_mn_id.get(mn_id, {}).values())

    def of_interface(self, interface: Interface) -> Attachment | None:
        """Where this interface is."""
        return self._by_mn_id.get(interface.mn_id, {}).get(interface.link_layer_identifier)

    def of_prefix(self, prefix: IPv6Network) -> Attachment | None:
        """Who has exactly this prefix."""
        return self._by_prefix.get(prefix)

    def match(self, address: IPv6Address) -> tuple[IPv6Network, Attachment] | None:
        """Who has this address, and by which prefix."""
        return self._by_prefix.match(address)

    def __iter__(self) -> Iterator[Attachment]:
        return iter(self._by_link.values())


@dataclass(slots=True)
class Answer:
    """What a MAG has learnt of a remote prefix.

    Attributes:
        prefix, care_of: where packets for ``prefix`` go.
        expires: until when the answer holds.
        heard: when, by this MAG's clock, it was true at the earliest: the answer to a query that began before does not change it.
        news: whoever has told where the node went, to the Timestamp of the last such message. Clocks of two nodes may differ by the
            domain's window, so of different senders the one that was heard last is believed, unless it is older than that.
        routed: whether the kernel forwards on its own.
    """

    prefix: IPv6Network
    care_of: IPv6Address
    expires: float
    heard: float
    news: dict[IPv6Address, int] = field(default_factory=dict)
    routed: bool = False

    def is_older(self, sender: IPv6Address, timestamp: int, window: float) -> bool:
        """Whether news that ``sender`` made at ``timestamp`` are a repetition, or older than what is known by more than ``window`` s."""
        if timestamp <= self.news.get(sender, -1):
            return True
        behind = seconds_from_timestamp(timestamp) + window
        return any(behind < seconds_from_timestamp(other) for teller, other in self.news.items() if teller != sender)
