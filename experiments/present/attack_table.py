"""What became of attacks, as a table: a row for those that are alike, a column for each scheme."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from experiments.measure.harm import AttackOutcome


@dataclass(frozen=True, slots=True)
class AttackCell:
    """What became of attacks that are alike under one scheme, and whether that is as it should be."""

    text: str
    good: bool


@dataclass(frozen=True, slots=True)
class AttackRow:
    """Attacks that are alike: of one case and kind, from an access link or the core, with an address of their own or an agent's."""

    case: str
    kind: str
    place: str
    claim: str
    cells: tuple[AttackCell | None, ...]


@dataclass(frozen=True, slots=True)
class AttackTable:
    """``schemes`` head the cells of each row."""

    schemes: tuple[str, ...]
    rows: tuple[AttackRow, ...]


def table_of_attacks(outcomes: Iterable[AttackOutcome]) -> AttackTable | None:
    """The table, or None where there was no attack."""
    groups: dict[tuple[str, str, str, str], dict[str, list[AttackOutcome]]] = {}
    for outcome in outcomes:
        groups.setdefault(_likeness(outcome), {}).setdefault(outcome.run.case.scheme, []).append(outcome)
    if not groups:
        return None
    schemes = tuple(dict.fromkeys(scheme for group in groups.values() for scheme in group))
    rows = (AttackRow(*key, tuple(_cell(group.get(scheme, ())) for scheme in schemes)) for key, group in groups.items())
    return AttackTable(schemes, tuple(rows))


def _likeness(outcome: AttackOutcome) -> tuple[str, str, str, str]:
    attack, run = outcome.attack, outcome.run
    place = "an access link" if attack.attacker in run.host else "the core"
    return run.case.variant, attack.kind, place, "an agent" if attack.claims else "itself"


def _cell(outcomes: Sequence[AttackOutcome]) -> AttackCell | None:
    if not outcomes:
        return None
    refused: Counter[str] = Counter()
    for outcome in outcomes:
        refused.update(outcome.refused)
    parts = [f"{count} refused: {reason}" for reason, count in refused.items()]
    parts += [
        f"{count} {what}"
        for count, what in (
            (sum(outcome.passed for outcome in outcomes), "sent on"),
            (sum(outcome.disturbed for outcome in outcomes), "packets of others disturbed"),
            (len({change for outcome in outcomes for change in outcome.changed}), "changes of routes and rules"),
        )
        if count
    ]
    return AttackCell(", ".join(parts), all(outcome.good for outcome in outcomes))
