"""Messages a second that one LMA answers: the daemon with real sockets and routes in its kernel, in a guest in real time on one core.

Daemon and MAG, the load generator, share that core; a wire without delay joins their namespaces. ``python -m experiments.bench.signalling
FOLDER`` is what runs in the guest.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from ipaddress import IPv6Network
from pathlib import Path
from struct import Struct

import msgspec

from agents.linux import daemon
from agents.messages import PROTOCOL
from experiments.bench import workload
from experiments.bench.figures import Figure, folder, in_guest, one_core
from topologies.linux import netlink
from topologies.linux.netlink import Namespace

_NODES = 10_000
_WINDOW = 256
_BURST = 64
_PATIENCE = 5
_LINK = IPv6Network("2001:db8:0:1::/64")
_LMA_END, _MAG_END = 100, 101
_STATUS = 6
_TIMEVAL = Struct("@ll")
_HOME_ROUTE = "20010db801"
_GOALS = {
    "first registrations, routes installed": 3_000,
    "refreshes": 4_000,
    "PBQs": 5_000,
}


def measure() -> list[Figure]:
    """10,000 nodes register, register again, and are asked for, each as fast as the LMA answers."""
    with folder() as made:
        in_guest("uml", (sys.executable, "-m", "experiments.bench.signalling", made), Path(made), one_core())
        rates = msgspec.json.decode((Path(made) / "rates").read_bytes(), type=list[float])
    return [Figure(f"{what}, one LMA", rate, goal, "/s") for (what, goal), rate in zip(_GOALS.items(), rates, strict=True)]


def _in_guest(folder: Path, run: Callable[..., None] = daemon.run) -> None:
    lma, mag = _network()
    process = _start(lma, folder, run)
    with mag.within():
        generator = _Generator()
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))  # it gives way to the LMA
    nodes, now = range(_NODES), time.time()
    first = workload.updates(nodes, now)
    generator.exchange(first[:1])  # and neighbour discovery
    rounds = (
        workload.updates(nodes, now + 1.0),
        workload.updates(nodes, now + 2.0, refresh=True),
        workload.queries(nodes, now + 2.0),
    )
    rates = []
    for requests in rounds:
        rates.append(generator.exchange(requests))
        _expect("routes of home prefixes", _routes(lma), _NODES)
    os.kill(process, signal.SIGTERM)
    _expect("exit status of the LMA", os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), 0)
    (folder / "rates").write_bytes(msgspec.json.encode(rates))


def _network() -> tuple[Namespace, Namespace]:
    lma, mag = Namespace({}), Namespace({})
    lma.queue(netlink.veth(workload.CORE, _LMA_END, "02:00:00:00:00:01", "mag", _MAG_END, "02:00:00:00:00:02", mag))
    lma.flush()
    for namespace, index, address in ((lma, _LMA_END, workload.LMA), (mag, _MAG_END, workload.MAG)):
        namespace.queue(netlink.set_up(netlink.LOOPBACK), netlink.set_up(index), netlink.address(index, address, _LINK))
        namespace.flush()
    return lma, mag


def _start(namespace: Namespace, folder: Path, run: Callable[..., None]) -> int:
    """Start the daemon; its process, once it is ready."""
    ready, tell = os.pipe()
    with namespace.within():
        process = os.fork()
        if process == 0:
            status = 1
            try:
                run(workload.configuration(_NODES), folder / "events.jsonl", tell)
                status = 0
            finally:
                os._exit(status)
    os.close(tell)
    _expect("lines from the LMA", len(os.read(ready, 1)), 1)
    return process


class _Generator:
    """A MAG's socket, and as many requests on their way to the LMA as a window allows."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET6, socket.SOCK_RAW, PROTOCOL)
        self._socket.bind((str(workload.MAG), 0))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEVAL.pack(_PATIENCE, 0))

    def exchange(self, requests: Sequence[bytes]) -> float:
        """Send every request and wait for as many answers; how many a second. RuntimeError where one is missing or refuses."""
        destination = (str(workload.LMA), 0)
        send, answered = self._socket.sendto, 0
        began = time.perf_counter()
        for start in range(0, len(requests), _BURST):
            while start - answered > _WINDOW - _BURST:
                answered += self._answer()
            for request in requests[start : start + _BURST]:
                send(request, destination)
        while answered < len(requests):
            answered += self._answer()
        return len(requests) / (time.perf_counter() - began)

    def _answer(self) -> int:
        try:
            answer = self._socket.recv(1024)
        except BlockingIOError:
            raise RuntimeError(f"no answer for {_PATIENCE} s") from None
        _expect("status of an answer", answer[_STATUS], 0)
        return 1


def _routes(namespace: Namespace) -> int:
    """The routes of home network prefixes that the kernel holds."""
    with namespace.within():
        lines = Path("/proc/thread-self/net/ipv6_route").read_text().splitlines()
    return sum(line.startswith(_HOME_ROUTE) and line.endswith(" tnl") for line in lines)


def _expect(what: str, found: int, expected: int) -> None:
    if found != expected:
        raise RuntimeError(f"{what}: {found}, not {expected}")


if __name__ == "__main__":
    _in_guest(Path(sys.argv[1]))
