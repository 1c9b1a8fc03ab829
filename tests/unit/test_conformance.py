"""The conformance tables are true as far as a test can tell: what they name exists and runs, and no row is left open."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted((ROOT / "docs/conformance").glob("*.md"))
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


class Collection:
    """What pytest would run of files of ``root``: by name, as a table has it, the markers of each test."""

    def __init__(self, root: Path, files: Iterable[str]) -> None:
        self.markers: dict[str, set[str]] = {}
        paths = [str(root / file) for file in files if (root / file).is_file()]
        pytest.main(["--collect-only", "--quiet", "--rootdir", str(root), "-p", "no:cacheprovider", *paths], plugins=[self])

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            self.markers.setdefault(item.nodeid.partition("[")[0], set()).update(marker.name for marker in item.iter_markers())

    def runs(self, name: str) -> bool:
        """Whether a test is collected, and neither skipped nor let fail."""
        return not self.markers.get(name, {"skip"}) & {"skip", "skipif", "xfail"}


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
    """What a ``test`` cell names and is no test; the cell itself where it names none."""
    wrong = []
    for name in quoted(cell):
        path, _, function = name.partition("::")
        function = function.replace("::", ".")
        last = function.rpartition(".")[2]
        if not path.startswith("tests/") or not last.startswith("test_") or function not in names_in(path):
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


ASKING = (
    "4 5 5.1 5.2 5.3 5.3.1 5.3.2 5.3.3 5.3.4 5.3.5 5.3.6 5.4 5.4.1 5.4.1.1 5.4.1.2 5.4.1.3 5.5 5.6.1 5.6.2 5.6.3 "
    "6.1 6.2 6.5 6.6 6.7 6.9.1.1 6.9.1.2 6.9.1.3 6.9.1.4 6.9.1.5 6.9.2 6.9.3 6.9.4 6.9.5 6.10.3 6.10.5 6.11 6.12 6.13 6.14 "
    "8.1 8.2 8.3 8.4 8.5 8.6 8.7 8.8 9.1 9.2 9.3 10"
)
"""The sections of RFC 5213, from 4 to 11, in which MUST or SHOULD stands; section 7 speaks of mobile nodes and asks nothing."""


def test_every_section_of_rfc_5213_that_asks_for_something_has_a_row() -> None:
    parts = ("lma.md", "mag.md")
    sections = {row.section.partition(" ")[0] for row in ROWS if row.place.partition(":")[0] in parts}
    assert set(ASKING.split()) - sections == set()


def test_every_row_names_code_and_tests_that_exist_or_says_why_not() -> None:
    assert {row.place: wrong for row in ROWS if (wrong := faults(row))} == {}


def test_every_named_test_runs() -> None:
    """Those of tests/guest run in a guest, which tests/emulation/test_in_a_guest.py starts."""
    named = sorted({name for row in ROWS for name in quoted(row.test)})
    collection = Collection(ROOT, dict.fromkeys(name.partition("::")[0] for name in named))
    assert [name for name in named if not collection.runs(name)] == []


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


SOME_RUN = """
import pytest
@pytest.mark.skipif("True", reason="")
def test_a(): ...
@pytest.mark.xfail
def test_b(): ...
@pytest.mark.parametrize("x", [1, 2])
def test_c(x): ...
@pytest.mark.skip
class TestD:
    def test_e(self): ...
class TestF:
    def test_g(self): ...
"""


def test_a_test_that_does_not_run_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "test_some_run.py").write_text(SOME_RUN)
    collection = Collection(tmp_path, ["test_some_run.py", "test_no_such_file.py"])
    tests = ("test_a", "test_b", "test_c", "TestD::test_e", "TestF::test_g", "test_h")
    assert [test for test in tests if collection.runs(f"test_some_run.py::{test}")] == ["test_c", "TestF::test_g"]


def test_a_row_of_too_few_cells_is_an_error() -> None:
    with pytest.raises(ValueError, match="x:2 has 3 cells"):
        list(rows("| section | requirement | where | test |\n| 5 | a | b |", "x"))
