"""The tables of doors (docs/security.md) are true as far as a test can tell: guards and tests exist, and run."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile

from test_conformance import ROOT, Collection, missing_code, missing_tests, quoted

HEADER = "| door | who can use it | what guards it | test |"


def rows() -> Iterator[list[str]]:
    """The cells of each row of all tables."""
    for table in (ROOT / "docs/security.md").read_text().split(HEADER)[1:]:
        for line in takewhile(lambda line: line.startswith("|"), table.splitlines()[2:]):
            yield [cell.strip() for cell in line.strip("|").split("|")]


ROWS = tuple(rows())


def test_there_is_a_table_without_an_empty_cell() -> None:
    assert len(ROWS) > 20
    assert [row for row in ROWS if len(row) != 4 or not all(row)] == []
    assert len({door for door, *_ in ROWS}) == len(ROWS)


def test_every_door_has_a_guard_and_tests_that_exist() -> None:
    assert {door: wrong for door, _, guard, test in ROWS if (wrong := [*missing_code(guard), *missing_tests(test)])} == {}


def test_every_named_test_runs() -> None:
    named = sorted({name for *_, test in ROWS for name in quoted(test)})
    collection = Collection(ROOT, dict.fromkeys(name.partition("::")[0] for name in named))
    assert [name for name in named if not collection.runs(name)] == []
