"""PBUs that wait for another session of their node to be de-registered (RFC 5213, 5.4.1.2 and 5.4.1.3)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address

from agents.messages import ProxyBindingUpdate
from agents.timers import Timers

_Interface = tuple[str, int | None, bytes]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A PBU that waits."""

    request: ProxyBindingUpdate
    source: IPv6Address
    care_of: IPv6Address

    @property
    def interface(self) -> _Interface:
        """The interface that it is for; one without a link-layer identifier is told by where it is attached."""
        request = self.request
        return request.mn_id or "", request.access_technology, request.link_layer_identifier or self.care_of.packed


class WaitingRoom:
    """At most one PBU for each interface; it waits for ``delay`` s from when the first one came."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._by_mn_id: dict[str, dict[_Interface, Waiting]] = {}
        self._deadlines: Timers[_Interface] = Timers()

    def put(self, waiting: Waiting, now: float) -> None:
        """Let a PBU wait, in the place of an earlier one for its interface."""
        node = self._by_mn_id.setdefault(waiting.interface[0], {})
        if waiting.interface not in node:
            self._deadlines.set(waiting.interface, now + self._delay)
        node[waiting.interface] = waiting

    def before(self, later: Waiting) -> Waiting | None:
        """The PBU that waits for the same interface."""
        node = self._by_mn_id.get(later.request.mn_id or "")
        return None if node is None else node.get(later.interface)

    def of_mn_id(self, mn_id: str) -> tuple[Waiting, ...]:
        """The PBUs of a node, longest wait first."""
        return tuple(self._by_mn_id.get(mn_id, {}).values())

    def leave(self, waiting: Waiting) -> None:
        """Let the PBU for this interface wait no longer, if there is one."""
        if (waiting.request.mn_id or "") not in self._by_mn_id:
            return
        self._deadlines.cancel(waiting.interface)
        node = self._by_mn_id[waiting.interface[0]]
        node.pop(waiting.interface, None)
        if not node:
            del self._by_mn_id[waiting.interface[0]]

    @property
    def next(self) -> float | None:
        """When the next PBU has waited long enough."""
        return self._deadlines.next

    def due(self, now: float) -> Iterator[Waiting]:
        """Take out the PBUs that have waited long enough."""
        for interface in self._deadlines.due(now):
            waiting = self._by_mn_id[interface[0]][interface]
            self.leave(waiting)
            yield waiting
