"""A machine that runs: started for somebody at its console, or driven over SSH."""

from __future__ import annotations

import contextlib
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engines.base import REPOSITORY, EngineError
from engines.process import dies_with_parent
from engines.progress import Progress
from vm import qemu
from vm.build import FOLDER, Image
from vm.qemu import Machine

RESULTS = REPOSITORY / "results"
PORT = 2222
_BOOT = 1800.0
"""s of wall time that a machine may take until it lets one in."""


def overlay(base: Path, name: str, keep: bool) -> Path:
    """A disk that holds what a machine changes of the image ``base``, which stays as it is; with ``keep``, last time's is used again.

    It goes with the image: one that belongs to an older image is made anew.
    """
    disk = FOLDER / f"{name}.qcow2"
    if keep and disk.exists() and disk.stat().st_mtime > base.stat().st_ctime:
        return disk
    disk.unlink(missing_ok=True)
    made = subprocess.run(
        ("qemu-img", "create", "-q", "-f", "qcow2", "-b", str(base), "-F", "qcow2", str(disk)), capture_output=True, text=True
    )
    if made.returncode:
        raise EngineError(f"no disk could be made of {base}: {made.stderr.strip()}")
    return disk


def check_image(image: Image) -> None:
    """EngineError where the machine has no image; where it has one of other inputs, say so: it is good to run."""
    if not image.file("qcow2").exists():
        raise EngineError(f"there is no {image.file('qcow2')}: `make vm` builds it")
    if not image.stands("qcow2"):
        print(f"vm: {image.file('qcow2')} is not of the last commit; `make vm` builds it anew", file=sys.stderr)


def at_console(image: Image, window: bool, processors: int, memory: int) -> int:
    """Start the machine with its console on this terminal, until it is switched off; QEMU's exit status."""
    check_image(image)
    RESULTS.mkdir(exist_ok=True)
    problem = qemu.kvm_problem(FOLDER / "vmlinuz")
    private = qemu.key(FOLDER)
    port = qemu.free_port(PORT)
    print(
        f"vm: without KVM ({problem}), everything takes ten times as long or more"
        if problem
        else "vm: with KVM, at this processor's own speed"
    )
    print(f"vm: its results/ are {RESULTS}; open results/latest/index.html here")
    print(f"vm: another shell: {shlex.join(qemu.ssh(private, port))}")
    print("vm: `sudo poweroff` ends it; Ctrl-a x kills it; Ctrl-a h helps", flush=True)
    machine = Machine(
        disk=overlay(image.file("qcow2"), f"{image.name}-run", keep=True),
        share=RESULTS,
        port=port,
        public_key=private.with_suffix(".pub").read_text(encoding="ascii").strip(),
        kvm=not problem,
        uefi=None,
        window=window,
        processors=processors,
        memory=memory,
    )
    return subprocess.run(machine.command()).returncode


@dataclass(frozen=True, slots=True)
class Running:
    """A machine that lets one in by SSH."""

    private: Path
    port: int

    def ask(self, command: str) -> str:
        """What a shell command in the project's folder says; EngineError where it fails."""
        done = subprocess.run(self._ssh(command), stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines()
            raise EngineError(f"in the machine, `{command}` failed (status {done.returncode}): {said[-1] if said else ''}")
        return done.stdout

    def show(self, command: str) -> int:
        """Run a shell command in the project's folder, its output here; its exit status."""
        return subprocess.run(self._ssh(command), stdin=subprocess.DEVNULL).returncode

    def _ssh(self, command: str) -> tuple[str, ...]:
        return qemu.ssh(self.private, self.port, f"bash -lc {shlex.quote(command)}")


@contextlib.contextmanager
def started(machine: Machine, private: Path, console: Path) -> Iterator[Running]:
    """``machine``, once it lets one in; what its console says goes to ``console``. It is switched off at the end.

    Raises EngineError where it does not come up.
    """
    progress = Progress(sys.stderr, f"vm: {'KVM' if machine.kvm else 'TCG'}, {'UEFI' if machine.uefi else 'BIOS'}")
    with console.open("wb") as output:
        process = subprocess.Popen(
            machine.command(),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=dies_with_parent(signal.SIGKILL),
        )
    try:
        deadline = time.monotonic() + _BOOT
        while True:
            progress.show("boot")
            if process.poll() is not None or time.monotonic() > deadline:
                raise EngineError(f"the machine did not come up; its console is {console}")
            tried = subprocess.run(qemu.ssh(private, machine.port, "true"), stdin=subprocess.DEVNULL, capture_output=True)
            if tried.returncode == 0:
                break
            time.sleep(1)
        progress.end("it has booted")
        running = Running(private, machine.port)
        yield running
        subprocess.run(qemu.ssh(private, machine.port, "sudo poweroff"), stdin=subprocess.DEVNULL, capture_output=True)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(120)
    finally:
        process.kill()
        process.wait()
