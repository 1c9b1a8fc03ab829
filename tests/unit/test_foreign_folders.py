"""Results folders from somebody else: nothing is read or written elsewhere, nothing is run, and no page or terminal is steered."""

from __future__ import annotations

import ast
import contextlib
import gzip
import io
import json
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from captures import Record, pcap, pcapng
from folders import NAMES, leave

from experiments import analyse, reference, runner
from experiments.cli import main
from experiments.declare import declarations, files
from experiments.declare.scenario import Flow, Move, Run, Scenario
from experiments.measure import pcap as pcap_module
from experiments.measure import results
from experiments.measure.pcap import CaptureFileError, read_capture
from experiments.measure.results import Overview
from experiments.present import report, streams, terminal

ROOT = Path(__file__).parents[2]
INJECTION = '"><svg onload=alert(1)>'
ATTACK = {"type": "Attack", "kind": "PBU", "attacker": "mn1", "target": "mag1", "victim": "mn1", "at": 1}
ESCAPE = "\x1b]0;gone\x07\x1b[2J\x9b31m\u202e"


def change(path: Path, edit: Callable[[Any], object]) -> None:
    """Edit what a JSON file holds."""
    value = json.loads(path.read_text())
    edit(value)
    path.write_text(json.dumps(value))


def put(value: Any, where: str, new: object) -> None:
    """Put ``new`` where a dotted path leads."""
    *way, last = (int(part) if part.isdigit() else part for part in where.split("."))
    for part in way:
        value = value[part]
    value[last] = new


# Names and numbers


