"""The command line where its standard streams are not what one expects, and for users without a home."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engines import doctor
from engines.base import EngineError
from engines.kernel import build

TEXT = "14 ± 2 ≠ 15 → ✓ µ \udc80"
PRINTING = f"from experiments.present import streams; streams.prepare(); print({TEXT!a})"
COMMAND = (sys.executable, "-m", "experiments.cli")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"PYTHONIOENCODING": "ascii"}, "14 +/- 2 != 15 -> v u ?"),
        ({"PYTHONIOENCODING": "latin-1"}, "14 ± 2 != 15 -> v µ ?"),
        ({"PYTHONIOENCODING": "utf-8"}, "14 ± 2 ≠ 15 → ✓ µ ?"),
        ({"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, "14 +/- 2 != 15 -> v u ?"),
    ],
    ids=["ascii", "latin-1", "utf-8", "POSIX"],
)
def test_what_an_encoding_lacks_is_written_in_ascii(environment: dict[str, str], expected: str) -> None:
    said = subprocess.run((sys.executable, "-c", PRINTING), env={**os.environ, **environment}, capture_output=True, check=True)
    assert said.stdout.decode(environment.get("PYTHONIOENCODING", "ascii")) == f"{expected}\n"
    assert said.stderr == b""


@pytest.fixture
def gone() -> Iterator[int]:
    """The end of a pipe from which nobody reads any more."""
    read, write = os.pipe()
    os.close(read)
    yield write
    os.close(write)


def test_a_reader_that_has_gone_changes_nothing(gone: int) -> None:
    said = subprocess.run((*COMMAND, "list", "settings"), stdout=gone, stderr=subprocess.PIPE, check=False)
    assert (said.returncode, said.stderr) == (0, b"")
    said = subprocess.run((*COMMAND, "analyse", "nowhere"), stdout=subprocess.PIPE, stderr=gone, check=False)
    assert (said.returncode, said.stdout) == (2, b"")


@pytest.mark.parametrize("closed", ["0<&-", ">&-", "2>&-", "0<&- >&- 2>&-"])
def test_closed_streams_change_nothing(closed: str, tmp_path: Path) -> None:
    """Files that are opened later do not take their places either: what is said of the second command is not in the file."""
    program = (
        "import os, sys; from experiments.present import streams; streams.prepare(); file = open(sys.argv[1], 'w'); print('said'); "
        "print('said', file=sys.stderr, flush=True); file.write('written'); sys.exit(file.fileno() <= 2)"
    )
    path = tmp_path / "file"
    done = subprocess.run(("sh", "-c", f'"$@" {closed}', "sh", sys.executable, "-c", program, str(path)), capture_output=True, check=False)
    assert done.returncode == 0
    assert path.read_text() == "written"
    assert {done.stdout, done.stderr} <= {b"said\n", b""}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full is needed")
def test_a_full_device_is_said_in_one_line() -> None:
    with Path("/dev/full").open("wb") as full:
        said = subprocess.run((*COMMAND, "list", "settings"), stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert said.returncode == 1
    assert said.stderr == "dmmlab: writing: No space left on device; what was complete is kept\n"


@pytest.mark.parametrize("home", ["~", ""])
def test_a_user_without_a_home_is_told_what_to_do(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: home)  # as for a user id without a name, and for HOME=
    with pytest.raises(EngineError, match="let XDG_CACHE_HOME name a folder"):
        build.cache()
    monkeypatch.setattr("platform.machine", lambda: build.MACHINE)
    (row,) = doctor._guests()
    assert (row.thing, row.state, row.remedy) == ("cache folder", doctor.State.MISSING, "export XDG_CACHE_HOME=/a/folder/with/room")
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert build.cache() == Path("/elsewhere/dmmlab")
