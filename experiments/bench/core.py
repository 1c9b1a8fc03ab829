"""Messages a second through one LMA without sockets, on one core: octets in, octets out.

``python -m experiments.bench.core FOLDER`` is what runs in the guest.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from agents import endpoint
from agents.actions import Transmit
from agents.endpoint import AnyEndpoint
from experiments.bench import workload
from experiments.bench.figures import Figure, folder, in_guest, one_core

_NODES = 10_000
_ROUNDS = 5
_GOAL = 50_000


def measure() -> list[Figure]:
    """PBQs and refreshing PBUs for 10,000 nodes, each round the whole of them; the best round counts."""
    with folder() as made:
        in_guest("uml", (sys.executable, "-m", "experiments.bench.core", made), Path(made), one_core())
        rates = msgspec.json.decode((Path(made) / "rates").read_bytes(), type=dict[str, float])
    return [Figure(f"messages, LMA without sockets: {what}", 2 * rate, _GOAL, "/s") for what, rate in rates.items()]


def _in_guest(folder: Path) -> None:
    now = time.time()
    lma = endpoint.start(workload.configuration(_NODES), now)
    nodes = range(_NODES)
    _exchange(lma, workload.updates(nodes, now), now)
    rounds: dict[str, Callable[[int], list[bytes]]] = {
        "PBQs and PQAs": lambda _: workload.queries(nodes, now),
        "refreshing PBUs and PBAs": lambda number: workload.updates(nodes, now + number, refresh=True),
    }
    rates = {what: max(_exchange(lma, make(number), now) for number in range(1, _ROUNDS + 1)) for what, make in rounds.items()}
    (folder / "rates").write_bytes(msgspec.json.encode(rates))


def _exchange(lma: AnyEndpoint, requests: Sequence[bytes], now: float) -> float:
    """Have every request answered; how many a second."""
    answers = 0
    began = time.perf_counter()
    for request in requests:
        effects = lma.receive(lma.read(request, workload.MAG, workload.LMA), now)
        answers += sum(isinstance(effect, Transmit) for effect in effects)
    seconds = time.perf_counter() - began
    if answers != len(requests):
        raise RuntimeError(f"{answers} answers to {len(requests)} requests")
    return answers / seconds


if __name__ == "__main__":
    _in_guest(Path(sys.argv[1]))
