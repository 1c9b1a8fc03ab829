from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path

import msgspec
import pytest

from agents.config import AgentConfig, Settings
from agents.descriptions import describe
from agents.linux.daemon import Clock, load, main
from agents.linux.restarts import next_restart
from agents.messages import BindingError, ProxyBindingUpdate
from agents.profiles import Profile, ProfileStore
from agents.schemes import SCHEMES

MAG = IPv6Address("2001:db8:0:1::1")
CONFIG = AgentConfig(
    name="mag1",
    address=MAG,
    core="mag1-eth0",
    scheme=SCHEMES["s-pmip"],
    policy="notify",
    lma=IPv6Address("2001:db8:0:1::100"),
    mags=frozenset({MAG, IPv6Address("2001:db8:0:1::2")}),
    profiles=ProfileStore([Profile("mn1@dmm.example", (IPv6Network("2001:db8:100:1::/64"),), {"mag1": IPv6Network("2001:db8:1:1::/64")})]),
    settings=replace(Settings(), query_lifetime=4.0),
)


def _plain(value: object) -> object:
    """What JSON has no form for, as a configuration file has it."""
    return list(value) if isinstance(value, ProfileStore) else str(value)


def test_a_configuration_survives_its_file(tmp_path: Path) -> None:
    path = tmp_path / "mag1.json"
    path.write_bytes(msgspec.json.encode(CONFIG, enc_hook=_plain))
    assert load(path) == CONFIG


@pytest.mark.parametrize("text", ["", "{}", '{"name": 1}', "[]"])
def test_a_bad_configuration_is_one_line_and_status_2(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mag1.json"
    path.write_text(text)
    assert main(["--config", str(path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_an_address_that_is_none_is_a_bad_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mag1.json"
    path.write_bytes(msgspec.json.encode(CONFIG, enc_hook=_plain).replace(b"2001:db8:0:1::100", b"2001:db8::zz"))
    assert main(["--config", str(path)]) == 2
    assert "2001:db8::zz" in capsys.readouterr().err


def test_a_key_that_is_none_is_a_bad_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mag1.json"
    path.write_bytes(msgspec.json.encode(replace(CONFIG, settings=Settings(authentication_key="secret")), enc_hook=_plain))
    assert main(["--config", str(path)]) == 2
    assert "32 hexadecimal digits" in capsys.readouterr().err


def test_an_agent_counts_how_often_it_has_started(tmp_path: Path) -> None:
    path = tmp_path / "mag1.restarts"
    assert [next_restart(path) for _ in range(3)] == [0, 1, 2]
    assert [entry.name for entry in tmp_path.iterdir()] == ["mag1.restarts"]
    path.write_text(str((1 << 32) - 1))
    assert next_restart(path) == 0


@pytest.mark.parametrize("text", ["", "twice"])
def test_a_counter_that_is_none_is_an_error_and_stays(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mag1.restarts"
    path.write_text(text)
    with pytest.raises(ValueError, match="holds no restart counter"):
        next_restart(path)
    assert path.read_text() == text


def test_an_agent_does_not_start_without_its_counter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mag1.json"
    path.write_bytes(msgspec.json.encode(replace(CONFIG, settings=Settings(heartbeat_interval=60.0)), enc_hook=_plain))
    (tmp_path / "mag1.restarts").write_text("twice")
    assert main(["--config", str(path), "--journal", str(tmp_path / "events.jsonl")]) == 1
    assert "holds no restart counter" in capsys.readouterr().err


def test_help_explains_the_arguments() -> None:
    result = subprocess.run([sys.executable, "-m", "agents.linux.daemon", "--help"], capture_output=True, text=True, check=True)
    assert "--config" in result.stdout
    assert "--journal" in result.stdout


def test_the_journal_sees_what_a_message_says_zeros_included() -> None:
    query = ProxyBindingUpdate(sequence=0, lifetime=2, query=True, link_layer_identifier=b"\2\0")
    assert describe(query) == {"message": "PBQ", "sequence": 0, "lifetime": 2, "link_layer_identifier": "02:00"}
    error = BindingError(status=1, home_address=MAG)
    assert describe(error) == {"message": "BE", "status": 1, "home_address": MAG}


def test_the_clock_starts_at_the_wall_clock_and_ignores_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    assert abs(clock.now() - time.time_ns()) < 1_000_000_000
    monkeypatch.setattr("time.time_ns", lambda: 0)
    before, after = clock.now(), clock.now()
    assert 0 <= after - before < 1_000_000_000
    assert clock.monotonic(after * 1e-9) == pytest.approx(time.monotonic(), abs=1)


def test_a_clock_may_be_wrong_and_still_tells_its_timers_the_right_moment() -> None:
    wrong = Clock(3600.0)
    assert wrong.now() - Clock().now() == pytest.approx(3600 * 1_000_000_000, abs=1_000_000_000)
    assert wrong.monotonic(wrong.now() * 1e-9) == pytest.approx(time.monotonic(), abs=1)
