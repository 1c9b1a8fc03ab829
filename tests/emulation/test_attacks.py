"""The catalogue's attacks on a real kernel: refused and counted to the last packet, or the harm that a domain without a key is open to."""

from __future__ import annotations

import pytest

from experiments.catalogue import CATALOGUE
from experiments.catalogue.attacks import IMPOSTORS, NO_KEY, OUTSIDERS, UNDISTURBED
from experiments.declare.forgeries import HEADERS, UNRECOGNIZED
from experiments.measure import harm, node_state
from experiments.measure.harm import KERNEL, AttackOutcome
from tests.emulation.conftest import Emulation, Played, declare

_CASES = CATALOGUE["attacks"].cases
_PLAYED = [
    (scheme, variant)
    for scheme, variants in (("s-pmip", (OUTSIDERS, IMPOSTORS, NO_KEY)), ("sd-pmip", (OUTSIDERS, IMPOSTORS)), ("pmip", (OUTSIDERS,)))
    for variant in (UNDISTURBED, *variants)
]
_ATTACKED = [pair for pair in _PLAYED if pair[1] != UNDISTURBED]


@pytest.fixture(scope="module")
def played(emulation: Emulation) -> dict[tuple[str, str], Played]:
    numbers = [next(n for n, case in enumerate(_CASES) if (case.scheme, case.variant) == pair) for pair in _PLAYED]
    return dict(zip(_PLAYED, emulation.play(*(declare("attacks", number) for number in numbers)), strict=True))


def _outcomes(played: dict[tuple[str, str], Played], scheme: str, variant: str) -> tuple[AttackOutcome, ...]:
    runs = (played[scheme, variant], played[scheme, UNDISTURBED])
    return harm.outcomes(*(harm.Played(one.run, one.trace, one.folder) for one in runs))


@pytest.mark.parametrize(("scheme", "variant"), _ATTACKED)
def test_attacks_are_refused_and_counted_or_do_what_they_are_to(played: dict[tuple[str, str], Played], scheme: str, variant: str) -> None:
    found = _outcomes(played, scheme, variant)
    assert len(found) == len(played[scheme, variant].run.attacks)
    assert [outcome for outcome in found if not outcome.good] == []


@pytest.mark.parametrize("scheme", ["pmip", "s-pmip", "sd-pmip"])
def test_outsiders_are_refused_for_what_they_are(played: dict[tuple[str, str], Played], scheme: str) -> None:
    hosts = {host.name: host.mag for host in played[scheme, OUTSIDERS].run.domain.hosts}
    for outcome in _outcomes(played, scheme, OUTSIDERS):
        attack = outcome.attack
        if attack.kind in HEADERS:
            expected = KERNEL
        elif attack.attacker in hosts:
            expected = "from an access link" if hosts[attack.attacker] == attack.target and not attack.claims else KERNEL
        else:
            expected = "status 154" if (attack.kind, attack.target) == ("PBU", "lma") else "unknown sender"
        if attack.kind != "flood":
            assert outcome.refused == {expected: attack.count}


@pytest.mark.parametrize("scheme", ["s-pmip", "sd-pmip"])
def test_impostors_are_not_authenticated_and_replays_are_told(played: dict[tuple[str, str], Played], scheme: str) -> None:
    *forged, early, late, tunnelled = _outcomes(played, scheme, IMPOSTORS)
    reasons = {UNRECOGNIZED: "malformed"}
    expected = [{reasons.get(outcome.attack.kind, "not authenticated"): outcome.attack.count} for outcome in forged]
    assert [outcome.refused for outcome in forged] == expected
    answers = {"not authenticated": 1} if scheme == "s-pmip" else {}  # the LMA's to the forged PBU, which the attacker heard
    assert {reason: early.refused[reason] for reason in early.refused if reason not in (KERNEL, "replayed")} == answers
    assert early.refused["replayed"] > 1
    assert "sent at another time" in late.refused
    assert (tunnelled.refused, tunnelled.passed) == ({}, tunnelled.attack.count)


@pytest.mark.parametrize("scheme", ["s-pmip", "sd-pmip"])
def test_a_flood_is_limited_and_does_not_slow_another_link(played: dict[tuple[str, str], Played], scheme: str) -> None:
    (flood,) = [outcome for outcome in _outcomes(played, scheme, OUTSIDERS) if outcome.attack.kind == "flood"]
    assert flood.refused["query rate limited"] > 0.8 * flood.attack.count
    delays = []
    for variant in (OUTSIDERS, UNDISTURBED):
        first = next(packet for packet in played[scheme, variant].trace.packets if packet.flow == 2)
        assert first.received is not None
        delays.append(first.received - first.sent)
    assert delays[0] <= 1.1 * delays[1]


def test_without_a_key_a_session_is_taken_over(played: dict[tuple[str, str], Played]) -> None:
    one = played["s-pmip", NO_KEY]
    thief = next(mag.address for mag in one.run.domain.mags if mag.name == one.run.attacks[0].claims)
    prefix = next(host.home_network_prefix for host in one.run.domain.hosts if host.name == one.run.attacks[0].victim)
    assert [route.care_of for route in node_state.read(one.folder)["lma"].routes if route.prefix == prefix] == [thief]
    assert not [p for p in one.trace.packets if p.flow == 0 and p.received and (p.sent - one.run.epoch) / 1e9 > one.run.attacks[0].at + 0.1]
