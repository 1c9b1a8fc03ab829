"""What a kernel knows of one neighbour: whether packets may go to it at once, wait for its link-layer address, or are given up.

The states and times are those of RFC 4861, 7.3, as Linux has them: what is known grows stale, what is stale is used, and
probed 5 s later, and who answers no probe is asked for anew, while packets wait.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Any, Protocol

from experiments.simulate.clock import KERNEL, Clock
from experiments.simulate.wheel import fires
from topologies.timing import SECOND

RETRANSMISSION, TRIES = SECOND, 3
"""ns between solicitations, and how many there are (RFC 4861, 10)."""

PROBE_DELAY = 5 * SECOND
"""ns for which a stale neighbour is used before it is probed (RFC 4861, DELAY_FIRST_PROBE_TIME)."""

REACHABLE_TIME = 30 * SECOND
"""ns for which an answer holds, the middle of what RFC 4861, 6.3.4, lets chance choose."""


class State(Enum):
    """What is known of a neighbour."""

    UNKNOWN = auto()
    ASKED = auto()
    STALE = auto()
    USED = auto()
    PROBED = auto()
    REACHABLE = auto()


class Owner(Protocol):
    """The kernel whose neighbour it is."""

    def transmit(self, neighbour: Neighbour, packet: bytes) -> None:
        """Send a packet to the neighbour's link-layer address."""

    def ask(self, neighbour: Neighbour, known: bool) -> None:
        """Send a solicitation: to the neighbour, where its link-layer address is known, or to all."""

    def unreachable(self, neighbour: Neighbour, waiting: list[bytes]) -> None:
        """The neighbour is not there; give up what waits for it."""


class Neighbour:
    """One neighbour; ``key`` tells the owner which.

    Attributes:
        waiting: the packets that wait for its link-layer address.
    """

    __slots__ = ("_clock", "_owner", "_serial", "_state", "_tries", "_used", "key", "waiting")

    def __init__(self, owner: Owner, clock: Clock, key: Any = None) -> None:
        self.key = key
        self.waiting: list[bytes] = []
        self._owner = owner
        self._clock = clock
        self._state = State.UNKNOWN
        self._serial = 0
        self._tries = 0
        self._used = 0

    def send(self, packet: bytes) -> None:
        """Send a packet to it, as soon as its link-layer address is known."""
        state = self._state
        self._used = self._clock.now
        if state is State.UNKNOWN or state is State.ASKED:
            self.waiting.append(packet)
            if state is State.UNKNOWN:
                self._ask(State.ASKED)
            return
        if state is State.STALE:
            self._wait(State.USED, PROBE_DELAY)
        self._owner.transmit(self, packet)

    def heard(self) -> None:
        """It has said what its link-layer address is, without being asked."""
        if self._state in (State.UNKNOWN, State.ASKED):
            self.note()
            self._flush()

    def note(self) -> None:
        """Its link-layer address is written down."""
        self._state = State.STALE
        self._serial += 1

    def answered(self) -> None:
        """It has answered a solicitation."""
        self._wait(State.REACHABLE, REACHABLE_TIME)
        self._flush()

    def forget(self) -> None:
        """Forget it, and what waits for it."""
        self._state = State.UNKNOWN
        self._serial += 1
        self.waiting.clear()

    def _flush(self) -> None:
        waiting, self.waiting = self.waiting, []
        for packet in waiting:
            self.send(packet)

    def _wait(self, state: State, time: int) -> None:
        self._state = state
        self._serial += 1
        self._clock.at(fires(self._clock.now, time), KERNEL, self._fire, self._serial)

    def _ask(self, state: State) -> None:
        self._tries = 1 if self._state is not state else self._tries + 1
        self._wait(state, RETRANSMISSION)
        self._owner.ask(self, known=state is State.PROBED)

    def _fire(self, serial: int) -> None:
        if serial != self._serial:
            return
        state, now = self._state, self._clock.now
        if state is State.REACHABLE and now > self._used + PROBE_DELAY:
            self._state = State.STALE
        elif state is State.REACHABLE:
            self._wait(State.USED, PROBE_DELAY)
        elif state is State.USED:
            self._ask(State.PROBED)
        elif self._tries < TRIES:
            self._ask(state)
        else:
            waiting = self.waiting[:]
            self.forget()
            self._owner.unreachable(self, waiting)
