"""The virtual machine: what is put into it, how its disk is laid out, how it is described and started."""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path
from xml.etree import ElementTree

import pytest

from engines.base import REPOSITORY, EngineError
from engines.kernel.build import Kernel
from vm import build, disk, ova, payload, qemu, recipe, trial

HASH = "sha256:" + "0" * 64


def _kernel(folder: Path) -> Kernel:
    home = folder / "kernel-6.12-0123-4567"
    home.mkdir()
    (home / "linux").write_bytes(b"a kernel")
    (home / "linux").chmod(0o755)
    (home / "release").write_text("6.12.1\n")
    return Kernel(home / "linux", "6.12.1", "4567", ())


def test_requirements_are_those_of_the_machines_python_not_of_this_one() -> None:
    text = (
        f"numpy==2.4.6 ; python_full_version < '3.12' \\\n    --hash={HASH}\n"
        f"numpy==2.5.5 ; python_full_version >= '3.12' \\\n    --hash={HASH} \\\n    --hash={HASH}\n"
        f"# a comment\ncolorama==0.4.6 ; sys_platform == 'win32' \\\n    --hash={HASH}\n"
    )
    assert payload.wheel_requirements(text, "3.11") == f"numpy==2.4.6 --hash={HASH}\n"
    assert payload.wheel_requirements(text, "3.13") == f"numpy==2.5.5 --hash={HASH} --hash={HASH}\n"


def test_what_is_put_in_has_the_same_bytes_each_time_and_the_owners_that_it_needs(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    (wheels / "a-1-py3-none-any.whl").write_bytes(b"wheel")
    kernel = _kernel(tmp_path)
    for name in ("one", "two"):
        payload.write(tmp_path / name, kernel, wheels, 1_700_000_000)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    with tarfile.open(tmp_path / "one") as tar:
        members = {member.name: member for member in tar}
    assert {member.mtime for member in members.values()} == {1_700_000_000}
    for name, member in members.items():
        assert member.uid == (recipe.USER if name.startswith(recipe.HOME) else 0), name
    linux = members[f"{recipe.CACHE}/{kernel.binary.parent.name}/linux"]
    assert (linux.mode, linux.size) == (0o755, 8)
    assert members["etc/motd"].size == len((REPOSITORY / "vm/root/etc/motd").read_bytes())
    assert not any(member.isdir() and not name.startswith(recipe.HOME) for name, member in members.items())


def test_the_greeting_has_five_lines() -> None:
    assert len((REPOSITORY / "vm/root/etc/motd").read_text().splitlines()) == 5


@pytest.mark.parametrize("script", ["vm/install", "vm/root/usr/local/lib/dmmlab/share", "vm/root/usr/local/lib/dmmlab/update-efi"])
def test_each_script_is_one_that_a_shell_can_read(script: str) -> None:
    subprocess.run(("sh", "-n", str(REPOSITORY / script)), check=True)


def test_the_partitions_lie_behind_each_other_and_end_within_the_disk() -> None:
    assert recipe.EFI_START % recipe.MIB == recipe.ROOT_START % recipe.MIB == 0
    assert recipe.EFI_START + recipe.EFI_SIZE <= recipe.ROOT_START
    assert recipe.ROOT_START + recipe.ROOT_SIZE + 33 * recipe.SECTOR <= recipe.DISK, "the second table has 33 sectors at the end"
    assert disk.partitions("key") == disk.partitions("key") != disk.partitions("another key")


def test_the_description_of_an_ova_names_its_disk_in_the_order_that_ovf_asks_for(tmp_path: Path) -> None:
    vmdk = tmp_path / "dmmlab.vmdk"
    vmdk.write_bytes(b"disk")
    text = ova.description("dmmlab", vmdk.name, 4, recipe.DISK, 2, 4096)
    envelope = ElementTree.fromstring(text)
    space = "{http://schemas.dmtf.org/ovf/envelope/1}"
    sections = [child.tag.removeprefix(space) for child in envelope]
    assert sections == ["References", "DiskSection", "NetworkSection", "VirtualSystem"]
    file = envelope.find(f".//{space}File")
    assert file is not None
    assert {key.removeprefix(space): value for key, value in file.items()} == {"id": "file1", "href": "dmmlab.vmdk", "size": "4"}
    ova.pack(tmp_path / "dmmlab.ova", text, "dmmlab", vmdk, tmp_path, 1_700_000_000)
    with tarfile.open(tmp_path / "dmmlab.ova") as tar:
        assert tar.getnames() == ["dmmlab.ovf", "dmmlab.mf", "dmmlab.vmdk"]
    checked = (tmp_path / "dmmlab.mf").read_text().replace("SHA1(", "SHA1 (").replace(")= ", ") = ")
    subprocess.run(("sha1sum", "--check", "--quiet"), input=checked, text=True, cwd=tmp_path, check=True)


def _machine(tmp_path: Path, name: str = "disk.qcow2") -> qemu.Machine:
    return qemu.Machine(tmp_path / name, tmp_path, 2222, "ssh-ed25519 AAAA dmmlab", False, None, False, 2, 4096)


def test_a_machine_is_opened_to_a_key_and_by_this_host_only(tmp_path: Path) -> None:
    command = " ".join(_machine(tmp_path).command())
    assert "hostfwd=tcp:127.0.0.1:2222-:22" in command
    assert "-accel tcg" in command


def test_a_path_that_qemu_would_misread_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="no comma"):
        _machine(tmp_path, "a,b.qcow2").command()


