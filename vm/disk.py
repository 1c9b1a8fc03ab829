"""From an archive of the machine's files to its disk: partitions, boot loaders and file system, without privileges or loop devices."""

from __future__ import annotations

import re
import shutil
import tarfile
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from engines.base import EngineError
from vm import recipe

SYSLINUX_MBR = Path("/usr/lib/syslinux/mbr/gptmbr.bin")
_BOOT_CODE = 440
_LIBRARIES = "usr/lib/x86_64-linux-gnu/"
_LINKER = f"{_LIBRARIES}ld-linux-x86-64.so.2"
_MKE2FS = "usr/sbin/mke2fs"
_UEFI = "usr/lib/systemd/boot/efi/systemd-bootx64.efi"
_NAMES = uuid.UUID("8b0d8a5c-6f0e-5213-8000-6a696b696d30")

Run = Callable[[Sequence[str], dict[str, str]], None]
"""Runs a command with additions to its environment; raises EngineError where it fails."""


def identifier(key: str, what: str) -> str:
    """The UUID of one part of the disk of the machine built for ``key``: the same for the same inputs."""
    return str(uuid.uuid5(_NAMES, f"{key} {what}"))


def partitions(key: str) -> str:
    """What sfdisk(8) is told: a GPT with an EFI partition, which BIOS boots from too, and the root."""
    start, size = recipe.EFI_START // recipe.SECTOR, recipe.EFI_SIZE // recipe.SECTOR
    root, rest = recipe.ROOT_START // recipe.SECTOR, recipe.ROOT_SIZE // recipe.SECTOR
    return (
        f"label: gpt\nlabel-id: {identifier(key, 'disk')}\nfirst-lba: 34\n"
        f'start={start}, size={size}, type=uefi, uuid={identifier(key, "efi")}, attrs="LegacyBIOSBootable"\n'
        f"start={root}, size={rest}, type=linux, uuid={identifier(key, 'root')}\n"
    )


def boot_files(archive: Path, folder: Path) -> Path:
    """Take what boots the machine out of ``archive`` into a new ``folder``, laid out as in the EFI partition; the kernel and its files."""
    wanted = re.compile(r"(?:\./)?(?:boot/(?P<boot>vmlinuz|initrd\.img)-.*|" + re.escape(_UEFI) + ")")
    with tarfile.open(archive) as tar:
        for member in tar:
            found = wanted.fullmatch(member.name)
            if found and (file := tar.extractfile(member)):
                target = folder / (found["boot"] or "EFI/BOOT/BOOTX64.EFI")
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("wb") as output:
                    shutil.copyfileobj(file, output)
    for name, text in recipe.LOADER.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="ascii")
    return folder


def make(archive: Path, work: Path, disk: Path, key: str, epoch: int, run: Run) -> None:
    """Make ``disk``, a raw image, of ``archive``; ``work`` is an empty folder for what is needed on the way."""
    dates = {"SOURCE_DATE_EPOCH": str(epoch), "MTOOLS_SKIP_CHECK": "1"}
    with disk.open("wb") as file:
        file.truncate(recipe.DISK)
    table = work / "partitions"
    table.write_text(partitions(key), encoding="ascii")
    run(("sh", "-c", 'sfdisk --quiet "$1" <"$2"', "sh", str(disk), str(table)), {})
    _make_efi(boot_files(archive, work / "efi"), disk, key, dates, run)
    _make_root(archive, work, disk, key, dates, run)
    code = SYSLINUX_MBR.read_bytes()
    if len(code) > _BOOT_CODE:
        raise EngineError(f"{SYSLINUX_MBR} has more than the {_BOOT_CODE} octets that a disk has room for")
    with disk.open("r+b") as file:
        file.write(code)


def _make_efi(files: Path, disk: Path, key: str, dates: dict[str, str], run: Run) -> None:
    place = f"{disk}@@{recipe.EFI_START}"
    serial = identifier(key, "efi")[:8]
    run(
        (
            "mformat",
            "-i",
            place,
            "-F",
            "-v",
            "DMMLAB-EFI",
            "-N",
            serial,
            "-T",
            str(recipe.EFI_SIZE // recipe.SECTOR),
            "-h",
            "64",
            "-s",
            "32",
            "::",
        ),
        dates,
    )
    run(("mcopy", "-i", place, "-s", "-Q", *(str(path) for path in sorted(files.iterdir())), "::"), dates)
    run(("syslinux", "--install", "--offset", str(recipe.EFI_START), str(disk)), dates)


def _make_root(archive: Path, work: Path, disk: Path, key: str, dates: dict[str, str], run: Run) -> None:
    """The root file system, by the machine's own mke2fs: it reads archives and makes the same file system on any host."""
    tools = work / "tools"
    with tarfile.open(archive) as tar:
        needed = (
            member
            for member in tar
            if (name := member.name.removeprefix("./")) == _MKE2FS
            or (name.startswith(_LIBRARIES) and "/" not in name.removeprefix(_LIBRARIES))
        )
        tar.extractall(tools, (member for member in needed if member.isreg() or member.issym()))
    libraries = tools / _LIBRARIES
    command = (str(tools / _LINKER), "--library-path", str(libraries), str(tools / _MKE2FS))
    where = f"offset={recipe.ROOT_START},hash_seed={identifier(key, 'hash')}"
    options = ("-q", "-F", "-t", "ext4", "-L", "dmmlab", "-m", "1", "-U", identifier(key, "root file system"), "-E", where)
    run((*command, *options, "-d", str(archive), str(disk), f"{recipe.ROOT_SIZE >> 10}k"), dates)
