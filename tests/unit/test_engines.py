"""What engines decide before any kernel is booted."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from engines import EngineError, Job, Outcome, choose, doctor, native, process
from engines import uml as uml_engine
from engines.base import MEMORY, REPOSITORY, Limited, Problem
from engines.choose import automatic
from engines.folders import temporary
from engines.kernel import build, source
from engines.kernel.build import Kernel
from engines.process import Ended, console, supervise, why
from engines.uml import UserModeLinux


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in place of /usr/src, and a machine that fits."""
    monkeypatch.setattr(source, "PACKAGES", tmp_path)
    monkeypatch.delenv(source.VARIABLE, raising=False)
    monkeypatch.setattr(platform, "machine", lambda: build.MACHINE)
    return tmp_path


def tarball(folder: Path, name: str, content: bytes = b"source") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def test_the_oldest_fit_package_is_taken(packages: Path) -> None:
    for version in ("6.1", "6.18", "6.12"):
        tarball(packages, f"linux-source-{version}.tar.xz")
    assert source.find().tarball.name == "linux-source-6.12.tar.xz"


@pytest.mark.parametrize(
    ("present", "said"), [((), "make setup-system"), (("linux-source-6.1.tar.xz",), "linux-source-6.1.tar.xz is too old")]
)
def test_without_a_fit_package_the_error_names_the_remedy(packages: Path, present: tuple[str, ...], said: str) -> None:
    for name in present:
        tarball(packages, name)
    with pytest.raises(EngineError, match=said):
        source.find()


