"""The drawing of docs/architecture.md is what the imports are, and rooms import each other in one direction only.

``python tests/unit/test_architecture.py`` draws it anew.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "architecture.md"
ROOMS = (
    "agents",
    "agents/linux",
    "topologies",
    "topologies/linux",
    "engines",
    "experiments",
    "experiments/bench",
    "experiments/catalogue",
    "experiments/declare",
    "experiments/measure",
    "experiments/model",
    "experiments/play",
    "experiments/present",
    "experiments/simulate",
    "vm",
)
"""Folders; what lies in a folder below one that is not named here belongs to the room above it."""

_DRAWING = re.compile(r"```mermaid\n.*?```\n", re.DOTALL)


def _room(folder: Path) -> str:
    while str(folder) not in ROOMS:
        folder = folder.parent
    return str(folder)


def imports() -> dict[str, set[str]]:
    """Room to the rooms of which it imports something."""
    houses = [room for room in ROOMS if "/" not in room]
    files = [path.relative_to(ROOT) for house in houses for path in (ROOT / house).rglob("*.py")]
    rooms = {".".join(path.with_suffix("").parts).removesuffix(".__init__"): _room(path.parent) for path in files}
    found: dict[str, set[str]] = {room: set() for room in ROOMS}
    for path in files:
        for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
            found[_room(path.parent)] |= {rooms[module] for module in _modules(node, rooms)}
    return {room: others - {room} for room, others in found.items()}


def _modules(node: ast.AST, known: Collection[str]) -> Iterator[str]:
    """The project's modules that an import statement names; a package only where something of its own is imported from it."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name in known)
    elif isinstance(node, ast.ImportFrom) and node.module in known:
        for alias in node.names:
            name = f"{node.module}.{alias.name}"
            yield name if name in known else node.module or ""


def drawing() -> str:
    """The rooms as a Mermaid graph: an arrow to each that is imported, but for those to which other arrows lead as well."""
    direct = imports()
    reached: dict[str, set[str]] = {}
    for room in TopologicalSorter(direct).static_order():
        reached[room] = direct[room].union(*(reached[other] for other in direct[room]))
    lines = ["```mermaid", "graph TD"]
    for room, others in direct.items():
        for other in sorted(others - set().union(*(reached[between] for between in others))):
            lines.append(f"    {_box(room)} --> {_box(other)}")
    return "\n".join([*lines, "```", ""])


def _box(room: str) -> str:
    return f'{room.replace("/", "_")}["{room}/"]'


def test_rooms_import_each_other_in_one_direction_only() -> None:
    assert set(TopologicalSorter(imports()).static_order()) == set(ROOMS)


def test_the_drawing_is_what_the_imports_are() -> None:
    assert _DRAWING.findall(PAGE.read_text(encoding="utf-8")) == [drawing()]


def test_every_room_is_in_the_table_of_rooms() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert [room for room in ROOMS if f"| `{room}/` |" not in page] == []


if __name__ == "__main__":
    PAGE.write_text(_DRAWING.sub(lambda _: drawing(), PAGE.read_text(encoding="utf-8")), encoding="utf-8")