@pytest.mark.parametrize(
    ("where", "new", "says"),
    [
        ("experiment.name", "../../home", "expected an experiment's name to be"),
        ("experiment.name", "/etc", "expected an experiment's name to be"),
        ("experiment.name", ".", "expected an experiment's name to be"),
        ("experiment.cases.0.scheme", "../x", "expected a scheme to be one of"),
        ("experiment.cases.0.policy", "notify/../..", "expected a policy of pmip to be one of"),
        ("experiment.cases.0.variant", "x/../../home/pwned", "expected a case's variant to be"),
        ("experiment.cases.0.variant", INJECTION, "expected a case's variant to be"),
        ("experiment.cases.0.variant", ESCAPE, "expected a case's variant to be"),
        ("experiment.cases.0.settings", {"no.such": "1"}, "no setting of the agents is called 'no.such'"),
        ("experiment.cases.0.settings", {"query.lifetime": "1ps"}, "settings: "),
        ("experiment.cases.1", {"scheme": "pmip", "policy": "anchor"}, "expected one case to be called pmip/anchor, not 2"),
        ("experiment.cases", [], "expected the number of runs of all cases to be 1 to"),
        ("experiment.figures.0", "../bars", "expected a figure's name to be"),
        ("experiment.figures", ["bars"] * 1000, "expected at most 100 figures, not 1000"),
        ("experiment.domain.hosts.0.name", "a/b", "expected names of 1 to"),
        ("experiment.domain.mags.0.name", "$(id)", "expected names of 1 to"),
        ("experiment.domain.core.0.name", "", "expected names of 1 to"),
        ("experiment.domain.hosts.0.mn_id", ESCAPE, "expected the MN-ID of"),
        ("experiment.domain.name", ESCAPE, "expected the domain's name to be printable"),
        ("experiment.domain.access.delay", 1e9, "expected a link's delay to be"),
        ("experiment.scenario.flows.0.source", "nobody", "no node of the domain is called 'nobody'"),
        ("experiment.scenario.flows.0.rate", 1e12, "expected a flow's rate in packets/s to be"),
        ("experiment.scenario.flows.0.rate", 0, "expected a flow's rate in packets/s to be"),
        ("experiment.scenario.flows.0.duration", 1e9, "expected a flow's duration in s to be"),
        ("experiment.scenario.flows.0.duration", 99_999, "expected the number of test packets of a run to be 0 to 1000000"),
        ("experiment.scenario.flows.0.size", 1 << 40, "expected a flow's size in bytes to be"),
        ("experiment.scenario.flows.0.start", -1, "expected a flow's start in s to be"),
        ("experiment.scenario.duration", 1e9, "expected a scenario's duration in s to be"),
        ("experiment.scenario.phase", -1, "expected a scenario's phase in s to be"),
        ("experiment.scenario.moves", [{"at": 1e10, "mn": "mn1", "to": "mag1"}], "expected a move's time in s to be"),
        ("experiment.scenario.moves", [{"at": 1, "mn": "mn1", "to": "nowhere"}], "no node of the domain is called 'nowhere'"),
        ("experiment.scenario.faults", [{"type": "Kill", "node": "mag1", "at": 1, "end": 1e9}], "expected a fault's end in s to be"),
        ("experiment.scenario.faults", [{"type": "WrongClock", "node": "mag1", "seconds": 1e99, "end": 1}], "expected a clock's error"),
        (
            "experiment.scenario.faults",
            [{**ATTACK, "rate": 0}],
            "division by zero",
        ),
        (
            "experiment.scenario.faults",
            [{**ATTACK, "count": 1 << 50, "rate": 1e12}],
            "expected an attack's number of packets to be",
        ),
        ("runs_per_case", 1 << 60, "expected the number of runs to be 1 to 100000"),
        ("runs_per_case", -1, "expected the number of runs to be 1 to"),
        ("seed", -1, "expected the seed to be"),
        ("seed", 1 << 70, "expected the seed to be"),
        ("seed", 10**400, "too large"),
        ("engine", "../../bin/sh", "expected the engine to be one of"),
        ("phase", "never", "Invalid enum value"),
        ("settings", {"authentication.key": "@/etc/passwd"}, "settings: "),
        ("runs.0.folder", "../elsewhere", "expected each run's folder once, as planned"),
        ("runs.0.folder", "/etc", "expected each run's folder once, as planned"),
        ("runs.1.folder", NAMES[0], "expected each run's folder once, as planned"),
        ("wall_seconds", "x" * 100_000, "Expected `float`"),
    ],
)  # fmt: skip
def test_a_manifest_is_refused_in_one_line(where: str, new: object, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = leave(tmp_path / "folder")
    change(folder / "manifest.json", lambda manifest: put(manifest, where, new))
    before = sorted(tmp_path.rglob("*"))
    for command in (("analyse",), ("compare",), ("run", "--resume")):
        assert main([*command, str(folder)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert says in line
        assert len(line) < 1000
        assert line.isprintable()
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("where", "new"),
    [
        ("case.variant", "../x"),
        ("case.scheme", "s-pmip"),
        ("experiment", "../x"),
        ("number", 2),
        ("epoch", -1),
        ("epoch", 1 << 63),
        ("scenario.flows.0.rate", 1e12),
        ("scenario.duration", 1e9),
        ("domain.hosts.0.name", INJECTION),
        ("engine", "other"),
    ],
)
def test_a_run_is_refused_and_costs_no_other(where: str, new: object, tmp_path: Path) -> None:
    folder = leave(tmp_path)
    change(folder / NAMES[0] / "run.json", lambda run: put(run, where, new))
    study = analyse.analyse(folder)
    assert [result.run.case.scheme for result in study.results] == ["s-pmip"]
    assert len(study.undrawn) == 1


def test_a_folder_of_which_no_run_can_be_read_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = leave(tmp_path)
    for name in NAMES:
        (folder / name / "run.json").write_text("{}")
    assert main(["analyse", str(folder)]) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"not as expected: {folder.name}: {folder}: no run can be read; “What {NAMES[0]} shows” could not be made")


@pytest.mark.parametrize("name", ["../elsewhere", "/etc", ".", "..", "", "a/b", "\x1b[2J"])
def test_an_overview_names_only_folders_beside_it(name: str, tmp_path: Path) -> None:
    leave(tmp_path / "elsewhere")
    folder = tmp_path / "results" / "overview"
    folder.mkdir(parents=True)
    results.write_overview(folder, Overview("", "", (name,)))
    with pytest.raises(results.NoResultsError, match="expected an experiment's folder to be"):
        results.experiments(folder)


def test_an_overview_follows_no_link(tmp_path: Path) -> None:
    elsewhere = leave(tmp_path / "elsewhere")
    folder = tmp_path / "results" / "overview"
    folder.mkdir(parents=True)
    (folder.parent / "fig1").symlink_to(elsewhere)
    results.write_overview(folder, Overview("", "", ("fig1",)))
    with pytest.raises(results.NoResultsError, match="symbolic link"):
        results.experiments(folder)


@pytest.mark.parametrize("text", ["[" * 1_000_000, '{"a":' * 100_000, "", "\0", "\ud800".encode("utf-8", "surrogatepass"), "[1e999]"])
def test_json_that_is_none_is_refused_in_one_line(text: str | bytes, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(results.NoResultsError) as refused:
        results.read_manifest(tmp_path)
    assert len(str(refused.value)) < 1000


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").touch()
    os.truncate(tmp_path / "manifest.json", 1 << 40)
    with pytest.raises(results.NoResultsError, match="has more than 67,108,864 bytes"):
        results.read_manifest(tmp_path)


# Links and special files


def written(folder: Path) -> list[Path]:
    """What an analysis writes, below the folder."""
    before = set(folder.rglob("*"))
    analyse.analyse(folder)
    return sorted(path.relative_to(folder) for path in set(folder.rglob("*")) - before)


def test_no_output_follows_a_link(tmp_path: Path) -> None:
    outputs = written(leave(tmp_path / "plain"))
    assert {Path("index.html"), Path("metrics.csv"), Path("summary.csv"), Path("bars.svg"), Path("bars.png")} <= set(outputs)
    folder = leave(tmp_path / "folder")
    for number, name in enumerate(outputs):
        target = tmp_path / f"target-{number}"
        target.write_text("mine")
        for link in (folder / name, folder / f"{name}.part"):
            link.symlink_to(target)
    assert analyse.analyse(folder).undrawn == ()
    assert {(tmp_path / f"target-{number}").read_text() for number in range(len(outputs))} == {"mine"}
    assert not any((folder / name).is_symlink() for name in outputs)


def test_no_output_is_written_through_a_hard_link(tmp_path: Path) -> None:
    folder, target = leave(tmp_path / "folder"), tmp_path / "target"
    target.write_text("mine")
    (folder / "index.html").hardlink_to(target)
    analyse.analyse(folder)
    assert target.read_text() == "mine"
    assert "<html" in (folder / "index.html").read_text()


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_no_run_is_read_through_a_link(depth: int, tmp_path: Path) -> None:
    folder, other = leave(tmp_path / "folder"), leave(tmp_path / "other")
    linked = Path(*Path(NAMES[0]).parts[:depth])
    (folder / linked).rename(tmp_path / "away")
    (folder / linked).symlink_to(other / linked)
    (line,) = analyse.analyse(folder).undrawn
    assert "is a symbolic link, which is not followed" in line


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_resuming_deletes_nothing_through_a_link(depth: int, tmp_path: Path) -> None:
    folder, other = leave(tmp_path / "folder"), leave(tmp_path / "other")
    linked = Path(*Path(NAMES[0]).parts[:depth])
    (folder / linked).rename(tmp_path / "away")
    (folder / linked).symlink_to(other / linked)
    before = sorted(other.rglob("*"))
    manifest = results.read_manifest(folder)
    with pytest.raises(results.ResultsError, match="symbolic link"):
        runner.Plan(folder, replace(manifest, runs=())).begin()
    assert sorted(other.rglob("*")) == before


def no_file(path: Path) -> None:
    path.unlink()


def folder_there(path: Path) -> None:
    path.unlink()
    path.mkdir()


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def socket_there(path: Path) -> None:
    path.unlink()
    with contextlib.chdir(path.parent), socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)


def link_to_a_device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def link_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def link_to_a_secret(path: Path) -> None:
    path.unlink()
    path.symlink_to(Path(__file__))


KINDS = (no_file, folder_there, fifo, socket_there, link_to_a_device, link_to_itself, link_to_a_secret)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["run.json", "mn1.pcap", "lma.pcap"])
def test_a_file_of_a_run_that_is_no_plain_file_is_named(kind: Callable[[Path], None], name: str, tmp_path: Path) -> None:
    folder = leave(tmp_path)
    kind(folder / NAMES[0] / name)
    study = analyse.analyse(folder)
    said = [*study.undrawn, *(capture for result in study.results for capture in result.trace.truncated)]
    assert any(name in line for line in said)
    assert "s-pmip" in {result.run.case.scheme for result in study.results if result.failure is None}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["manifest.json", "overview.json"])
