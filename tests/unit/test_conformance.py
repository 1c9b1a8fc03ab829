"""The conformance tables are true as far as a test can tell: what they name exists and runs, and no row is left open."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted((ROOT / "docs").glob("conformance*.md"))
HEADER = ["section", "requirement", "where", "test"]
NOT_APPLICABLE = "not applicable: "
NOTHING = ("", "-")


class Row(NamedTuple):
    """One requirement; ``place`` tells where it stands."""

    place: str
    section: str
    requirement: str
    where: str
    test: str


def rows(text: str, name: str = "") -> Iterator[Row]:
    """The rows of every table whose header is HEADER; ValueError where one has not as many cells."""
    inside = False
    for number, line in enumerate(text.splitlines(), 1):
        cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]
        if not line.startswith("|"):
            inside = False
        elif cells == HEADER:
            inside = True
        elif inside and set(line) - set("|-: "):
            if len(cells) != len(HEADER):
                raise ValueError(f"{name}:{number} has {len(cells)} cells")
            yield Row(f"{name}:{number}", *cells)


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@cache
def names_in(path: str) -> frozenset[str]:
    """What a file defines at its top level and in its classes, members behind a dot; nothing where there is no such file."""
    return frozenset(definitions(ast.parse((ROOT / path).read_text()).body)) if (ROOT / path).is_file() else frozenset()


def definitions(body: list[ast.stmt], scope: str = "") -> Iterator[str]:
    for node in body:
        match node:
            case ast.FunctionDef(name) | ast.AsyncFunctionDef(name):
                yield scope + name
            case ast.ClassDef(name):
                yield scope + name
                yield from definitions(node.body, f"{scope}{name}.")
            case ast.Assign(targets):
                yield from (scope + target.id for target in targets if isinstance(target, ast.Name))
            case ast.AnnAssign(ast.Name(name)):
                yield scope + name


@cache
def skipped_in(path: str) -> frozenset[str]:
    """The tests of a file that a decorator skips, or lets fail."""
    functions = [node for node in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(node, ast.FunctionDef)]
    return frozenset(
        node.name for node in functions if any("skip" in said or "xfail" in said for said in map(ast.unparse, node.decorator_list))
    )


def missing_code(cell: str) -> list[str]:
    """What a ``where`` cell names and is not there: a file, then names in it; the cell itself where it names none."""
    wrong, path, found = [], "", False
    for name in quoted(cell):
        if "/" in name:
            path = name
            if not (ROOT / path).is_file():
                wrong.append(path)
        else:
            found = True
            if name not in names_in(path):
                wrong.append(f"{path} {name}")
    return wrong if found else [cell]


def missing_tests(cell: str) -> list[str]:
    """What a ``test`` cell names and is no test that runs; the cell itself where it names none."""
    wrong = []
    for name in quoted(cell):
        path, _, function = name.partition("::")
        function = function.replace("::", ".")
        last = function.rpartition(".")[2]
        if not path.startswith("tests/") or not last.startswith("test_") or function not in names_in(path) or last in skipped_in(path):
            wrong.append(name)
    return wrong if quoted(cell) and not re.sub(r"`[^`]+`|[\s,]", "", cell) else [cell]


def faults(row: Row) -> list[str]:
    """What is wrong with a row."""
    found = [] if re.fullmatch(r"\d+(\.\d+)*( \([\w, -]+\))?", row.section) else [f"section {row.section!r}"]
    if not row.requirement:
        found.append("no requirement")
    if row.where.startswith(NOT_APPLICABLE):
        return found if row.test in NOTHING else [*found, f"not applicable, but {row.test}"]
    return [*found, *missing_code(row.where), *missing_tests(row.test)]


ROWS = tuple(row for document in DOCUMENTS for row in rows(document.read_text(), document.name))


def test_there_is_a_table_with_many_rows() -> None:
    assert len(ROWS) > 100


def test_every_row_names_code_and_tests_that_exist_or_says_why_not() -> None:
    assert {row.place: wrong for row in ROWS if (wrong := faults(row))} == {}


def test_no_requirement_stands_there_twice() -> None:
    counts = Counter((row.place.partition(":")[0], row.section, row.requirement) for row in ROWS)
    assert [key for key, times in counts.items() if times > 1] == []


def test_every_line_of_a_table_is_a_row() -> None:
    """So that no row hides behind a heading that is not quite HEADER."""
    for document in DOCUMENTS:
        lines = [line for line in document.read_text().splitlines() if line.startswith("|")]
        headings = sum([cell.strip() for cell in line.strip("|").split("|")] == HEADER for line in lines)
        assert len(lines) == 2 * headings + sum(row.place.startswith(f"{document.name}:") for row in ROWS)


GOOD = Row(
    "x:1", "5.3.1 (4)", "a thing", "`agents/lma.py` `Lma.receive`", "`tests/unit/test_conformance.py::test_there_is_a_table_with_many_rows`"
)


@pytest.mark.parametrize(
    "change",
    [
        {"section": "5.x"},
        {"section": ""},
        {"requirement": ""},
        {"where": ""},
        {"where": "`agents/lma.py`"},
        {"where": "`agents/no_such_file.py` `Lma`"},
        {"where": "`agents/lma.py` `Lma.no_such_method`"},
        {"where": "not applicable: "},
        {"where": "not applicable: reason"},
        {"test": ""},
        {"test": "by inspection"},
        {"test": f"{GOOD.test} in part"},
        {"test": "`tests/unit/test_conformance.py::test_no_such_test`"},
        {"test": "`tests/unit/no_such_file.py::test_it`"},
        {"test": "`tests/unit/test_conformance.py::faults`"},
    ],
)
def test_a_row_that_is_open_or_wrong_is_noticed(change: dict[str, str]) -> None:
    assert faults(GOOD) == []
    assert faults(GOOD._replace(where="not applicable: reason", test="-")) == []
    assert faults(GOOD._replace(**change)) != []


def test_a_test_that_is_skipped_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "test_it.py"
    path.write_text("@pytest.mark.skipif(True)\ndef test_a(): ...\n@pytest.mark.xfail\ndef test_b(): ...\ndef test_c(): ...\n")
    assert skipped_in(str(path)) == {"test_a", "test_b"}


def test_a_row_of_too_few_cells_is_an_error() -> None:
    with pytest.raises(ValueError, match="x:2 has 3 cells"):
        list(rows("| section | requirement | where | test |\n| 5 | a | b |", "x"))
