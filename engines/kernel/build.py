"""Building User-Mode Linux, once, into the user's cache folder."""

from __future__ import annotations

import fcntl
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engines.base import EngineError
from engines.kernel import source as sources
from engines.kernel.source import BOOT_ARGUMENTS, CONFIGURATION, ENVIRONMENT, Source, Version, chosen
from engines.process import dies_with_parent
from engines.progress import Progress

MACHINE = "x86_64"
TOOLS = ("gcc", "make", "flex", "bison", "bc", "patch", "tar", "xz", "strip")
SPACE = 2_500_000_000
_LAST_LINES = 12
_NAME = re.compile(r"kernel-(?P<major>\d+)\.(?P<minor>\d+)-(?P<recipe>[0-9a-f]+)-(?P<key>[0-9a-f]+)")


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel that can be booted: its binary, its release as ``uname -r`` gives it, and the key that it was built for."""

    binary: Path
    release: str
    key: str
    boot_arguments: tuple[str, ...]


def cache() -> Path:
    """The user's cache folder of this project; EngineError for a user who has none."""
    if named := os.environ.get("XDG_CACHE_HOME"):
        return Path(named).absolute() / "dmmlab"
    home = os.path.expanduser("~")
    if home in ("", "~"):
        raise EngineError("this user has no home folder to keep a kernel in: let XDG_CACHE_HOME name a folder that can be written")
    return Path(home, ".cache", "dmmlab").absolute()


def folder(source: Source) -> Path:
    """Where the kernel of ``source`` is kept."""
    return cache() / f"kernel-{'.'.join(map(str, source.version))}-{source.recipe}-{source.key}"


def built(source: Source) -> Kernel | None:
    """The kernel of ``source``, if it has been built."""
    return _kept(folder(source), source.version, source.key)


def _kept(home: Path, version: Version, key: str) -> Kernel | None:
    try:
        release = (home / "release").read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return Kernel(home / "linux", release, key, chosen(BOOT_ARGUMENTS, version))


def standing() -> Kernel | None:
    """The kernel that runs need no build for: that of this machine's source, or, on a machine without a source, the oldest fit one.

    A kernel is fit where all that the project does to its source is still the same. Raises EngineError where a source was named that
    cannot be used, or the user has no cache folder.
    """
    try:
        return built(sources.find())
    except sources.NoSource:
        kept = []
        for home in cache().glob("kernel-*"):
            if (name := _NAME.fullmatch(home.name)) and name["recipe"] == sources.recipe(
                version := (int(name["major"]), int(name["minor"]))
            ):
                kept.append((version, home, name["key"]))
        return next((kernel for version, home, key in sorted(kept) if (kernel := _kept(home, version, key))), None)


def missing_tools() -> tuple[str, ...]:
    """What a build needs and this system lacks."""
    tools = tuple(tool for tool in TOOLS if not shutil.which(tool))
    if "gcc" in tools:
        return tools
    headers = subprocess.run(("gcc", "-E", "-x", "c", "-"), input=b"#include <stdio.h>\n", capture_output=True)
    return tools if headers.returncode == 0 else (*tools, "the C library's headers (libc6-dev)")


def ensure() -> Kernel:
    """The kernel of this machine's source, built first where it is not yet there; progress goes to stderr.

    Raises EngineError, whose one line says what is missing and what to do.
    """
    if platform.machine() != MACHINE:
        raise EngineError(f"User-Mode Linux runs on {MACHINE} only and this is {platform.machine()}: use the engine native")
    return standing() or _build(sources.find())


def _build(source: Source) -> Kernel:
    home = folder(source)
    progress = Progress(sys.stderr, f"kernel {home.name.removeprefix('kernel-')}")
    with _alone(home, progress):
        if kernel := built(source):
            return kernel
        _check(source)
        log = home.with_name(home.name + ".log")
        with _scratch(home.with_name(home.name + ".part")) as work, log.open("wb") as output:
            _Workshop(source, work, log, output.fileno(), progress).make()
            (work / "done").rename(home)
        log.unlink()
    progress.end(f"built, in {home}")
    kernel = built(source)
    assert kernel
    return kernel


@contextmanager
def _alone(home: Path, progress: Progress) -> Iterator[None]:
    """Holds the lock of ``home``, which ends with the process, so that two builds at once do it once."""
    if set(str(home)) & set(" :"):
        raise EngineError(f"{home.parent}: a kernel builds in no path with spaces or colons; let XDG_CACHE_HOME name another folder")
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        lock = home.with_name(home.name + ".lock").open("wb")
    except OSError as error:
        raise EngineError(f"cannot write {home.parent}: {error.strerror}; let XDG_CACHE_HOME name a folder that can be written") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.show("wait for another build of it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _scratch(work: Path) -> Iterator[Path]:
    """An empty folder that goes away again; one that a killed build left goes first."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _check(source: Source) -> None:
    if tools := missing_tools():
        raise EngineError(f"cannot build {source.tarball.name} without {', '.join(tools)}: `make setup-system` installs what is missing")
    free = shutil.disk_usage(cache()).free
    if free < SPACE:
        raise EngineError(
            f"building a kernel takes {SPACE / 1e9:.1f} GB and {cache()} has {free / 1e9:.1f} GB free: "
            "make room, or let XDG_CACHE_HOME name a folder with more"
        )


@dataclass(frozen=True, slots=True)
class _Workshop:
    """One build: ``work`` is its scratch folder, what its commands say goes to ``log``, open as ``output``."""

    source: Source
    work: Path
    log: Path
    output: int
    progress: Progress

    def make(self) -> None:
        """Leaves the kernel, its configuration and its release in ``work``/done."""
        tree, done = self.work / "tree", self.work / "done"
        for path in (tree, done):
            path.mkdir()
        self._run("unpack", ("tar", "-xf", str(self.source.tarball), "-C", str(tree), "--strip-components=1"), self.work)
        for patch in self.source.patches:
            self._run("patch", ("patch", "-p1", "--batch", "-i", str(patch)), tree)
        um = ("make", "ARCH=um")
        self._run("configure", (*um, "tinyconfig"), tree)
        self._run("configure", ("scripts/kconfig/merge_config.sh", "-m", ".config", str(CONFIGURATION)), tree)
        self._run("configure", (*um, "olddefconfig"), tree)
        self._run("compile", (*um, f"-j{len(os.sched_getaffinity(0))}", "linux"), tree)
        self._run("strip", ("strip", "-o", str(done / "linux"), "linux"), tree)
        shutil.copyfile(tree / ".config", done / "config")
        shutil.copyfile(tree / "include/config/kernel.release", done / "release")

    def _run(self, step: str, command: Sequence[str], cwd: Path) -> None:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.work), **ENVIRONMENT},
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=subprocess.STDOUT,
            preexec_fn=dies_with_parent(signal.SIGTERM),
        )
        count = _compiled(self.log) if step == "compile" else lambda: ""
        try:
            while True:
                self.progress.show(step, count())
                try:
                    status = process.wait(0.5)
                    break
                except subprocess.TimeoutExpired:
                    continue
        finally:
            if process.returncode is None:
                process.terminate()
                process.wait()
        if status:
            last = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LAST_LINES:]
            self.progress.end(f"{step} failed\n" + "\n".join(f"  {line}" for line in last))
            raise EngineError(f"building {self.source.tarball.name} failed at `{' '.join(command[:4])}`: the whole log is {self.log}")


def _compiled(log: Path) -> Callable[[], str]:
    """A function that says how many files make's log has compiled so far."""
    return lambda: f"{log.read_bytes().count(b'  CC ')} files"
