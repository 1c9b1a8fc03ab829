"""Every fault of the catalogue under every scheme: what happened was the fault, and afterwards all is well."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from experiments.catalogue import CATALOGUE
from experiments.declare.deployment import Deployment
from experiments.declare.scenario import Impairment, WrongClock
from experiments.measure.records import Reason, Signal
from experiments.measure.recovery import judge
from tests.emulation.conftest import Emulation, Played, declare
from tests.emulation.test_reproducibility import captured_bytes

CASES = CATALOGUE["faults"].cases
NAMES = [f"{case.scheme}-{case.variant}" for case in CASES]
_BEFORE_HALF = 0.4


@pytest.fixture(scope="module")
def played(emulation: Emulation) -> dict[str, Played]:
    return dict(zip(NAMES, emulation.play(*(declare("faults", case) for case in range(len(CASES)))), strict=True))


def _during(one: Played, begin: float, end: float) -> Iterator[Signal]:
    for signal in one.trace.signals:
        if begin <= _at(one.run, signal.sent) < end and signal.kind not in ("RS", "RA"):
            yield signal


def _at(run: Deployment, time: int) -> float:
    return (time - run.epoch) / 1e9


@pytest.mark.parametrize("name", NAMES)
def test_all_is_well_after_a_fault(played: dict[str, Played], name: str) -> None:
    one = played[name]
    verdict = judge(one.run, one.trace, one.folder)
    assert verdict.stale == ()
    assert verdict.recovery is not None
    assert verdict.recovery <= verdict.bound


@pytest.mark.parametrize("name", NAMES)
def test_every_loss_has_a_reason(played: dict[str, Played], name: str) -> None:
    losses = played[name].trace.losses
    assert len(losses) == played[name].metrics["packets_lost"]
    assert [loss for loss in losses if loss.reason is Reason.UNEXPLAINED] == []


@pytest.mark.parametrize("scheme", ["pmip", "pmip-lr", "s-pmip", "sd-pmip"])
def test_impairments_strike_signalling_and_nothing_else(played: dict[str, Played], scheme: str) -> None:
    lossy, disordered = played[f"{scheme}-loss"], played[f"{scheme}-disorder"]
    fault = lossy.run.faults[0]
    assert isinstance(fault, Impairment)
    assert any(not signal.arrivals for signal in _during(lossy, fault.at, fault.end))
    assert all(signal.arrivals for signal in _during(lossy, 0.0, fault.at))
    assert all(signal.arrivals for signal in _during(lossy, fault.end, 28.0))
    delays = [time - signal.sent for signal in _during(disordered, fault.at, fault.end) for _, time in signal.arrivals]
    assert any(delay >= 5e8 for delay in delays)
    assert any(delay < _BEFORE_HALF * 1e9 for delay in delays)
    assert any(len(signal.arrivals) > len(set(signal.arrivals)) or _copies(signal) > 1 for signal in _during(disordered, 2.0, 10.0))
    for one in (lossy, disordered):
        quiet = [packet for packet in one.trace.packets if _at(one.run, packet.sent) < 3.9]
        assert [packet for packet in quiet if packet.received is None] == []
        assert one.metrics["packets_duplicated"] == 0


def _copies(signal: Signal) -> int:
    nodes = [node for node, _ in signal.arrivals]
    return max(map(nodes.count, nodes), default=0)


@pytest.mark.parametrize("scheme", ["pmip", "s-pmip", "sd-pmip"])
def test_a_partition_parts_two_mags_only(played: dict[str, Played], scheme: str) -> None:
    one = played[f"{scheme}-partition"]
    parted = [signal for signal in _during(one, 3.0, 8.0) if signal.sender in ("mag1", "mag3")]
    assert not [node for signal in parted for node, _ in signal.arrivals if node in ("mag1", "mag3")]
    reached = [node for signal in parted for node, _ in signal.arrivals]
    assert reached or not parted
    direct = [p for p in one.trace.packets if p.flow == 0 and 4.1 < _at(one.run, p.sent) < 7.9 and p.received is not None]
    assert bool(direct) == (scheme == "pmip")


@pytest.mark.parametrize("scheme", ["pmip", "s-pmip"])
def test_a_wrong_clock_denies_its_own_mag_and_harms_nobody_else(played: dict[str, Played], scheme: str) -> None:
    one = played[f"{scheme}-wrong-clock"]
    fault = one.run.faults[0]
    assert isinstance(fault, WrongClock)
    address = next(str(mag.address) for mag in one.run.domain.mags if mag.name == fault.node)
    answers = [signal for signal in _during(one, 0.0, fault.end) if signal.kind == "PBA"]
    to_it = [signal.status for signal in answers if signal.destination == address]
    assert set(to_it) == {156}
    assert len(to_it) <= 6, "it goes on asking, ever less often"
    assert {signal.status for signal in answers if signal.destination != address} == {0}
    assert not [s for s in one.trace.signals if s.kind == "RA" and s.sender == fault.node and _at(one.run, s.sent) < fault.end]
    last = one.run.scenario.moves[-1].at
    assert not [p for p in one.trace.packets if p.received and p.flow == 0 and last < _at(one.run, p.received) < fault.end]


@pytest.mark.parametrize("scheme", ["pmip", "pmip-lr", "s-pmip"])
def test_a_revoked_node_has_no_service_until_it_comes_to_another_mag(played: dict[str, Played], scheme: str) -> None:
    one = played[f"{scheme}-revoked"]
    said = [signal.kind for signal in _during(one, 3.0, 4.0) if signal.kind in ("BRI", "BRA")]
    assert said == ["BRI", "BRA"]
    answered = next(arrival for signal in _during(one, 3.0, 4.0) if signal.kind == "BRI" for _, arrival in signal.arrivals)
    come = one.trace.associations[-1].time
    assert not [p for p in one.trace.packets if p.flow == 0 and p.received and answered + 5e6 < p.received < come]
    assert [p for p in one.trace.packets if p.flow == 0 and p.received and p.received > come]


def test_a_fault_is_the_same_to_the_byte(emulation: Emulation, played: dict[str, Played]) -> None:
    name = "s-pmip-loss"
    again = emulation.again(declare("faults", NAMES.index(name)))
    assert captured_bytes(again.folder) == captured_bytes(played[name].folder)
