"""What is put into the machine besides Debian's packages, as one archive whose bytes follow from its contents."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from packaging.markers import default_environment
from packaging.requirements import Requirement

from engines.base import REPOSITORY, EngineError
from engines.kernel.build import Kernel
from vm import recipe

_PLATFORMS = ("any", "manylinux2014_x86_64", *(f"manylinux_2_{minor}_x86_64" for minor in range(17, 42)))


def revision() -> str:
    """The commit that goes into the machine: the last one. EngineError outside of a git checkout."""
    return _git("rev-parse", "HEAD").decode().strip()


def commit_time() -> int:
    """When the last commit was made, s since 1970."""
    return int(_git("show", "--no-patch", "--format=%ct", "HEAD"))


def changed() -> bool:
    """Whether files differ from the last commit, and so from what goes into the machine."""
    return bool(_git("status", "--porcelain", "--untracked-files=no").strip())


def _git(*arguments: str) -> bytes:
    command = ("git", "-c", f"safe.directory={REPOSITORY}", "-C", str(REPOSITORY), *arguments)
    try:
        return subprocess.run(command, check=True, capture_output=True).stdout
    except OSError as error:
        raise EngineError("cannot build the machine without git: `engines/setup-system vm` installs it") from error
    except subprocess.CalledProcessError as error:
        raise EngineError(
            f"{REPOSITORY} is not a git checkout, and the machine is built from the last commit: clone the project"
        ) from error


def wheel_requirements(text: str, python: str = recipe.PYTHON) -> str:
    """The lines of a requirements file, with hashes, that a machine with this ``python`` (major.minor) installs, without markers.

    pip asks the markers of its own Python, not of the one that it downloads for.
    """
    environment = {**cast(dict[str, str], default_environment()), "python_version": python, "python_full_version": f"{python}.0"}
    chosen = []
    for entry in text.replace("\\\n", " ").splitlines():
        requirement, *hashes = entry.partition("#")[0].split(" --hash=")
        if not requirement.strip():
            continue
        wanted = Requirement(requirement.strip())
        if wanted.marker is None or wanted.marker.evaluate(environment):
            wanted.marker = None
            chosen.append(" ".join((str(wanted), *(f"--hash={value.strip()}" for value in hashes))))
    return "\n".join(chosen) + "\n"


def download_command(requirements: Path, wheels: Path) -> tuple[str, ...]:
    """The command that downloads the machine's wheels into the folder ``wheels``."""
    platforms = (f"--platform={name}" for name in _PLATFORMS)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps", "--only-binary=:all:")
    return (*pip, *platforms, f"--python-version={recipe.PYTHON}", "--require-hashes", "-r", str(requirements), "-d", str(wheels))


def write(archive: Path, kernel: Kernel, wheels: Path, epoch: int) -> None:
    """Write the archive: the project, its kernel, the files of vm/root, the wheels and what installs them; all times are ``epoch``."""
    project = _project()
    members = {
        **{f"{recipe.PROJECT}/{name}": _owned(member, recipe.USER) for name, member in project.items()},
        **{name.removeprefix(recipe.ROOT): _owned(member, 0) for name, member in project.items() if name.startswith(recipe.ROOT)},
        f"{recipe.SCRATCH}/install": _owned(project[recipe.INSTALL], 0),
        **dict(_folder(kernel.binary.parent, f"{recipe.CACHE}/{kernel.binary.parent.name}", recipe.USER)),
        **dict(_folder(wheels, f"{recipe.SCRATCH}/wheels", 0)),
    }
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, (member, data) in sorted(_with_folders(members).items()):
            member.name, member.mtime = name, epoch
            tar.addfile(member, io.BytesIO(data))


_Member = tuple[tarfile.TarInfo, bytes]


def _project() -> dict[str, _Member]:
    """The last commit's files. `git archive` also writes the commit's name into the file that asks for it."""
    members = {}
    with tarfile.open(fileobj=io.BytesIO(_git("archive", "--format=tar", "HEAD"))) as tar:
        for member in tar:
            if member.isreg() or member.issym():
                file = tar.extractfile(member) if member.isreg() else None
                members[member.name] = (member, file.read() if file else b"")
    return members


def _owned(original: _Member, owner: int) -> _Member:
    """A copy of ``original`` that belongs to ``owner``, with nothing of what git or the umask said of it but whether it is executable."""
    old, data = original
    member = tarfile.TarInfo()
    member.type, member.linkname, member.size = old.type, old.linkname, old.size
    member.mode = 0o755 if old.mode & 0o100 else 0o644
    member.uid = member.gid = owner
    return member, data


def _folder(folder: Path, place: str, owner: int) -> Iterator[tuple[str, _Member]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            member = tarfile.TarInfo()
            member.size, member.mode = path.stat().st_size, path.stat().st_mode
            yield f"{place}/{path.relative_to(folder).as_posix()}", _owned((member, path.read_bytes()), owner)


def _with_folders(members: dict[str, _Member]) -> dict[str, _Member]:
    """``members`` and the folders of the student's that they lie in; all other folders are Debian's, or as tar makes them."""
    complete = dict(members)
    for name in members:
        for parent in Path(name).parents:
            if parent.is_relative_to(recipe.HOME) and str(parent) not in complete:
                member = tarfile.TarInfo()
                member.type, member.mode = tarfile.DIRTYPE, 0o755
                member.uid = member.gid = recipe.USER
                complete[str(parent)] = (member, b"")
    return complete
