"""Captures on a real kernel: nothing that was seen is missing, and what is missing is said. One guest runs ``probe``."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from experiments.declare import jobs
from experiments.play.capture import CaptureError, Captures
from topologies import presets
from topologies.linux.build import Testbed, build

PORT = 5999


def probe(folder: Path) -> None:
    """In the guest: capture at the nodes of a small network, well and in three ways badly, and leave what was said in said.json."""
    jobs.buffer_size = lambda captures: 1 << 20
    with build(presets.star()) as net:
        time.sleep(3)
        net.warm()
        time.sleep(3)
        said = {name: _captured(net, folder / name, how) for name, how in _WAYS.items()}
    (folder / "said.json").write_text(json.dumps(said))


def _captured(net: Testbed, folder: Path, how: Callable[[Testbed, Path, Captures], None]) -> str:
    folder.mkdir()
    if how is _to_a_full_disk:
        (folder / "mag2.pcap").symlink_to("/dev/full")
    captures = Captures(folder)
    captures.start((name, net.get(name).within) for name in ("mag1", "mag2"))
    how(net, folder, captures)
    try:
        captures.stop()
    except CaptureError as error:
        return str(error)
    return ""


def _send(net: Testbed, packets: int, size: int = 100) -> None:
    with net.get("mag1").within(), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
        for number in range(packets):
            sender.sendto(number.to_bytes(4, "big").ljust(size, b"\0"), ("2001:db8::1:2", PORT))


def _until_the_last_moment(net: Testbed, _: Path, __: Captures) -> None:
    _send(net, 500)


def _to_a_full_disk(net: Testbed, _: Path, __: Captures) -> None:
    _send(net, 500)
    time.sleep(0.1)


def _more_than_fits(net: Testbed, _: Path, captures: Captures) -> None:
    assert captures._process is not None
    os.kill(captures._process, signal.SIGSTOP)
    _send(net, 2000, 1400)
    os.kill(captures._process, signal.SIGCONT)


def _killed(_: Testbed, __: Path, captures: Captures) -> None:
    assert captures._process is not None
    os.kill(captures._process, signal.SIGKILL)


_WAYS = {"whole": _until_the_last_moment, "full": _to_a_full_disk, "missed": _more_than_fits, "killed": _killed}


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of what ``probe`` left in a guest."""
    from engines import Job, choose
    from engines.base import REPOSITORY
    from engines.kernel.build import MACHINE

    if platform.machine() != MACHINE:
        pytest.skip(f"User-Mode Linux runs on {MACHINE} only")
    folder = tmp_path_factory.mktemp("captures")
    program = f"import sys; sys.path[:0] = [{str(REPOSITORY)!r}, {str(Path(__file__).parent)!r}]; "
    program += f"import pathlib, test_captures; test_captures.probe(pathlib.Path({str(folder)!r}))"
    outcome = asyncio.run(choose("virtual").run(Job((sys.executable, "-B", "-c", program), folder, 7, 120.0, folder / "console.log")))
    assert outcome.ok, "\n".join((outcome.reason, *outcome.console))
    return folder


@pytest.fixture(scope="module")
def said(probed: Path) -> dict[str, str]:
    """What the end of each capture said."""
    found: dict[str, str] = json.loads((probed / "said.json").read_text())
    return found


def test_what_was_seen_in_the_last_moment_is_in_the_files_and_nothing_later(probed: Path, said: dict[str, str]) -> None:
    """The kernel hands packets over once a second: those of the last instant, which the far end has not even received, are no exception."""
    assert said["whole"] == ""
    sent, received = ((probed / "whole" / f"{name}.pcap").read_bytes() for name in ("mag1", "mag2"))
    for number in range(500):
        assert number.to_bytes(4, "big").ljust(100, b"\0") in sent
    assert len(received) == 24
    assert sent[:4] == received[:4] == bytes.fromhex("4d3cb2a1")


def test_a_disk_that_is_full_is_said(said: dict[str, str]) -> None:
    assert said["full"] == "captures are not complete: mag2.pcap could not be written whole: make room where the results go"


def test_packets_that_were_missed_are_counted(said: dict[str, str]) -> None:
    start, _, end = said["missed"].partition(" missed ")
    assert start == "captures are not complete: mag1"
    assert 1000 < int(end.split()[0]) < 2000


def test_a_process_that_was_killed_is_no_silent_end(said: dict[str, str]) -> None:
    assert said["killed"] == "captures are not complete: their process ended"
