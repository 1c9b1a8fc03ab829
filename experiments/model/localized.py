"""Localized routing (RFC 6705): what the LMA tells the MAGs of a pair of hosts, and what these then send past it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil

from agents import messages
from agents.messages import LocalizedRoutingAcknowledgment, LocalizedRoutingInitiation, LocalizedRoutingStatus, MobileNode
from experiments.model.network import Network
from topologies.timing import SECOND, nanoseconds


@dataclass(slots=True)
class _Localized:
    """Localized routing between a pair of hosts, as the LMA knows it; ``standing`` are the hosts from which it has been acknowledged."""

    since: int
    standing: set[str] = field(default_factory=set)


class LocalizedRouting:
    """The pairs of hosts, sets of two names, between which packets go past the LMA."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._localized: dict[frozenset[str], _Localized] = {}
        self._entries: dict[tuple[str, frozenset[str]], LocalizedRoutingInitiation] = {}

    def past_anchor(self, mag: str, host: str) -> str | None:
        """The MAG to which a MAG sends packets for a host past the LMA, which may be itself; the last LRI about the host counts."""
        network = self._network
        there = network.here(mag, host)
        found = None
        for (told, pair), entry in self._entries.items():
            if told != mag or host not in pair:
                continue
            if entry.mag_address is None:
                found = mag if there is not None and there.served else None
            elif entry.mn_id != network.hosts[host].mn_id:
                found = next(name for name, address in network.care_of.items() if address == entry.mag_address)
        return found

    def detected(self, source: str, destination: str, mag: str) -> None:
        """A packet from ``mag`` makes the LMA begin, unless it has done so and knows of no reason why that should still come."""
        network = self._network
        pair = frozenset((source, destination))
        sender, known = network.bindings.get(source), self._localized.get(pair)
        if sender is None or sender.mag != mag or destination not in network.bindings:
            return
        patience = nanoseconds(network.settings.lr_wait_time)
        if known is None or (source in known.standing and network.now >= known.since + patience):
            self._localize(pair)

    def came(self, host: str, left: str | None) -> None:
        """A host has come to another MAG, or back: the LMA tells both ends, and the MAG that has not said that the host left."""
        for pair in self._pairs(host):
            self._localize(pair)
            (other,) = pair - {host}
            if left not in (None, self._network.bindings[other].mag):
                self._initiate(pair, str(left), host, other, None, 0)

    def gone(self, host: str) -> None:
        """A host has not come back: the LMA ends what leads to it."""
        for pair in self._pairs(host):
            del self._localized[pair]
            (other,) = pair - {host}
            if not self._network.bindings[other].leaving:
                self._initiate(pair, self._network.bindings[other].mag, other, host, None, 0)

    def left(self, mag: str, host: str) -> None:
        """A MAG whose host has left gives up what it does for the host past the LMA."""
        self._give_up(mag, host, lambda _: True)

    def arrived(self, mag: str, host: str) -> None:
        """A MAG to which a host has come no longer sends elsewhere what is for it."""
        mn_id = self._network.hosts[host].mn_id
        self._give_up(mag, host, lambda entry: entry.mag_address is not None and entry.mn_id != mn_id)

    def _give_up(self, mag: str, host: str, only: Callable[[LocalizedRoutingInitiation], bool]) -> None:
        for key in [key for key, entry in self._entries.items() if key[0] == mag and host in key[1] and only(entry)]:
            del self._entries[key]

    def _pairs(self, host: str) -> list[frozenset[str]]:
        return [pair for pair in self._localized if host in pair]

    def _localize(self, pair: frozenset[str]) -> None:
        """The LMA's LRIs to the MAGs of a pair of which neither has left; the pair is forgotten after their lifetime."""
        network = self._network
        one, other = sorted(pair, key=network.prefix)
        mags = [network.bindings[host].mag for host in (one, other)]
        if any(network.bindings[host].leaving for host in pair):
            return
        lifetime = max(1, min(ceil(network.settings.lr_lifetime), messages.INFINITE_LIFETIME))
        known = self._localized[pair] = _Localized(network.now)

        def forget() -> None:
            if self._localized.get(pair) is known:
                del self._localized[pair]

        if lifetime != messages.INFINITE_LIFETIME:
            network.later(network.now + lifetime * SECOND, forget)
        if mags[0] == mags[1]:
            self._initiate(pair, mags[0], one, other, None, lifetime)
            return
        self._initiate(pair, mags[0], one, other, mags[1], lifetime)
        self._initiate(pair, mags[1], other, one, mags[0], lifetime)

    def _initiate(self, pair: frozenset[str], mag: str, own: str, other: str, remote: str | None, lifetime: int) -> None:
        """The LMA tells ``mag`` of its host ``own`` and of ``other``, which is at ``remote``, or at the same MAG."""
        network = self._network
        nodes = [MobileNode(network.hosts[host].mn_id, (network.prefix(host),)) for host in (own, other)]
        request = LocalizedRoutingInitiation(
            sequence=network.next_sequence(network.lma),
            lifetime=lifetime,
            mn_id=nodes[0].mn_id,
            home_network_prefixes=nodes[0].home_network_prefixes,
            correspondent=nodes[1],
            mag_address=None if remote is None else network.care_of[remote],
        )
        known = self._localized.get(pair)

        def acknowledged(success: bool) -> None:
            if known is not None and success and lifetime:
                known.standing |= {own} if remote else {own, other}

        network.send(request, network.lma, [mag], lambda _: self._initiated(pair, mag, own, other, request, acknowledged))

    def _initiated(
        self,
        pair: frozenset[str],
        mag: str,
        own: str,
        other: str,
        request: LocalizedRoutingInitiation,
        acknowledged: Callable[[bool], None],
    ) -> None:
        """A MAG does as the LMA says, unless a host is not there; two hosts of its own it must be allowed to connect."""
        network = self._network
        here = [network.here(mag, own) is not None, network.here(mag, other) is not None]
        local = request.mag_address is None
        if request.lifetime and not local and here[1]:
            return
        self._entries.pop((mag, pair), None)
        status = LocalizedRoutingStatus.SUCCESS
        if request.lifetime and not (here[0] and (here[1] or not local)):
            status = LocalizedRoutingStatus.MN_NOT_ATTACHED
        elif request.lifetime and local and not network.settings.local_routing:
            status = LocalizedRoutingStatus.LOCALIZED_ROUTING_NOT_ALLOWED
        elif request.lifetime:
            self._entries[mag, pair] = request

            def lapse() -> None:
                if self._entries.get((mag, pair)) is request:
                    del self._entries[mag, pair]

            if request.lifetime != messages.INFINITE_LIFETIME:
                network.later(network.now + request.lifetime * SECOND, lapse)
        acknowledgment = LocalizedRoutingAcknowledgment(
            sequence=request.sequence,
            status=status,
            lifetime=0 if status else request.lifetime,
            mn_id=None if status else request.mn_id,
            home_network_prefixes=() if status else request.home_network_prefixes,
            correspondent=None if status else request.correspondent,
            mag_address=None if status else request.mag_address,
        )
        network.send(acknowledgment, mag, [network.lma], lambda _: acknowledged(not status))
