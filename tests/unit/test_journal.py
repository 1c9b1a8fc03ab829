from __future__ import annotations

import json
import os
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.linux import journal as journal_module
from agents.linux.journal import Journal


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_has_time_node_event_and_details(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "events.jsonl", "mag1")
    journal.record(1704067200000000256, "attached", link="mn1-air", home=IPv6Address("2001:db8:100:1::1"))
    journal.close()
    assert lines(tmp_path / "events.jsonl") == [
        {"time": 1704067200000000256, "node": "mag1", "event": "attached", "link": "mn1-air", "home": "2001:db8:100:1::1"}
    ]


@given(st.integers(0, (1 << 128) - 1), st.integers(0, 128))
def test_addresses_and_prefixes_are_theirs_whatever_their_text(number: int, length: int) -> None:
    network = IPv6Network((number, length), strict=False)
    address, text = msgspec.json.decode(journal_module._encode([IPv6Address(number), network]))
    assert (IPv6Address(address), IPv6Network(text)) == (IPv6Address(number), network)


def test_lines_of_one_flush_are_one_write_behind_what_others_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "events.jsonl"
    first, second = Journal(path, "mag1"), Journal(path, "mag2")
    writes: list[bytes] = []
    write = os.write

    def noted(descriptor: int, data: bytes) -> int:
        writes.append(data)
        return write(descriptor, data)

    monkeypatch.setattr("os.write", noted)
    first.record(1, "a")
    first.record(2, "b")
    second.record(3, "c")
    second.flush()
    first.flush()
    first.flush()
    assert [data.count(b"\n") for data in writes] == [1, 2]
    assert [line["event"] for line in lines(path)] == ["c", "a", "b"]


def test_an_existing_file_is_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"event":"earlier"}\n')
    journal = Journal(path, "mag1")
    journal.record(1, "later")
    journal.close()
    assert [line["event"] for line in lines(path)] == ["earlier", "later"]


def test_a_full_disk_is_survived_and_the_loss_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "events.jsonl"
    journal = Journal(path, "mag1")
    with monkeypatch.context() as patch:
        patch.setattr("os.write", lambda descriptor, data: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        journal.record(1, "lost")
        journal.record(2, "lost")
        journal.flush()
    assert journal.lost == 2
    journal.record(3, "written")
    journal.flush()
    journal.record(4, "next")
    journal.close()
    assert lines(path) == [
        {"time": 3, "node": "mag1", "event": "written", "lines_lost_before": 2},
        {"time": 4, "node": "mag1", "event": "next"},
    ]


def test_a_line_cut_short_spoils_only_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "events.jsonl"
    journal = Journal(path, "mag1")
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr("os.write", lambda descriptor, data: write(descriptor, data[: len(data) - 5] if len(data) > 1 else data))
        journal.record(1, "whole")
        journal.record(2, "cut")
        journal.flush()
    journal.record(3, "after")
    journal.close()
    whole, _, after = path.read_text().splitlines()
    assert json.loads(whole)["event"] == "whole"
    assert json.loads(after) == {"time": 3, "node": "mag1", "event": "after", "lines_lost_before": 1}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_dev_full_does_not_kill() -> None:
    journal = Journal(Path("/dev/full"), "mag1")
    journal.record(1, "lost")
    journal.close()
    assert journal.lost == 1
