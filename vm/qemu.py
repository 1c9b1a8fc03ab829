"""Starting the machine in QEMU: its command line, whether KVM works here, and the key that opens it."""

from __future__ import annotations

import base64
import os
import platform
import shutil
import socket
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from engines.base import EngineError
from engines.kernel.build import MACHINE

PROGRAM = "qemu-system-x86_64"
_KVM = Path("/dev/kvm")
_TRANSLATED = "max,-avx,-avx2"
"""The processor that TCG plays: QEMU 7.2 translates some of AVX so that numpy ends by a general protection fault now and then."""
_PROBE = 20.0
"""s of wall time that a kernel may take from its start to its end, where KVM works."""
_FIRMWARE = (
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
)


def kvm_problem(kernel: Path) -> str:
    """Why KVM is of no use here, or "" where ``kernel``, booted without a disk, comes to its end with it.

    /dev/kvm may open, and even make a machine, whose guest then never gets anywhere; so only a guest that boots counts.
    """
    if platform.machine() != MACHINE:
        return f"this is {platform.machine()}, and the machine runs on {MACHINE}"
    if not os.access(_KVM, os.R_OK | os.W_OK):
        return f"{_KVM} is not there" if not _KVM.exists() else f"this user may not open {_KVM} (group kvm)"
    with tempfile.NamedTemporaryFile(prefix="dmmlab-kvm-") as console:
        command = (
            PROGRAM,
            "-accel",
            "kvm",
            "-m",
            "256",
            "-nodefaults",
            "-display",
            "none",
            "-serial",
            f"file:{console.name}",
            "-no-reboot",
        )
        try:
            subprocess.run(
                (*command, "-kernel", str(kernel), "-append", "console=ttyS0 panic=-1"),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_PROBE,
            )
        except subprocess.TimeoutExpired:
            return f"{_KVM} opens, and a guest does not boot within {_PROBE:.0f} s"
        said = Path(console.name).read_text(encoding="utf-8", errors="replace")
    return "" if "Kernel panic" in said else f"{_KVM} opens, and a guest ends before its kernel has booted"


@dataclass(frozen=True, slots=True)
class Machine:
    """How the machine is started.

    Attributes:
        disk: a qcow2 image that it may write to.
        share: a folder of this host that it sees as the project's results.
        port: the TCP port of 127.0.0.1 that leads to its SSH server.
        public_key: a line of authorized_keys that opens it to that key's owner.
        kvm: whether this host's processor runs it, rather than QEMU's translator (TCG).
        uefi: a folder for the settings of its UEFI firmware, or None to boot by BIOS.
        window: whether it has a screen.
        processors, memory: what it is given, the memory in MB.
    """

    disk: Path
    share: Path
    port: int
    public_key: str
    kvm: bool
    uefi: Path | None
    window: bool
    processors: int
    memory: int

    def command(self) -> tuple[str, ...]:
        """QEMU's command line, with the machine's console on standard input and output."""
        for path in (self.disk, self.share):
            if "," in str(path):
                raise EngineError(f"{path}: QEMU takes no comma in a path; move the project")
        return (
            PROGRAM,
            *("-name", "dmmlab", "-machine", "q35"),
            *(("-accel", "kvm", "-cpu", "host") if self.kvm else ("-accel", "tcg,thread=multi", "-cpu", _TRANSLATED)),
            *("-smp", str(self.processors), "-m", str(self.memory)),
            *(_firmware(self.uefi) if self.uefi else ()),
            *("-drive", f"file={self.disk},format=qcow2,if=virtio,discard=unmap"),
            *("-netdev", f"user,id=net,hostfwd=tcp:127.0.0.1:{self.port}-:22", "-device", "virtio-net-pci,netdev=net"),
            *("-virtfs", f"local,path={self.share},mount_tag=results,security_model=none,multidevs=remap"),
            *("-smbios", f"type=11,value=io.systemd.credential.binary:tmpfiles.extra={_authorize(self.public_key)}"),
            *("-device", "virtio-rng-pci"),
            *(("-vga", "virtio", "-device", "qemu-xhci", "-device", "usb-tablet") if self.window else ("-display", "none")),
            *("-serial", "mon:stdio"),
        )


def _firmware(settings: Path) -> tuple[str, ...]:
    for code, empty in _FIRMWARE:
        if Path(code).exists() and Path(empty).exists():
            variables = settings / "uefi-settings.fd"
            if not variables.exists():
                shutil.copyfile(empty, variables)
            return (
                *("-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={code}"),
                *("-drive", f"if=pflash,format=raw,unit=1,file={variables}"),
            )
    raise EngineError("there is no UEFI firmware for QEMU: `engines/setup-system vm-run` installs the package ovmf")


def _authorize(public_key: str) -> str:
    """A credential by which systemd-tmpfiles lets the owner of a key in (systemd.system-credentials(7), ``tmpfiles.extra``)."""
    line = base64.b64encode(f"{public_key}\n".encode()).decode()
    lines = (
        "d /home/student/.ssh 0700 student student -",
        f"f~ /home/student/.ssh/authorized_keys 0600 student student - {line}",
    )
    return base64.b64encode("".join(f"{text}\n" for text in lines).encode()).decode()


def key(folder: Path) -> Path:
    """The private key that opens machines started here; made when it is first asked for. The image itself holds none."""
    private = folder / "key"
    if not private.exists():
        made = subprocess.run(
            ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "dmmlab", "-f", str(private)), capture_output=True, text=True
        )
        if made.returncode:
            raise EngineError(f"ssh-keygen made no key in {folder}: {made.stderr.strip()}")
    return private


def free_port(first: int) -> int:
    """``first``, or the next TCP port of 127.0.0.1 that nobody has."""
    for port in range(first, first + 100):
        with socket.socket() as tried:
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise EngineError(f"none of the ports {first} to {first + 99} is free")


def ssh(private: Path, port: int, *command: str) -> tuple[str, ...]:
    """The command that runs ``command`` in the machine, or a shell."""
    unknown = ("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=10")
    return ("ssh", "-i", str(private), "-p", str(port), *unknown, "student@127.0.0.1", *command)
