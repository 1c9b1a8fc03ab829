"""Sending test traffic, and the socket that takes it. What happened to it is read from captures."""

from __future__ import annotations

import errno
import signal
import socket

from experiments.declare.scenario import Flow
from experiments.declare.traffic import PORT, payload
from experiments.play.moments import sleep_until

_REFUSED = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.ENETDOWN})
"""What a host says that has no route, no address or no carrier just now."""


class SendError(RuntimeError):
    """A host cannot send a packet, and not for want of a link; the message is one line that says which and why."""


def send(number: int, flow: Flow, destination: str, epoch: int) -> None:
    """Send the packets of a flow at their times; ``epoch`` is the scenario's zero in ns since 1970.

    A packet that the host itself refuses (no carrier, no address, no route) is passed over: the capture does not show it leaving.

    Raises:
        SendError: the host cannot send a packet for another reason.
    """
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        for sequence in range(flow.packets):
            sleep_until(epoch + flow.sent_at(sequence))
            try:
                sock.sendto(payload(number, sequence, flow.size), (destination, PORT))
            except OSError as error:
                if error.errno not in _REFUSED:
                    raise SendError(
                        f"flow {number}: {flow.source} cannot send packet {sequence} of {flow.size} bytes: {error.strerror}"
                    ) from None


def sink() -> None:
    """Hold the test port open, so that the host does not answer with ICMPv6 errors; ends on SIGTERM.

    Nothing reads the socket: the kernel drops what its buffer does not hold, after the capture has seen it.
    """
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)
        sock.bind(("::", PORT))
        signal.pause()