def test_a_named_source_goes_before_the_packages(packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tarball(packages, "linux-source-6.12.tar.xz")
    monkeypatch.setenv(source.VARIABLE, str(tarball(packages, "linux-6.18.3.tar.gz")))
    assert source.find().version == (6, 18)


@pytest.mark.parametrize(
    ("name", "said"), [("linux-6.11.tar.xz", "too old"), ("kernel.tar.xz", "tells no version"), ("absent", "cannot be read")]
)
def test_a_named_source_that_does_not_do(packages: Path, monkeypatch: pytest.MonkeyPatch, name: str, said: str) -> None:
    if name != "absent":
        tarball(packages, name)
    monkeypatch.setenv(source.VARIABLE, str(packages / name))
    with pytest.raises(EngineError, match=said):
        source.find()


@pytest.mark.parametrize(
    ("version", "patches", "arguments"),
    [
        ((6, 12), ("seeded-random.patch", "free-clock.patch", "amx-fp-state.patch"), ()),
        ((6, 13), ("seeded-random.patch", "free-clock.patch"), ()),
        ((6, 16), ("seeded-random.patch", "free-clock.patch"), ("seccomp=on",)),
        ((7, 3), ("seeded-random.patch", "free-clock.patch"), ("seccomp=on",)),
    ],
)
def test_patches_and_boot_arguments_follow_the_version(
    version: source.Version, patches: tuple[str, ...], arguments: tuple[str, ...]
) -> None:
    assert source.chosen(source.PATCHES, version) == patches
    assert source.chosen(source.BOOT_ARGUMENTS, version) == arguments


def test_the_key_follows_source_patches_and_configuration(packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = source.Source(tarball(packages, "linux-6.12.tar", b"one"), (6, 12))
    keys = {first.key, source.Source(tarball(packages, "copy.tar", b"one"), (6, 12)).key}
    assert len(keys) == 1
    keys.add(source.Source(tarball(packages, "other.tar", b"two"), (6, 12)).key)
    keys.add(source.Source(first.tarball, (6, 13)).key)
    monkeypatch.setattr(source, "CONFIGURATION", tarball(packages, "uml.config", b"CONFIG_X=y"))
    keys.add(first.key)
    assert len(keys) == 4


@pytest.fixture
def unbuilt(packages: Path, monkeypatch: pytest.MonkeyPatch) -> source.Source:
    """A source that no kernel has been built from, in a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(packages / "cache"))
    tarball(packages, "linux-source-6.12.tar.xz", b"no archive at all")
    return source.find()


def test_a_failed_build_says_where_and_leaves_only_its_log(unbuilt: source.Source, capfd: pytest.CaptureFixture[str]) -> None:
    if build.missing_tools():
        pytest.skip(f"a build does not get that far without {build.missing_tools()}")
    with pytest.raises(EngineError, match=r"failed at `tar .* whole log is (\S+)") as raised:
        build.ensure()
    log = Path(str(raised.value).rpartition(" ")[2])
    assert "tar" in log.read_text()
    assert "unpack failed" in capfd.readouterr().err
    assert {path.name for path in build.cache().iterdir()} == {log.name, log.with_suffix(".lock").name}


def test_no_compiler_is_said_before_anything_is_unpacked(unbuilt: source.Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(EngineError, match=r"without gcc, .*flex.*make setup-system"):
        build.ensure()


def test_no_space_is_said_before_anything_is_unpacked(unbuilt: source.Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "missing_tools", lambda: ())
    monkeypatch.setattr(build, "SPACE", 10**18)
    with pytest.raises(EngineError, match="XDG_CACHE_HOME"):
        build.ensure()


@pytest.mark.parametrize("name", ["with space", "with:colon"])
def test_a_cache_whose_path_make_cannot_take(unbuilt: source.Source, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))
    with pytest.raises(EngineError, match="XDG_CACHE_HOME"):
        build.ensure()


def test_a_cache_that_cannot_be_written(unbuilt: source.Source, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tarball(tmp_path, "file")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(EngineError, match="cannot write"):
        build.ensure()


def test_where_no_source_is_a_kernel_that_stands_is_taken_if_the_project_still_makes_it_so(
    packages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    other, fit = (tmp_path / "cache/dmmlab" / f"kernel-6.12-{recipe}-4567" for recipe in ("00000000", source.recipe((6, 12))))
    for home in (other, fit):
        assert build.standing() is None
        home.mkdir(parents=True)
        (home / "release").write_text("6.12.1\n")
    kernel = build.standing()
    assert kernel == build.ensure() == Kernel(fit / "linux", "6.12.1", "4567", ())
    tarball(packages, "linux-source-6.12.tar.xz")
    assert build.standing() is None, "the kernel of this source is another"
    (packages / "linux-source-6.12.tar.xz").unlink()
    monkeypatch.setenv(source.VARIABLE, str(tmp_path / "linux-6.12.tar"))
    with pytest.raises(EngineError, match="cannot be read"):
        build.ensure()


def test_two_builds_at_once_are_one(unbuilt: source.Source, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second waits for the lock and finds what the first has built."""
    home = build.folder(unbuilt)
    home.parent.mkdir(parents=True)
    lock = os.open(home.with_name(home.name + ".lock"), os.O_CREAT | os.O_WRONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    waiting = subprocess.Popen(
        [sys.executable, "-c", _WAIT],
        cwd=REPOSITORY,
        env={**os.environ, source.VARIABLE: str(unbuilt.tarball)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert waiting.stderr
    assert "wait for another build" in waiting.stderr.readline()
    home.mkdir()
    (home / "release").write_text("6.12.1\n")
    (home / "linux").touch()
    os.close(lock)
    assert waiting.wait(10) == 0


_WAIT = """
import platform
import signal
platform.machine = lambda: "x86_64"
from engines.kernel.build import ensure
assert ensure().release == "6.12.1"
"""


def test_other_processors_fall_to_native_and_are_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    monkeypatch.setattr(native.Native, "probed", classmethod(lambda cls: cls("6.1")))
    assert automatic().name == "native"
    assert choose("auto").name == "native"
    assert "aarch64" in capsys.readouterr().err
    for name in ("virtual", "uml"):
        with pytest.raises(EngineError, match="--engine native"):
            choose(name)


def test_an_unknown_engine_is_told_the_known_ones() -> None:
    with pytest.raises(EngineError, match=r"'qemu'.*auto, virtual, uml, native, sim"):
        choose("qemu")


def test_native_names_what_the_kernel_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    netem = next(feature for feature in native.FEATURES if feature.name == "netem")
    monkeypatch.setattr(native, "namespace_problem", lambda: None)
    monkeypatch.setattr(native, "probe", lambda: (native.Probe(netem, "Error: unknown"),))
    with pytest.raises(EngineError, match=r"netem \(modprobe sch_netem\)"):
        native.Native.probed()


def job(folder: Path, *command: str, wall_limit: float = 10.0) -> Job:
    return Job(command=command, results=folder, seed=1, wall_limit=wall_limit, log=folder / "console.log")


GUEST = UserModeLinux("virtual", virtual=True, built=Kernel(Path("/nowhere/linux"), "6.16.1", "key", ("seccomp=on",)))


@pytest.mark.parametrize("name", ["a,b", 'a"b', "a" * 255 + "/" + "/".join(["b" * 255] * 15)])
def test_a_results_path_that_a_guest_cannot_take(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uml_engine, "memory_problem", lambda needed: None)
    with pytest.raises(EngineError, match="name a"):
        asyncio.run(GUEST.run(job(tmp_path / name, "true")))


def test_a_results_folder_that_a_guest_covers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uml_engine, "memory_problem", lambda needed: None)
    with pytest.raises(EngineError, match="/dev of its own"):
        asyncio.run(GUEST.run(job(Path("/dev/shm/results"), "true")))


def test_a_jobs_temporary_folder_hides_nothing_that_it_needs(tmp_path: Path) -> None:
    needed = [tmp_path, REPOSITORY, Path(sys.prefix), Path(sys.base_prefix)]
    assert not any(path.resolve().is_relative_to(temporary(tmp_path)) for path in needed)
    assert temporary(Path("/tmp/run")) != Path("/tmp")


def test_a_results_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uml_engine, "memory_problem", lambda needed: None)
    tarball(tmp_path, "file")
    with pytest.raises(EngineError, match="cannot write"):
        asyncio.run(GUEST.run(job(tmp_path / "file" / "run", "true")))


def test_a_guest_that_cannot_start_leaves_nothing_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uml_engine, "memory_problem", lambda needed: None)
    with pytest.raises(EngineError, match="cannot start"):
        asyncio.run(GUEST.run(job(tmp_path, "true")))
    assert [path.name for path in tmp_path.iterdir()] == ["console.log"]


def test_no_room_for_a_guests_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(uml_engine, "SHARED_MEMORY", tmp_path / "absent")
    assert "mount -t tmpfs" in str(uml_engine.memory_problem())
    monkeypatch.setattr(uml_engine, "SHARED_MEMORY", tmp_path)
    monkeypatch.setattr(uml_engine, "_available_memory", lambda: 1 << 61)
    assert f"remount,exec,size={1 << 31}G" in str(uml_engine.memory_problem(1 << 60))


def test_no_memory_for_a_guest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uml_engine, "_available_memory", lambda: 99 << 20)
    assert str(uml_engine.memory_problem(100 << 20)) == (
        "this machine has 99 MB of memory free and a guest needs 100 MB: end other programs, add swap space or take a smaller domain"
    )


def test_what_does_not_fit_is_refused_before_it_starts(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"memory free and a guest needs 1099511627776 MB: \w+"):
        asyncio.run(GUEST.run(replace(job(tmp_path / "run", "true"), memory=1 << 60)))
    assert not (tmp_path / "run").exists()


def test_guests_that_do_not_fit_together_run_one_after_the_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """There is memory for one of them: the second begins when the first has ended, and whoever waits is not refused."""
    monkeypatch.setattr(uml_engine, "memory_problem", lambda needed: Problem("room for one", "wait") if needed > MEMORY else None)
    running, most = 0, 0

    async def supervised(command: Sequence[str], job: Job, *_: object, **__: object) -> Ended:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        job.log.write_text("mem" if f"mem={MEMORY >> 20}M" in command else "")
        return Ended(0, 0.01)

    async def both() -> list[Outcome]:
        return await asyncio.gather(*(GUEST.run(job(tmp_path / name, "true")) for name in "ab"))

    monkeypatch.setattr(uml_engine, "supervise", supervised)
    assert [(outcome.ok, outcome.console) for outcome in asyncio.run(both())] == [(True, ("mem",))] * 2
    assert most == 1


def test_a_users_wall_limit_goes_before_a_jobs(tmp_path: Path) -> None:
    class Told:
        name, kernel, virtual = "told", "1.0", True

        async def run(self, job: Job) -> Outcome:
            return Outcome(True, f"{job.wall_limit:g}", (), 0.0)

    engine = Limited(Told(), 7.0)
    assert asyncio.run(engine.run(job(tmp_path, "true"))).reason == "7"
    assert (engine.name, engine.kernel, engine.virtual) == ("told", "1.0", True)


@pytest.mark.parametrize(
    ("command", "said"),
    [("exit 0", ""), ("exit 3", "exit status 3"), ("kill -SEGV $$", "killed by SIGSEGV"), ("sleep 60", "it hung: no end within 2 s")],
)
def test_how_a_process_ended(tmp_path: Path, command: str, said: str) -> None:
    running = job(tmp_path, "unused", wall_limit=2.0 if "sleep" in command else 10.0)
    ended = asyncio.run(supervise(("sh", "-c", f"echo here; {command}"), running, {"PATH": os.environ["PATH"]}, tmp_path))
    assert why(ended, running.wall_limit, "it") == said
    assert console(running.log) == ("here",)


def test_cancelling_kills_the_whole_session(tmp_path: Path) -> None:
    async def cancelled() -> None:
        running = supervise(("sh", "-c", "sleep 60 & echo $! $$; wait"), job(tmp_path, "unused"), {"PATH": os.environ["PATH"]}, tmp_path)
        task = asyncio.create_task(running)
        while not (tmp_path / "console.log").exists() or not console(tmp_path / "console.log"):
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert all(ended(int(pid)) for pid in console(tmp_path / "console.log")[0].split())


def ended(pid: int) -> bool:
    """Whether a process is gone, or a zombie, within two seconds."""
    limit = time.monotonic() + 2
    while time.monotonic() < limit:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.01)
    return False


