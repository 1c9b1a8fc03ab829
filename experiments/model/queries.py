"""What MAGs know of hosts elsewhere: queries and their answers, the routes that these give, and the packets that wait for them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv6Network

from agents import messages
from agents.messages import ProxyBindingAcknowledgement, ProxyBindingUpdate
from experiments.measure.records import Reason
from experiments.model.network import NEVER, Datagram, Network
from topologies.timing import SECOND, nanoseconds


@dataclass(slots=True)
class _Route:
    """What a MAG knows of a remote host: its answer, the query under way and the packets that wait."""

    care_of: str | None = None
    expires: int = 0
    since: int = 0
    lapse: int = NEVER
    query: int | None = None
    began: int = 0
    failed_until: int = 0
    waiting: list[Datagram] = field(default_factory=list)

    def forget(self) -> None:
        self.care_of, self.lapse = None, NEVER

    def take(self) -> list[Datagram]:
        """The packets that wait, which wait no longer."""
        waiting, self.waiting = self.waiting, []
        return waiting


class Queries:
    """What every MAG knows of every host that is elsewhere."""

    def __init__(self, network: Network, to_mag: Callable[[str, str, Datagram], None]) -> None:
        """``to_mag`` sends a packet from one MAG to another."""
        self._network = network
        self._to_mag = to_mag
        self._routes: dict[tuple[str, str], _Route] = defaultdict(_Route)
        self._relying: dict[str, dict[str, int]] = defaultdict(dict)
        self._held: dict[str, dict[str, ProxyBindingUpdate]] = defaultdict(dict)

    def resolve(self, mag: str, datagram: Datagram, wait: Callable[[str, Datagram], None]) -> None:
        """What a MAG does with a packet for a node elsewhere: the kernel's route, a route about to lapse, or none (draft, 3.2.3, 3.3.2)."""
        host, now = datagram.destination, self._network.now
        route = self._routes[mag, host]
        if route.care_of is not None and now > route.expires:
            route.forget()
        if route.care_of is not None:
            self._to_mag(mag, route.care_of, datagram)
            if now > route.lapse:
                route.lapse = NEVER
                self.ask(mag, host)
            return
        if route.query is None and now < route.failed_until:
            datagram.lost = Reason.REFUSED
            return
        self.ask(mag, host)
        wait(mag, datagram)

    def hold(self, mag: str, datagram: Datagram) -> None:
        """Let a packet wait at a MAG until it is known where its host is, as long as there is room and ``buffer.time``."""
        network, settings = self._network, self._network.settings
        route = self._routes[mag, datagram.destination]
        size = sum(held.size for held in route.waiting) + datagram.size
        if len(route.waiting) >= settings.buffer_packets or size > settings.buffer_bytes:
            datagram.lost = Reason.BUFFER_FULL
            return
        datagram.lost = Reason.UNDER_WAY
        route.waiting.append(datagram)

        def give_up() -> None:
            if any(held is datagram for held in route.waiting):
                datagram.lost = Reason.BUFFER_TIMEOUT
            route.waiting = [held for held in route.waiting if held is not datagram]

        network.later(network.now + nanoseconds(settings.buffer_time), give_up)

    def waiting(self, mag: str, host: str) -> bool:
        return bool(self._routes[mag, host].waiting)

    def take(self, mag: str, host: str) -> list[Datagram]:
        """The packets that wait at a MAG for a host, which wait no longer."""
        return self._routes[mag, host].take()

    def arrived(self, mag: str, host: str) -> None:
        """The host is on the MAG's own link: what the MAG knew of it elsewhere is over; packets go on waiting until it is served."""
        route = self._routes[mag, host]
        route.forget()
        route.query, route.failed_until = None, 0

    def ask(self, mag: str, host: str) -> None:
        """Begin a query, unless one is under way."""
        route = self._routes[mag, host]
        if route.query is None:
            route.query, route.began = self._network.next_sequence(mag), self._network.now
            self._query(mag, host, route.query, 1, nanoseconds(self._network.settings.query_timeout))

    def _query(self, mag: str, host: str, sequence: int, tries: int, wait: int) -> None:
        network = self._network
        query = ProxyBindingUpdate(
            sequence=sequence,
            lifetime=messages.lifetime_units(network.settings.query_lifetime),
            query=True,
            home_network_prefixes=(IPv6Network(network.home_address(host)),),
            timestamp=0,
        )
        receivers = network.others(mag) if network.group else [network.lma]
        network.send(query, mag, receivers, lambda receiver: self._asked(receiver, mag, host, query))

        def again() -> None:
            if self._routes[mag, host].query != sequence:
                return
            if tries < network.settings.query_tries:
                self._query(mag, host, sequence, tries + 1, 2 * wait)
            else:
                self._fail(mag, host)

        network.later(network.now + wait, again)

    def _fail(self, mag: str, host: str) -> None:
        route = self._routes[mag, host]
        route.forget()
        for datagram in route.take():
            datagram.lost = Reason.REFUSED
        route.query = None
        route.failed_until = self._network.now + nanoseconds(self._network.settings.query_failure)

    def _asked(self, receiver: str, mag: str, host: str, query: ProxyBindingUpdate) -> None:
        """The LMA answers from its binding cache, but not of a node that has left its MAG; a MAG only for a node of its own."""
        network = self._network
        status, care_of, lifetime = 0, receiver, query.lifetime
        if network.group:
            there = network.here(receiver, host)
            if there is None or not there.served:
                return
        elif (binding := network.bindings.get(host)) is None:
            status, lifetime = 153, 0
        elif binding.leaving:
            self._held[host][mag] = query
            return
        else:
            care_of, lifetime = binding.mag, min(query.lifetime, (binding.expires - network.now) // (4 * SECOND))
            self._relying[host][mag] = network.now + 4 * lifetime * SECOND
        answer = ProxyBindingAcknowledgement(
            status=status,
            sequence=query.sequence,
            lifetime=lifetime,
            query=True,
            home_network_prefixes=query.home_network_prefixes if status else (network.prefix(host),),
            timestamp=0,
            alternate_care_of=None if status else network.care_of[care_of],
        )
        network.send(answer, receiver, [mag], lambda _: self._answered(mag, host, query.sequence, answer, care_of))

    def answer_held(self, host: str) -> None:
        """The LMA answers the queries that came while the host was at no MAG: its binding is taken up again, or has ended."""
        for mag, query in self._held.pop(host, {}).items():
            self._asked(self._network.lma, mag, host, query)

    def relying(self, host: str) -> Iterator[str]:
        """The MAGs that the LMA has told where the host is, with a lifetime that has not yet passed."""
        return (mag for mag, until in self._relying[host].items() if until > self._network.now)

    def _answered(self, mag: str, host: str, sequence: int, answer: ProxyBindingAcknowledgement, care_of: str) -> None:
        route = self._routes[mag, host]
        if route.query != sequence or (care_of == mag and not answer.status):
            return
        if answer.status:
            self._fail(mag, host)
            return
        route.query = None
        if route.care_of is not None and route.since > route.began and route.care_of != care_of:
            return
        since = max(route.began, route.since if route.care_of is not None else 0)
        lifetime = min(answer.lifetime * 4 * SECOND, nanoseconds(self._network.settings.query_lifetime))
        self._point(mag, host, care_of, route.began + lifetime, since, lifetime)

    def _point(self, mag: str, host: str, care_of: str, expires: int, since: int, lifetime: int) -> None:
        """The waiting packets go first; a route in use is asked for again ``query_margin`` before its end."""
        route = self._routes[mag, host]
        for datagram in route.take():
            self._to_mag(mag, care_of, datagram)
        if expires <= self._network.now:
            route.forget()
            return
        route.care_of, route.expires, route.since = care_of, expires, since
        route.lapse = expires - min(nanoseconds(self._network.settings.query_margin), lifetime // 2)

    def mistaken(self, mag: str, host: str, care_of: str) -> None:
        """A MAG learns that the host is not at ``care_of``: the route there goes, and a query."""
        route = self._routes[mag, host]
        if route.care_of == care_of:
            route.forget()
            self.ask(mag, host)

    def moved(self, mag: str, host: str, care_of: str, since: int) -> None:
        """An Update Notification re-points a route, or opens one while a query goes on."""
        route = self._routes[mag, host]
        if care_of == mag:
            return
        if route.care_of is not None:
            if since >= route.since:
                route.care_of, route.since = care_of, since
        elif route.query is not None:
            lifetime = nanoseconds(self._network.settings.query_lifetime)
            self._point(mag, host, care_of, self._network.now + lifetime, since, lifetime)
