"""One seed, the same bytes: on an idle machine and on a busy one, whatever else is installed."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engines.base import ENVIRONMENT
from tests.emulation.conftest import Emulation, declare


def _spin() -> None:
    while True:
        pass


@contextmanager
def _busy() -> Iterator[None]:
    burners = [multiprocessing.get_context("spawn").Process(target=_spin, daemon=True) for _ in range(2 * (os.cpu_count() or 1))]
    for burner in burners:
        burner.start()
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.join()


def captured_bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".pcap", ".jsonl", ".json")}


def test_a_seed_gives_the_same_bytes_on_a_busy_machine(emulation: Emulation) -> None:
    (idle,) = emulation.play(declare("handover", 2))
    with _busy():
        busy = emulation.again(declare("handover", 2))
    assert set(captured_bytes(idle.folder)) >= {"cn1.pcap", "mn1.pcap", "mag1.pcap", "lma.pcap", "events.jsonl", "run.json"}
    assert captured_bytes(idle.folder) == captured_bytes(busy.folder)
    assert idle.metrics == busy.metrics


def test_what_programs_look_for_and_how_often_shifts_nothing(emulation: Emulation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths that are tried in vain stand for other packages: each costs a program system calls that fail, here some thousands."""
    (usual,) = emulation.play(declare("handover", 2))
    for variable in ("PYTHONPATH", "LD_LIBRARY_PATH"):
        monkeypatch.setitem(ENVIRONMENT, variable, "/nowhere:/nowhere/else")
    elsewhere = emulation.again(declare("handover", 2))
    assert captured_bytes(usual.folder) == captured_bytes(elsewhere.folder)


def test_another_seed_gives_other_bytes(emulation: Emulation) -> None:
    one, other = emulation.play(declare("fig1"), declare("fig1", seed=2))
    assert captured_bytes(one.folder)["mag1.pcap"] != captured_bytes(other.folder)["mag1.pcap"]
    assert one.metrics["one_way_delay_ms"] != 0
