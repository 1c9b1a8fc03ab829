"""The command as a user types it: the files it leaves, analysing them again, and ending it in the middle."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.declare.scenario import FAILED
from tests.emulation.conftest import Emulation, declare, job, outcomes

DMMLAB = (sys.executable, "-m", "experiments.cli")


def dmmlab(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*DMMLAB, *arguments], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def results(emulation: Emulation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    done = dmmlab("run", "fig1", "--runs", "2", "--set", "access.delay=3ms", "--results", str(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_a_run_leaves_what_the_readme_says(results: Path) -> None:
    latest = results / "latest"
    assert latest.is_symlink()
    manifest = json.loads((latest / "manifest.json").read_text())
    assert [run["failure"] for run in manifest["runs"]] == [None, None]
    assert manifest["engine"] == "virtual"
    for number in ("1", "2"):
        run = latest / "s-pmip" / "notify" / number
        captures = {path.stem for path in run.glob("*.pcap")}
        assert captures == {"cn1", "lma", "mag1", "mag2", "mag3", "mn1"}
        assert all("time" in json.loads(line) for line in (run / "events.jsonl").read_text().splitlines())
    rows = list(csv.DictReader((latest / "metrics.csv").open()))
    first = {row["run"]: float(row["value"]) for row in rows if row["metric"] == "first_packet_delay_ms"}
    assert first == {"1": pytest.approx(66.0, abs=0.05), "2": pytest.approx(66.0, abs=0.05)}
    assert "<svg" in (latest / "index.html").read_text()
    assert list(latest.glob("*.png"))


def test_analysing_again_gives_the_same_numbers(results: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(results / "latest", copy)
    for name in ("metrics.csv", "summary.csv", "index.html"):
        (copy / name).unlink()
    done = dmmlab("analyse", str(copy))
    assert done.returncode == 0, done.stderr
    for name in ("metrics.csv", "summary.csv", "index.html"):
        assert (copy / name).read_bytes() == (results / "latest" / name).read_bytes(), name


def test_a_truncated_capture_is_read_to_where_it_breaks(results: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(results / "latest", copy)
    capture = copy / "s-pmip" / "notify" / "1" / "mn1.pcap"
    capture.write_bytes(capture.read_bytes()[:-1000])
    done = dmmlab("analyse", str(copy))
    assert done.returncode == 1
    assert "captures that are not whole: mn1.pcap" in done.stdout.splitlines()[-1]
    assert "mn1.pcap" in (copy / "index.html").read_text()
    rows = list(csv.DictReader((copy / "metrics.csv").open()))
    lost = {row["run"]: int(float(row["value"])) for row in rows if row["metric"] == "packets_lost"}
    assert 0 < lost["1"] < 20
    assert lost["2"] == 0


def test_a_flow_that_cannot_be_sent_fails_its_run(emulation: Emulation, tmp_path: Path) -> None:
    run = declare("fig1")
    (flow,) = run.scenario.flows
    too_large = replace(run, scenario=replace(run.scenario, flows=(replace(flow, size=70_000),)))
    (outcome,) = asyncio.run(outcomes([job(too_large, tmp_path)]))
    assert not outcome.ok
    assert f"{FAILED}flow 0: cn1 cannot send packet 0 of 70000 bytes: Message too long" in outcome.console
    assert (tmp_path / "mag1.pcap").stat().st_size > 0


def test_an_interrupted_command_can_be_analysed_compared_and_resumed(emulation: Emulation, tmp_path: Path) -> None:
    command = subprocess.Popen(
        [*DMMLAB, "run", "fig1", "fig2", "--jobs", "1", "--results", str(tmp_path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_heeds_interrupts,
    )
    assert command.stderr is not None
    first = command.stderr.readline()
    assert first.startswith("[1/3] ")
    command.send_signal(signal.SIGINT)
    _, errors = command.communicate(timeout=60)
    assert command.returncode == 130
    latest = tmp_path / "latest"
    assert f"1 of 3 runs are kept; `dmmlab run --resume {latest.resolve()}` does the rest" in errors
    compared = dmmlab("compare", str(latest))
    assert "fig1: numbers that differ: 0 of" in compared.stdout
    assert compared.stdout.splitlines()[-1] == "fig2: not comparable with the reference: no run of one case is complete in both"
    assert compared.returncode == 2
    analysed = dmmlab("analyse", str(latest))
    assert "has no run that has ended; `dmmlab run --resume" in analysed.stdout.splitlines()[-1]
    assert analysed.returncode == 1
    done = dmmlab("run", "--resume", str(latest))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 of 3 runs are left; 0 of them failed" in done.stderr
    assert [len(json.loads((folder / "manifest.json").read_text())["runs"]) for folder in sorted(tmp_path.glob("*-fig?"))] == [1, 2]
    assert dmmlab("analyse", str(latest)).returncode == 0
    assert (latest / "index.html").exists()


def _processes() -> Iterator[tuple[int, str, int, int]]:
    """Every process: its number, its program's name, its parent and its process group."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, parent, group = (process / "stat").read_text().rpartition(")")[2].split()[:3]
            if state != "Z":
                yield int(process.name), (process / "exe").readlink().name, int(parent), int(group)


def _heeds_interrupts() -> None:
    """A job in a shell's background ignores SIGINT, and so does what it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_ending_the_command_leaves_nothing_behind(emulation: Emulation, tmp_path: Path, end: signal.Signals) -> None:
    command = subprocess.Popen(
        [*DMMLAB, "run", "handover", "--results", str(tmp_path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_heeds_interrupts,
    )
    guests: set[int] = set()
    while not guests:
        assert command.poll() is None
        time.sleep(0.05)
        guests = {group for _, program, parent, group in _processes() if program == "linux" and parent == command.pid}
    command.send_signal(end)
    _, errors = command.communicate(timeout=60)
    for _ in range(100):
        left = [pid for pid, _, _, group in _processes() if group in guests]
        if not left:
            break
        time.sleep(0.05)
    assert left == []
    assert not (tmp_path / "latest").exists()
    if end != signal.SIGKILL:
        assert command.returncode == 130
        assert "nothing is left running" in errors
