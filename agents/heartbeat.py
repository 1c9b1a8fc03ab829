"""Heartbeats between a MAG and its LMA: whether the other can be reached, and whether it has lost what it knew (RFC 5847)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv6Address
from math import inf

from agents.actions import Action, Ignore, IgnoreReason, Note, Notice, Send
from agents.config import Settings
from agents.messages import BindingError, BindingErrorStatus, Heartbeat, Message, kind
from agents.notifications import NOT_SUPPORTED_FOR
from agents.ordering import Recent
from agents.timers import Timers, earliest

_SEQUENCE = 0xFFFFFFFF
_UNKNOWN = BindingError(status=BindingErrorStatus.UNRECOGNIZED_MH_TYPE, home_address=IPv6Address("::"))
_KIND = kind(Heartbeat(sequence=0))


@dataclass(frozen=True, slots=True)
class Sessions:
    """What heartbeats are about.

    ``shared``: whether there are bindings that this agent and a peer both know. ``lost``: a peer has forgotten those that
    were made before a time, and perhaps later ones; what is to be done about it, now.
    """

    shared: Callable[[IPv6Address], bool]
    lost: Callable[[IPv6Address, float, float], list[Action]]


@dataclass(slots=True)
class _Peer:
    """A peer that is sent heartbeats.

    Attributes:
        awaited: sequence number of the last request, None once it is answered.
        asked: when that was sent.
        missing: requests in a row that were not answered.
        counter: the peer's Restart Counter, None before it has told it.
        confirmed: when the last request was sent whose response had this counter.
    """

    awaited: int | None = None
    asked: float = -inf
    missing: int = 0
    counter: int | None = None
    confirmed: float = -inf


class Heartbeats:
    """The heartbeats of one agent: with each peer from the first binding that they share to the last."""

    def __init__(self, settings: Settings, peers: Iterable[IPv6Address], sessions: Sessions, restarts: int, now: float) -> None:
        """``restarts`` is the agent's own Restart Counter: where it is not 0, ``peers`` are told of it as soon as time passes (3.2)."""
        self._interval = settings.heartbeat_interval
        self._allowed = settings.heartbeat_missing
        self._sessions = sessions
        self._restarts = restarts
        self._sequence = 0
        self._peers: dict[IPv6Address, _Peer] = {}
        self._beats: Timers[IPv6Address] = Timers()
        self._unsupported: Recent[IPv6Address] = Recent(NOT_SUPPORTED_FOR)
        self._untold: Timers[IPv6Address] = Timers()
        for peer in sorted(peers) if self._interval and restarts else ():
            self._untold.set(peer, now)

    def watch(self, peer: IPv6Address, now: float) -> None:
        """There is a binding that ``peer`` knows too: send it heartbeats, the first at once."""
        if self._interval and peer not in self._peers and not self._unsupported.knows(peer, now):
            self._peers[peer] = _Peer()
            self._beats.set(peer, now)

    def receive(self, message: Heartbeat, source: IPv6Address, now: float) -> list[Action]:
        """Answer a request, or take in a response; an agent without heartbeats says that it has none (3)."""
        if not message.response:
            answer = Heartbeat(sequence=message.sequence, response=True, restart_counter=self._restarts) if self._interval else _UNKNOWN
            return [Send(answer, source)]
        peer = self._peers.get(source)
        if peer is None or (not message.unsolicited and message.sequence != peer.awaited):
            return [Ignore(IgnoreReason.UNMATCHED, source)]
        back: list[Action] = [Note(Notice.PEER_BACK, source, _KIND)] if peer.missing > self._allowed else []
        peer.missing = 0
        lost = self._counted(peer, message, source, now)
        if not message.unsolicited:
            peer.awaited, peer.confirmed = None, peer.asked
        return back + lost

    def unsupported(self, message: Message, source: IPv6Address, now: float) -> list[Action]:
        """Where ``message`` says that ``source`` knows not every type of message, and that may be heartbeats, it gets none for a while
        (3), and then those of the next binding."""
        peer = self._peers.get(source)
        unrecognized = isinstance(message, BindingError) and message.status == BindingErrorStatus.UNRECOGNIZED_MH_TYPE
        if not unrecognized or peer is None or peer.awaited is None or peer.confirmed > -inf:
            return []
        self._stop(source)
        self._unsupported.note(source, now)
        return [Note(Notice.NOT_SUPPORTED, source, _KIND)]

    @property
    def next_timeout(self) -> float | None:
        """When ``timeout`` is to be called."""
        return earliest(self._untold.next, self._beats.next)

    def timeout(self, now: float) -> list[Action]:
        """Tell of a restart, and send the heartbeats that are due (3.1)."""
        told = Heartbeat(sequence=0, response=True, unsolicited=True, restart_counter=self._restarts)
        actions: list[Action] = [Send(told, peer) for peer in self._untold.due(now)]
        for peer in self._beats.due(now):
            actions += self._beat(peer, now)
        return actions

    def _counted(self, peer: _Peer, message: Heartbeat, source: IPv6Address, now: float) -> list[Action]:
        """Compare a Restart Counter with the one before (3.2); whoever tells it unasked has restarted, whatever it was before."""
        before = peer.counter
        if message.restart_counter is not None:
            peer.counter = message.restart_counter
        if before == peer.counter or (before is None and not message.unsolicited):
            return []
        return [Note(Notice.PEER_RESTARTED, source, _KIND), *self._sessions.lost(source, peer.confirmed, now)]

    def _beat(self, address: IPv6Address, now: float) -> list[Action]:
        peer = self._peers[address]
        if not self._sessions.shared(address):
            self._stop(address)
            return []
        missed = peer.awaited is not None
        peer.missing += missed
        lost: list[Action] = [Note(Notice.PEER_LOST, address, _KIND)] if missed and peer.missing == self._allowed + 1 else []
        self._sequence = (self._sequence + 1) & _SEQUENCE
        peer.awaited, peer.asked = self._sequence, now
        self._beats.set(address, now + self._interval)
        return [*lost, Send(Heartbeat(sequence=self._sequence), address)]

    def _stop(self, peer: IPv6Address) -> None:
        del self._peers[peer]
        self._beats.cancel(peer)