def test_a_declaration_that_is_no_plain_file_is_refused(kind: Callable[[Path], None], name: str, tmp_path: Path) -> None:
    folder = leave(tmp_path)
    (folder / name).touch()
    kind(folder / name)
    if (kind, name) == (no_file, "overview.json"):
        return
    with pytest.raises(results.NoResultsError):
        results.experiments(folder)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["events.jsonl", "state.json"])
def test_the_journal_and_the_state_are_plain_files(kind: Callable[[Path], None], name: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    kind(tmp_path / name)
    with pytest.raises(OSError, match=r"is no plain file|symbolic link|No such file"):
        files.read(tmp_path / name, files.MOST_JOURNAL)


@pytest.mark.parametrize("kind", KINDS)
def test_comparing_reads_no_metrics_and_no_captures_that_are_no_plain_files(kind: Callable[[Path], None], tmp_path: Path) -> None:
    kept, folder = tmp_path / "reference", leave(tmp_path / "folder")
    analyse.analyse(folder)
    reference.keep(folder, kept)
    kind(folder / "metrics.csv") if kind is not folder_there else (folder / "metrics.csv").unlink()
    kind(folder / NAMES[0] / "mn1.pcap")
    assert reference.compare(folder, kept).captures == (f"{NAMES[0]}/mn1.pcap",)


def test_an_output_that_is_a_folder_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = leave(tmp_path)
    (folder / "index.html").mkdir()
    assert main(["analyse", str(folder)]) == 1
    assert f"cannot write {folder}/index.html: Is a directory" in capsys.readouterr().out
    assert not (folder / "index.html.part").exists()


def test_resuming_leaves_nothing_of_an_earlier_try(tmp_path: Path) -> None:
    folder = leave(tmp_path)
    for name in ("mag1.restarts", "authentication.key", "anything"):
        (folder / NAMES[0] / name).write_text("1")
    runner.Plan(folder, replace(results.read_manifest(folder), runs=())).begin()
    assert [path.name for path in (folder / NAMES[0]).iterdir()] == ["run.json"]


# Sizes


def test_a_sparse_capture_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pcap"
    path.write_bytes(pcap([]))
    os.truncate(path, 6 << 30)
    with pytest.raises(CaptureFileError, match=r"x.pcap: larger than the 1,073,741,824 bytes that are read"):
        read_capture(path)


def test_a_capture_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pcap.gz"
    path.write_bytes(gzip.compress(pcap([]) + bytes(1 << 24)))
    with pytest.raises(CaptureFileError, match=r"x.pcap.gz: larger than the 1,048,576 bytes that are read"):
        read_capture(path, 1 << 20)


@pytest.mark.parametrize("kind", [pcap, pcapng])
def test_a_capture_of_too_many_packets_is_refused(kind: Callable[..., bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pcap_module, "MOST_PACKETS", 3)
    path = tmp_path / "x.pcap"
    path.write_bytes(kind([Record(10**18, bytes(60))] * 3))
    assert len(read_capture(path)) == 3
    path.write_bytes(kind([Record(10**18, bytes(60))] * 4))
    with pytest.raises(CaptureFileError, match=r"x.pcap: more than the .* packets that are read"):
        read_capture(path)


def test_the_captures_of_a_run_share_one_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = leave(tmp_path)
    sizes = [path.stat().st_size for path in (folder / NAMES[0]).glob("*.pcap")]
    monkeypatch.setattr("experiments.measure.trace.MOST_OCTETS", max(sizes) + 100)
    study = analyse.analyse(folder)
    assert any("that are read" in line for result in study.results for line in result.trace.truncated)


# Keeping a reference


def test_a_reference_is_kept_in_its_folder_only(tmp_path: Path) -> None:
    folder, victim = leave(tmp_path / "folder"), tmp_path / "victim"
    victim.mkdir()
    (victim / "file").write_text("mine")
    for name in ("../victim", str(victim), "..", "."):
        change(folder / "manifest.json", partial(put, where="experiment.name", new=name))
        with pytest.raises(results.NoResultsError, match="expected an experiment's name"):
            reference.keep(folder, tmp_path / "reference")
    assert (victim / "file").read_text() == "mine"


def test_a_reference_stays_where_another_cannot_be_kept(tmp_path: Path) -> None:
    kept, folder = tmp_path / "reference", leave(tmp_path / "folder")
    analyse.analyse(folder)
    before = sorted(path.name for path in reference.keep(folder, kept).iterdir())
    (folder / "summary.csv").unlink()
    (folder / "summary.csv").symlink_to(Path(__file__))
    with pytest.raises(OSError, match="symbolic link"):
        reference.keep(folder, kept)
    assert sorted(path.name for path in (kept / "fig1").iterdir()) == before
    assert [path.name for path in kept.iterdir()] == ["fig1"]


# What a browser is shown


class Walk(HTMLParser):
    """What a page is made of: elements, each with its attributes, and the policy that it declares."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.made: set[tuple[str, str]] = set()
        self.values: list[str] = []
        self.policy = ""
        self.text: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.made |= {(tag, ""), *((tag, name) for name, _ in attributes)}
        self.values += [value or "" for _, value in attributes]
        found = dict(attributes)
        if found.get("http-equiv") == "Content-Security-Policy":
            self.policy = found["content"] or ""

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def strings(value: Any, path: str = "") -> Iterator[str]:
    """The dotted path of each string."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        where = f"{path}.{key}" if path else str(key)
        if isinstance(inner, str):
            yield where
        yield from strings(inner, where)


FULL = Scenario(3.0, (Flow("cn1", "mn1", 0.0, 2.5),), (Move(1.0, "mn1", "mag3"),))
FIGURES = ("delays", "handovers", "losses", "ladder", "bars")


def full(folder: Path) -> Path:
    """A folder with every part that a report has."""
    leave(folder, FULL)
    change(folder / "manifest.json", lambda manifest: put(manifest, "experiment.figures", list(FIGURES)))
    return folder


def test_every_string_of_the_declarations_is_shown_as_text(tmp_path: Path) -> None:
    """Each string is an injection where the declaration is still taken; all of those together, then, make no element of their own."""
    plain = full(tmp_path / "plain")
    change(plain / "manifest.json", lambda manifest: put(manifest, "runs.0.failure", "failed\nfor a reason"))
    study = analyse.analyse(plain)
    report.write_index([study], tmp_path / "plain-index")
    folder = full(tmp_path / "folder")
    taken = []
    checks = {folder / "manifest.json": results.read_manifest, **{folder / name / "run.json": _read_run(name) for name in NAMES}}
    for path, check in checks.items():
        for where in strings(json.loads(path.read_text())):
            before = path.read_text()
            change(path, partial(put, where=where, new=INJECTION))
            try:
                check(folder)
                taken.append(where)
            except (results.NoResultsError, declarations.DeclarationError):
                path.write_text(before)
    assert {"command", "kernel", "started", "experiment.title", "experiment.question", "revision"} <= set(taken)
    change(folder / "manifest.json", lambda manifest: put(manifest, "runs.0.failure", f"{INJECTION}\n{INJECTION}"))
    for name in NAMES:
        (folder / name / f"{INJECTION.replace('/', '')}.log").touch()
    study = analyse.analyse(folder)
    index = report.write_index([study], tmp_path / "index")
    pages = [(folder / "index.html", plain / "index.html"), (index, tmp_path / "plain-index" / "index.html")]
    for page, model_page in pages:
        walked, usual = Walk(page.read_text()), Walk(model_page.read_text())
        assert walked.made == usual.made
        assert INJECTION in "".join(walked.text)
        assert not [value for value in walked.values if value.lower().lstrip().startswith(("javascript:", "data:text"))]
    for drawing in folder.glob("*.svg"):
        assert Walk(drawing.read_text()).made <= Walk((plain / drawing.name).read_text()).made | {("g", "id")}


def _read_run(name: str) -> Callable[[Path], object]:
    return lambda folder: results.read_run(folder, results.RunRecord(name, None, 0.0))


def test_what_captures_and_journals_say_is_shown_as_text(tmp_path: Path) -> None:
    """Identifiers in messages are whatever their sender wrote; here the model writes them, and what it says goes into captures."""
    folder = full(tmp_path)
    for path in (folder / "manifest.json", *(folder / name / "run.json" for name in NAMES)):
        path.write_text(path.read_text().replace("mn1@", INJECTION.replace(" ", "/").replace('"', '\\"') + "@"))
    for name in NAMES:
        run = declarations.load(folder / name / "run.json", Run)
        assert any(host.mn_id.startswith('"><svg/onload') for host in run.domain.hosts)
        (folder / name / "events.jsonl").write_text(json.dumps({"node": INJECTION, "event": "ignored", "reason": INJECTION, "time": 0}))
    study = analyse.analyse(folder)
    walked = Walk((folder / "index.html").read_text())
    assert not [(tag, name) for tag, name in walked.made if name.startswith("on")]
    assert study.results


def test_pages_run_no_script_and_say_so(tmp_path: Path) -> None:
    study = analyse.analyse(full(tmp_path))
    for page in (tmp_path / "index.html", report.write_index([study], tmp_path / "index")):
        walked = Walk(page.read_text())
        assert walked.policy.startswith("default-src 'none'; ")
        assert "script" not in walked.policy
        assert not [(tag, name) for tag, name in walked.made if tag in ("script", "iframe", "object", "embed") or name.startswith("on")]


def test_html_is_marked_safe_in_one_place_only() -> None:
    """That place is ``inline``, which takes drawings of our own; templates escape everything else."""
    for template in (ROOT / "experiments/present").glob("*.html"):
        assert "|safe" not in template.read_text().replace(" ", "")
        assert "autoescape" not in template.read_text()
    calls = [
        (path.name, call.lineno)
        for path in sorted((ROOT / "experiments").rglob("*.py"))
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Markup"
    ]
    assert {name for name, _ in calls} == {"report.py"}
    assert len({line for _, line in calls}) == 1


# What a terminal is shown


def test_a_terminal_is_not_steered(tmp_path: Path) -> None:
    folder = full(tmp_path)
    change(folder / "manifest.json", lambda manifest: put(manifest, "experiment.title", f"[bold]{ESCAPE}title[/]"))
    change(folder / "manifest.json", lambda manifest: put(manifest, "runs.0.failure", f"{ESCAPE}[/bad]\n{ESCAPE}"))
    study = analyse.analyse(folder)
    output = io.StringIO()
    console = terminal.Printable(file=output, force_terminal=True, color_system="truecolor", width=200)
    terminal.show(study, console)
    terminal.show_shortcomings([ESCAPE], console)
    said = output.getvalue()
    assert "[bold]" in said
    assert not set(ESCAPE) - {"\x1b"} & set(said) & set("\x07\x9b\u202e")
    assert "\x1b]" not in said
    assert "\x1b[2J" not in said
    assert "title" in said


def test_lines_are_said_without_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    streams.say(f"a{ESCAPE}b\r\x00\tc\nd", error=True)
    assert capsys.readouterr().err == "a]0;gone[2J31mb\tc\nd\n"


_CONSTANT = {
    "print(_FIRST, end='', file=sys.stderr)",
    "print(f'dmmlab {results.version()}')",
    "print('\\n'.join(_LISTINGS[options.what]()))",
    "print(printable(text), file=sys.stderr if error else sys.stdout)",
}
"""What says nothing of a folder, and the function itself."""


def test_whatever_shows_a_folder_says_it_through_one_function() -> None:
    """No other ``print`` and no other console than those that leave control characters out, where commands on folders are done."""
    ours = (
        "cli",
        "runner",
        "analyse",
        "results",
        "selection",
        "status",
        "declarations",
        "admission",
        "files",
        "streams",
        "measure/",
        "present/",
    )
    for path in sorted((ROOT / "experiments").rglob("*.py")):
        if not str(path.relative_to(ROOT / "experiments")).startswith(ours):
            continue
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in ("print", "Console"):
                said = ast.unparse(call)
                assert said in _CONSTANT


# Nothing of a folder is run

_RUNNING = {"pickle", "marshal", "shelve", "yaml", "runpy", "code", "codeop", "dill", "joblib", "importlib"}
_CALLS = {"eval", "exec", "compile", "__import__"}
_READING = ("analyse",)


def test_what_reads_a_folder_can_run_nothing_of_it() -> None:
    """None of it imports what can make code of data, evaluates a text, or lets numpy unpickle."""
    sources = [ROOT / f"experiments/{name}.py" for name in _READING]
    sources += [path for part in ("declare", "measure", "model", "present") for path in sorted((ROOT / "experiments" / part).glob("*.py"))]
    found = []
    for path in sources:
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Import(names):
                    imported = {alias.name.partition(".")[0] for alias in names}
                case ast.ImportFrom(module=str(module)):
                    imported = {module.partition(".")[0]}
                case ast.Call(func=ast.Name(name)) if name in _CALLS:
                    found.append(f"{path.name}: {name}")
                    continue
                case ast.Call(func=ast.Attribute(ast.Name("np"), name)) if name in ("load", "fromfile", "loadtxt", "genfromtxt"):
                    found.append(f"{path.name}: np.{name}")
                    continue
                case _:
                    continue
            found += [f"{path.name}: {name}" for name in imported & _RUNNING if (path.name, name) != ("results.py", "importlib")]
    assert found == []
