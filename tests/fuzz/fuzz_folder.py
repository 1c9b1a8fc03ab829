"""Results folders: whatever is in one, analysing it ends well or in one line, writes nowhere else, and steers no page and no terminal."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from choices import Choices
from folders import NAMES, leave

from experiments.analyse import analyse
from experiments.declare import declarations
from experiments.declare.scenario import Flow, Kill, Scenario
from experiments.measure import results
from experiments.measure.node_state import FILE, NodeState
from experiments.present import terminal
from experiments.present.report import write_index
from topologies.presets import star

_IN_MEMORY = Path("/dev/shm")
_HOME = TemporaryDirectory(prefix="fuzz-", dir=_IN_MEMORY if _IN_MEMORY.is_dir() else None)
_OUTSIDE, _FOLDER = Path(_HOME.name, "outside"), Path(_HOME.name, "folder")
_SECRET = "a line that nobody may see"
_EVENTS = ("started", "packet", "released", "ignored")


def _recorded() -> dict[str, bytes]:
    """The files of a small folder, by name."""
    with TemporaryDirectory() as name:
        folder = leave(Path(name), Scenario(0.3, (Flow("cn1", "mn1", 0.0, 0.05),), faults=(Kill("mag3", 0.1, 0.2),)))
        manifest = json.loads((folder / results.MANIFEST).read_text())
        manifest["experiment"]["figures"] = ["ladder", "table1"]
        (folder / results.MANIFEST).write_text(json.dumps(manifest))
        nodes = {agent.name: NodeState((), (), ()) for agent in star().mags}
        events = [{"node": "mag1", "event": event, "time": 1_704_067_205_000_000_000, "reason": "r"} for event in _EVENTS]
        for run in NAMES:
            (folder / run / FILE).write_bytes(declarations.to_json(nodes))
            (folder / run / "events.jsonl").write_text("".join(f"{json.dumps(event)}\n" for event in events))
        return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


_FILES = _recorded()
_JSON = tuple(name for name in _FILES if name.endswith((".json", ".jsonl")))
_OUTPUTS = ("index.html", "metrics.csv", "summary.csv", "ladder-pmip-anchor.svg", "ladder-s-pmip-notify.svg")
_TEXTS = (
    '"><svg onload=x>',
    "../../outside",
    "/etc/passwd",
    "\x1b[2J\x07\x9b",
    "",
    "x" * 1000,
    "pmip",
    "mag1",
    "mn1",
    "2001:db8::1",
    "$x^",
    "[/]",
)
_NUMBERS = (0, -1, 1, 2, 1e-9, 1e12, 1e308, 1 << 31, 1 << 62, 1 << 63, 1 << 200, 0.1)
_OTHERS: tuple[Any, ...] = (None, True, [], {}, [[]], [{}], {"": ""})
_VALUES: tuple[Any, ...] = (*_TEXTS, *_NUMBERS, *_OTHERS)


def run(data: bytes) -> None:
    """The octets are what is changed in the folder; it is then analysed, and shown."""
    _lay()
    choices = Choices(data)
    while choices:
        choices.pick(_CHANGES)(choices)
    with contextlib.suppress(results.ResultsError):
        study = analyse(_FOLDER)
        output = io.StringIO()
        terminal.show(study, terminal.Printable(file=output, color_system=None, width=300))
        write_index([study], _FOLDER / "all")
        assert all(character.isprintable() or character == "\n" for character in output.getvalue()), output.getvalue()
        for page in (_FOLDER / "index.html", _FOLDER / "all" / "index.html", *_FOLDER.glob("*.svg")):
            if page.is_file() and not page.is_symlink() and page.stat().st_nlink == 1:
                _Page().feed(page.read_text())
    assert (_OUTSIDE / "secret").read_text() == _SECRET
    assert sorted(path.name for path in Path(_HOME.name).rglob("*") if not path.is_relative_to(_FOLDER)) == ["outside", "secret"]


class _Page(HTMLParser):
    """A page or drawing that has nothing to run, and nothing from outside of the folder."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "iframe", "object", "embed", "foreignobject"), tag
        for name, value in attrs:
            assert not name.startswith("on"), name
            assert not (value or "").lower().startswith(("javascript:", "http:", "data:text")) or name.startswith("xmlns"), value

    def handle_data(self, data: str) -> None:
        assert _SECRET not in data


def _lay() -> None:
    shutil.rmtree(_HOME.name, ignore_errors=True)
    for name, octets in _FILES.items():
        path = _FOLDER / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(octets)
    _OUTSIDE.mkdir()
    (_OUTSIDE / "secret").write_text(_SECRET)


def _file(choices: Choices, names: tuple[str, ...] = tuple(_FILES)) -> Path | None:
    """A file of the folder that an earlier change has left as one."""
    path = _FOLDER / choices.pick(names)
    return path if path.is_file() and not path.is_symlink() and path.stat().st_nlink == 1 else None


def _change_a_value(choices: Choices) -> None:
    """Another value somewhere in a JSON file, or in a line of the journal."""
    path = _file(choices, _JSON)
    if path is None:
        return
    try:
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.suffix == ".jsonl" else json.loads(path.read_text())
    except (ValueError, RecursionError):
        return
    value = lines
    while isinstance(value, dict | list) and value:
        key = choices.pick(tuple(value)[:256] if isinstance(value, dict) else range(min(256, len(value))))
        inner = value[key]
        if not isinstance(inner, dict | list) or not inner or choices.number() < 16:
            value[key] = choices.pick(_VALUES)
            break
        value = inner
    path.write_text("\n".join(json.dumps(line) for line in lines) if path.suffix == ".jsonl" else json.dumps(lines))


def _change_octets(choices: Choices) -> None:
    path = _file(choices)
    if path is not None:
        octets = bytearray(path.read_bytes())
        at = choices.number(2) % (len(octets) + 1)
        octets[at : at + choices.number()] = choices.octets(choices.number() % 16)
        path.write_bytes(octets)


def _cut(choices: Choices) -> None:
    path = _file(choices)
    if path is not None:
        os.truncate(path, choices.number(2))


def _nest(choices: Choices) -> None:
    path = _file(choices, _JSON)
    if path is not None:
        path.write_text("[" * choices.number(2) * 16)


def _become(choices: Choices) -> None:
    """Another kind of file, or of folder, in the place of one, or of an output."""
    path = _FOLDER / choices.pick((*_FILES, *_OUTPUTS, *NAMES, "pmip", "s-pmip"))
    if not path.parent.is_dir() or not path.parent.resolve().is_relative_to(_FOLDER):
        return
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.is_dir():
        shutil.rmtree(path)
    elif path.exists():
        path.unlink()
    choices.pick(_KINDS)(path)


_KINDS: tuple[Callable[[Path], object], ...] = (
    lambda path: path.symlink_to(_OUTSIDE / "secret"),
    lambda path: path.hardlink_to(_OUTSIDE / "secret"),
    lambda path: path.symlink_to(_OUTSIDE),
    lambda path: path.symlink_to("/dev/zero"),
    lambda path: path.symlink_to(path),
    lambda path: os.mkfifo(path),
    lambda path: path.mkdir(),
    lambda path: None,
)
_CHANGES = (_change_a_value, _change_a_value, _change_a_value, _change_octets, _cut, _nest, _become)


def seeds() -> list[bytes]:
    """Nothing changed; one change of each sort; several."""
    return [b"\0", *(bytes((change, 0, *range(1, 24))) for change in range(len(_CHANGES))), bytes(range(200, 256))]