def test_without_a_device_for_kvm_nothing_is_booted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qemu, "_KVM", tmp_path / "kvm")
    assert qemu.kvm_problem(tmp_path / "vmlinuz").endswith("kvm is not there")


def test_an_image_is_built_again_only_when_what_it_is_made_of_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "FOLDER", tmp_path)
    image = build.Image(False, "a revision", 1_700_000_000, _kernel(tmp_path))
    assert not image.stands("qcow2")
    image.file("qcow2").write_bytes(b"an image")
    assert not image.stands("qcow2"), "nobody knows what it was made of"
    image.note("qcow2").write_text(f'{{"key": "{image.key}"}}')
    assert image.stands("qcow2")
    assert not build.Image(False, "another revision", 1_700_000_000, image.kernel).stands("qcow2")
    image.note("qcow2").write_text("[]")
    assert not image.stands("qcow2")


def test_without_room_or_tools_one_line_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "FOLDER", tmp_path)
    monkeypatch.setattr(build, "_PATH", str(tmp_path))
    with pytest.raises(EngineError, match=r"without mmdebstrap, .*`engines/setup-system vm` installs it"):
        build._check("qcow2")
    monkeypatch.setattr(build, "_TOOLS", ())
    monkeypatch.setattr(disk, "SYSLINUX_MBR", tmp_path)
    monkeypatch.setitem(build.SPACE, "qcow2", 1 << 60)
    with pytest.raises(EngineError, match="make room"):
        build._check("qcow2")


def test_errors_are_those_of_each_run_once(tmp_path: Path) -> None:
    run = tmp_path / "20261126T220402Z-fig1"
    run.mkdir()
    lines = ("mean,expected,unit", "15.5,14.0,ms", "97,97,packets", "3.0,,ms")
    (run / "summary.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "latest").symlink_to(run.name)
    assert list(trial._errors(tmp_path)) == [1.5]


def test_runs_that_failed_in_real_time_are_counted_once(tmp_path: Path) -> None:
    folder = tmp_path / "20260101T000000Z-fig1"
    folder.mkdir()
    (folder / "manifest.json").write_text('{"runs": [{"failure": null}, {"failure": "packets missed"}]}')
    (tmp_path / "latest").symlink_to(folder.name)
    assert trial._whole(tmp_path) == "1 of 2 runs are complete"
