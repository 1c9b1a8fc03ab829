"""Building the machine: Debian's packages and the project become one archive, the archive a disk, the disk an image of a format."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engines.base import REPOSITORY, EngineError
from engines.kernel.build import MACHINE, Kernel, ensure
from engines.process import dies_with_parent
from engines.progress import Progress
from vm import disk, ova, payload, recipe

FOLDER = REPOSITORY / "build" / "vm"
FORMATS = ("qcow2", "raw", "ova")
SPACE = {"qcow2": 6_000_000_000, "raw": 3_000_000_000, "ova": 2_500_000_000}
"""Octets of disk space that making an image of each format takes; ``raw`` and ``ova`` are made of the qcow2 image."""
PROCESSORS, MEMORY = 2, 4096
"""What the machine is given where nobody says otherwise; the memory in MB."""
_TOOLS = ("mmdebstrap", "qemu-img", "mcopy", "mformat", "sfdisk", "syslinux")
_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
_LAST_LINES = 8


@dataclass(frozen=True, slots=True)
class Image:
    """A machine that can be built: with or without a desktop. Its ``key`` tells it from the machine of any other inputs."""

    desktop: bool
    revision: str
    epoch: int
    kernel: Kernel

    @property
    def name(self) -> str:
        return "dmmlab-desktop" if self.desktop else "dmmlab"

    @property
    def key(self) -> str:
        """A hash of the commit, the kernel, the packages' names and the time that all files bear.

        Which versions of the packages Debian has at the moment is no part of it: remove the image to have it built anew.
        """
        return hashlib.sha256(f"{self.revision} {self.kernel.key} {self.packages} {self.epoch}".encode()).hexdigest()[:16]

    @property
    def packages(self) -> tuple[str, ...]:
        """Debian's packages that the machine is made of, besides what those depend on."""
        command = (str(REPOSITORY / "engines" / "setup-system"), "--packages")
        runs = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        return tuple(sorted({*runs, *recipe.PACKAGES, *(recipe.DESKTOP if self.desktop else ())}))

    def file(self, kind: str) -> Path:
        """Where its image of a format lies."""
        return FOLDER / f"{self.name}.{kind}"

    def stands(self, kind: str) -> bool:
        """Whether its image of a format has been built, of these inputs."""
        try:
            return self.file(kind).exists() and json.loads(self.note(kind).read_text(encoding="utf-8"))["key"] == self.key
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def note(self, kind: str) -> Path:
        """Where it is written down what an image was built of."""
        return self.file(f"{kind}.json")


def image(desktop: bool) -> Image:
    """The machine of the last commit; builds the kernel where it is not built yet.

    Raises EngineError outside of a git checkout and on a machine of another architecture.
    """
    if platform.machine() != MACHINE:
        raise EngineError(f"the machine runs on {MACHINE} and is built on one, and this is {platform.machine()}")
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    if epoch and not epoch.isdecimal():
        raise EngineError(f"SOURCE_DATE_EPOCH={epoch}: expected a time in s since 1970, such as {payload.commit_time()}")
    return Image(desktop, payload.revision(), int(epoch) if epoch else payload.commit_time(), ensure())


def build(wanted: Image, kind: str) -> Path:
    """The machine's image of the format ``kind``; what is there already is not built again.

    Raises EngineError, whose one line names the remedy; nothing half-made is left.
    """
    if wanted.stands(kind):
        print(f"vm: {wanted.file(kind)} is there, and nothing has changed since it was built", file=sys.stderr)
        return wanted.file(kind)
    if payload.changed():
        print("vm: what is not committed is not in the image", file=sys.stderr)
    with _alone():
        _make(wanted, "qcow2")
        if kind != "qcow2":
            _make(wanted, kind)
    return wanted.file(kind)


def _make(wanted: Image, kind: str) -> None:
    if wanted.stands(kind):
        return
    _check(kind)
    progress = Progress(sys.stderr, f"vm: {wanted.file(kind).name}")
    with _scratch(FOLDER / "part") as work:
        workshop = _Workshop(wanted, work, progress)
        made = getattr(workshop, kind)()
        note = work / "note"
        note.write_text(
            json.dumps({"key": wanted.key, "revision": wanted.revision, "epoch": wanted.epoch, **workshop.contents()}), encoding="utf-8"
        )
        wanted.note(kind).unlink(missing_ok=True)
        made.rename(wanted.file(kind))
        note.rename(wanted.note(kind))
    progress.end(f"built, {wanted.file(kind).stat().st_blocks * 512 / 1e6:,.0f} MB in {wanted.file(kind)}")


def _check(kind: str) -> None:
    missing = [tool for tool in _TOOLS if not shutil.which(tool, path=_PATH)]
    if missing or not disk.SYSLINUX_MBR.exists():
        raise EngineError(
            f"cannot build the machine without {', '.join(missing) or 'syslinux-common'}: `engines/setup-system vm` installs it"
        )
    free = shutil.disk_usage(FOLDER).free
    if free < SPACE[kind]:
        raise EngineError(f"building takes {SPACE[kind] / 1e9:.1f} GB and {FOLDER} has {free / 1e9:.1f} GB free: make room")


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Holds a lock that ends with the process; a build that runs already is waited for."""
    try:
        FOLDER.mkdir(parents=True, exist_ok=True)
        lock = (FOLDER / "lock").open("wb")
    except OSError as error:
        raise EngineError(f"cannot write {FOLDER}: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("vm: another build runs; waiting for it", file=sys.stderr)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _scratch(work: Path) -> Iterator[Path]:
    """An empty folder that goes away again; one that a killed build left goes first."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


