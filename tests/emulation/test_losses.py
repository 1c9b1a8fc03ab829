"""The loss ledger on a real kernel: no packet is lost without a reason, and the reasons are those of the model."""

from __future__ import annotations

from collections import Counter

import pytest

from agents.schemes import SCHEMES
from experiments.catalogue import CATALOGUE
from experiments.declare.scenario import Case, Flow, Move, Run, Scenario
from experiments.measure.records import Reason
from experiments.model import predict
from tests.emulation.conftest import Emulation, Played
from topologies.domain import LinkSettings
from topologies.presets import star

BOTH_WAYS = (Flow("cn1", "mn1", 0.0, 4.0), Flow("mn1", "cn1", 0.003, 4.0))


def hard(
    case: Case,
    gap: float = 0.05,
    loss: tuple[float, float] = (0.0, 0.0),
    flows: tuple[Flow, ...] = BOTH_WAYS[:1],
    notice: float = 0.0,
) -> Run:
    domain = star(access=LinkSettings(0.002, loss=loss[0]), mag=LinkSettings(0.005, loss=loss[1]))
    return Run("losses", domain, case, Scenario(5.0, flows, (Move(1.007, "mn1", "mag3", gap, notice),)), 1, 1, "virtual")


LOSSY = (
    hard(Case("pmip", "anchor"), loss=(0.05, 0.03), flows=BOTH_WAYS),
    hard(Case("pmip-lr", "anchor", {"lr.wait_time": "500ms"}), loss=(0.05, 0.03), flows=BOTH_WAYS),
    hard(Case("s-pmip", "error"), loss=(0.05, 0.03), flows=BOTH_WAYS),
    hard(Case("sd-pmip", "notify"), loss=(0.05, 0.03), flows=BOTH_WAYS),
    hard(Case("none", "none"), loss=(0.05, 0.0), flows=BOTH_WAYS),
)
SURE = {
    "two may wait": (hard(Case("sd-pmip", "error", {"buffer.packets": "2"}), 0.3), {Reason.BUFFER_FULL, Reason.NODE_LEFT}),
    "none may wait": (hard(Case("s-pmip", "error", {"buffer.packets": "0"}), 0.3), {Reason.BUFFER_FULL, Reason.NODE_LEFT}),
    "not for long": (hard(Case("sd-pmip", "error", {"buffer.time": "300ms"}), 1.5), {Reason.BUFFER_TIMEOUT, Reason.NODE_LEFT}),
    "queries fail": (
        hard(Case("sd-pmip", "error", {"query.tries": "2", "query.failure": "1005ms"}), 1.2),
        {Reason.REFUSED, Reason.NODE_LEFT},
    ),
    "to the group": (hard(Case("sd-pmip", "error", {"first_packet": "multicast"}), 0.3), {Reason.NO_ROUTE, Reason.NODE_LEFT}),
    "two may wait for who has left": (hard(Case("s-pmip", "forward", {"buffer.packets": "2"}), 0.3), {Reason.BUFFER_FULL}),
    "two may wait for who comes": (hard(Case("sd-pmip", "predict", {"buffer.packets": "2"}), 0.3, notice=0.1), {Reason.BUFFER_FULL}),
    "who comes is awaited in vain": (
        hard(Case("s-pmip", "predict", {"query.tries": "2", "query.failure": "1005ms"}), 2.0, notice=0.1),
        {Reason.REFUSED},
    ),
    "more wait than a neighbour's queue has room for by default": (
        hard(Case("s-pmip", "forward"), 0.4, flows=(Flow("cn1", "mn1", 0.0, 2.0, rate=997.0),)),
        {Reason.IN_THE_AIR},
    ),
    "the end": (hard(Case("sd-pmip", "error"), 6.0), {Reason.UNDER_WAY, Reason.NODE_LEFT}),
}
FEW_QUERIES = hard(Case("sd-pmip", "error", {"query.rate": "1", "query.tries": "1", "query.timeout": "50ms", "query.failure": "1ms"}), 1.2)


def counted(played: Played) -> Counter[Reason]:
    """The reasons of a run, once they have been found to add up."""
    lost = [(packet.flow, packet.sequence) for packet in played.trace.packets if packet.received is None]
    assert [(loss.flow, loss.sequence) for loss in played.trace.losses] == lost
    assert sum(played.metrics[reason.metric] for reason in Reason) == played.metrics["packets_lost"] == len(lost)
    unexplained = [loss for loss in played.trace.losses if loss.reason is Reason.UNEXPLAINED]
    assert unexplained == []
    return Counter(loss.reason for loss in played.trace.losses)


def test_every_loss_of_a_handover_has_the_reason_that_the_model_gives(emulation: Emulation) -> None:
    entry = CATALOGUE["handover"]
    cases = [Case(scheme.name, policy) for scheme in SCHEMES.values() for policy in scheme.policies]
    runs = [Run(entry.name, entry.domain, case, entry.scenario, 1, 1, "virtual") for case in cases]
    for played in emulation.play(*runs):
        assert counted(played) == Counter(loss.reason for loss in predict(played.run).losses), played.run.case


@pytest.mark.parametrize("name", SURE)
def test_hard_settings_lose_packets_for_the_reasons_of_the_model(emulation: Emulation, name: str) -> None:
    played = emulation.play(*(run for run, _ in SURE.values()))[list(SURE).index(name)]
    found = counted(played)
    assert set(found) == SURE[name][1]
    assert found == Counter(loss.reason for loss in predict(played.run).losses)


def test_links_that_lose_packets_explain_what_nothing_else_does(emulation: Emulation) -> None:
    for played in emulation.play(*LOSSY):
        assert counted(played)[Reason.LINK_LOSS] > 10, played.run.case


def test_queries_that_may_not_be_made_are_refusals(emulation: Emulation) -> None:
    (played,) = emulation.play(FEW_QUERIES)
    assert counted(played)[Reason.REFUSED] > 50