def test_the_doctor_says_which_engine_auto_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_PROBES", (doctor._engines, doctor._programs))
    rows = doctor.rows()
    assert automatic().name in rows[0].detail
    assert doctor.table(rows).row_count == len(rows)


def test_the_doctor_names_what_installs_a_missing_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PROGRAMS", (doctor.Program("no-such-program", "nothing"),))
    (row,) = doctor._programs()
    assert (row.state, row.remedy) == (doctor.State.MISSING, "make setup-system")


@pytest.mark.parametrize("cancelled", [True, False])
def test_who_is_left_by_an_exception_goes_with_all_its_group(cancelled: bool) -> None:
    """A guest's helper that stays behind when its start is cancelled would stay for ever."""
    with contextlib.suppress(KeyboardInterrupt), process._guard() as guarded:
        group = subprocess.Popen(("sh", "-c", "sleep 60 & echo; wait"), stdout=subprocess.PIPE, start_new_session=True, preexec_fn=guarded)
        assert group.stdout is not None
        out = group.stdout
        out.readline()
        if cancelled:
            raise KeyboardInterrupt
    if not cancelled:
        assert group.poll() is None
        os.killpg(group.pid, signal.SIGKILL)
    assert group.wait() == -signal.SIGKILL
    assert out.read() == b"", "the pipe has no writer left"