@dataclass(slots=True)
class _Workshop:
    """One build; ``work`` is its scratch folder."""

    image: Image
    work: Path
    progress: Progress

    def qcow2(self) -> Path:
        """Everything anew: packages, project, disk, and the disk compressed."""
        archive, raw, made = (self.work / name for name in ("root.tar", "disk.raw", "disk.qcow2"))
        self._debian(archive)
        self.progress.show("make the disk")
        disk.make(
            archive, self.work, raw, self.image.key, self.image.epoch, lambda command, added: self._run("make the disk", command, added)
        )
        self._keep_kernel()
        self._run(
            "compress", ("qemu-img", "convert", "-c", "-W", "-m", "4", "-O", "qcow2", "-o", "compression_type=zstd", str(raw), str(made))
        )
        return made

    def raw(self) -> Path:
        """The disk as it is written to a USB stick."""
        made = self.work / "disk.raw"
        self._run("unpack", ("qemu-img", "convert", "-O", "raw", str(self.image.file("qcow2")), str(made)))
        return made

    def ova(self) -> Path:
        """The disk for VMware and VirtualBox, with the description that they import."""
        name = self.image.name
        vmdk, made = self.work / f"{name}.vmdk", self.work / f"{name}.ova"
        options = ("-O", "vmdk", "-o", "subformat=streamOptimized,adapter_type=lsilogic")
        self._run("convert", ("qemu-img", "convert", *options, str(self.image.file("qcow2")), str(vmdk)))
        self.progress.show("pack")
        descriptor = ova.description(name, vmdk.name, vmdk.stat().st_size, recipe.DISK, PROCESSORS, MEMORY)
        ova.pack(made, descriptor, name, vmdk, self.work, self.image.epoch)
        return made

    def contents(self) -> dict[str, Any]:
        """What is in the machine: ``files``, a hash of all its files, and ``packages``, Debian's with their versions.

        Of an image that is made of another, that one's.
        """
        archive = self.work / "root.tar"
        if not archive.exists():
            other = json.loads(self.image.note("qcow2").read_text(encoding="utf-8"))
            return {name: other[name] for name in ("files", "packages")}
        with archive.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"files": f"sha256:{digest}", "packages": _packages((self.work / "status").read_text(encoding="utf-8"))}

    def _debian(self, archive: Path) -> None:
        """All files of the machine, with their owners, in one archive."""
        wheels, requirements, put_in = (self.work / name for name in ("wheels", "requirements.txt", "payload.tar"))
        requirements.write_text(payload.wheel_requirements((REPOSITORY / "requirements.txt").read_text(encoding="utf-8")), encoding="utf-8")
        wheels.mkdir()
        self._run("download wheels", payload.download_command(requirements, wheels))
        payload.write(put_in, self.image.kernel, wheels, self.image.epoch)
        command = (
            "mmdebstrap",
            f"--mode={'root' if os.geteuid() == 0 else 'unshare'}",
            "--variant=minbase",
            "--format=tar",
            f"--include={','.join(self.image.packages)}",
            *(f"--dpkgopt=path-exclude={path}" for path in recipe.LEFT_OUT),
            f"--customize-hook=tar-in {put_in} /",
            f'--customize-hook=chroot "$1" /{recipe.SCRATCH}/install',
            f"--customize-hook=download /var/lib/dpkg/status {self.work / 'status'}",
            recipe.SUITE,
            str(archive),
        )
        self._run("install Debian and the project", command, {"SOURCE_DATE_EPOCH": str(self.image.epoch), "TMPDIR": "/var/tmp"})

    def _keep_kernel(self) -> None:
        """The machine's own kernel, beside its image: what is booted to see whether KVM works."""
        (self.work / "efi" / "vmlinuz").rename(FOLDER / "vmlinuz")

    def _run(self, step: str, command: Sequence[str], added: dict[str, str] | None = None) -> None:
        log = self.work / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                env={**_environment(), **(added or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=dies_with_parent(signal.SIGTERM),
            )
            try:
                while process.poll() is None:
                    self.progress.show(step, _doing(log))
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(0.5)
            finally:
                if process.returncode is None:
                    process.terminate()
                    process.wait()
        if process.returncode:
            last = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LAST_LINES:]
            self.progress.end(f"{step}: {command[0]} failed\n" + "\n".join(f"  {line}" for line in last))
            kept = log.replace(FOLDER / "log")
            raise EngineError(f"vm: {Path(command[0]).name} failed (status {process.returncode}); what it said is in {kept}")


def _environment() -> dict[str, str]:
    """This process's environment without what would change what Python programs write, such as PYTHONDONTWRITEBYTECODE."""
    return {**{name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}, "PATH": _PATH, "LC_ALL": "C.UTF-8"}


def _doing(log: Path) -> str:
    """What a command said last that it does, of the lines that mmdebstrap begins with "I: "."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4096))
        lines = [line[3:] for line in file.read().decode(errors="replace").splitlines() if line.startswith("I: ")]
    said = lines[-1].partition(": ")[0].rstrip(".") if lines else ""
    return "set the project up" if "customize-hook" in said else said


def _packages(status: str) -> list[str]:
    """``name version`` of each package of dpkg's list of what is installed."""
    found = []
    for paragraph in status.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in paragraph.splitlines() if ": " in line and not line.startswith(" "))
        if "Package" in fields:
            found.append(f"{fields['Package']} {fields['Version']}")
    return sorted(found)
