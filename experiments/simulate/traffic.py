"""Test traffic: the packets of a flow, each sent at its time; one waits at a time, however many there are."""

from __future__ import annotations

from experiments.declare.scenario import Flow
from experiments.declare.traffic import PORT, payload
from experiments.simulate.clock import PROCESS, Clock
from experiments.simulate.host import Host

_FIRST_PORT = 49_153


class Sender:
    """Sends flow number ``number`` from ``host`` to an address; ``epoch`` is the scenario's zero in ns since 1970.

    A packet that the host refuses (no address, no route) is passed over: the capture does not show it leaving.
    """

    def __init__(self, number: int, flow: Flow, host: Host, destination: bytes, epoch: int, clock: Clock) -> None:
        self._number = number
        self._flow = flow
        self._host = host
        self._destination = destination
        self._epoch = epoch
        self._clock = clock
        self._ports = _FIRST_PORT + number, PORT
        self._wait_for(0)

    def _wait_for(self, sequence: int) -> None:
        if sequence < self._flow.packets:
            self._clock.at(self._epoch + self._flow.sent_at(sequence), PROCESS, self._send, sequence)

    def _send(self, sequence: int) -> None:
        self._host.send(self._destination, self._ports, payload(self._number, sequence, self._flow.size))
        self._wait_for(sequence + 1)
