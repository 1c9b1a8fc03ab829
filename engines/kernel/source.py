"""Which kernel source is built, and what its version asks for; everything that decides a kernel's bytes is data here."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from engines.base import EngineError

Version = tuple[int, int]

OLDEST: Version = (6, 12)
PACKAGE = "linux-source-6.12"
VARIABLE = "DMMLAB_KERNEL_SOURCE"
PACKAGES = Path("/usr/src")
HERE = Path(__file__).resolve().parent
CONFIGURATION = HERE / "uml.config"
_TAIL = 64 * 1024

ENVIRONMENT = {
    "KBUILD_BUILD_TIMESTAMP": "Mon Jan  1 00:00:00 UTC 2024",
    "KBUILD_BUILD_USER": "dmmlab",
    "KBUILD_BUILD_HOST": "dmmlab",
    "KBUILD_BUILD_VERSION": "1",
    "LOCALVERSION": "",
    "LC_ALL": "C",
}
"""What a kernel would otherwise remember of the place and time of its build."""


@dataclass(frozen=True, slots=True)
class Since:
    """Something that kernels need from version ``first`` on, and before ``end`` where one is given."""

    what: str
    first: Version
    end: Version | None = None

    def covers(self, version: Version) -> bool:
        """Whether ``version`` needs it."""
        return self.first <= version and (self.end is None or version < self.end)


PATCHES = (
    Since("seeded-random.patch", OLDEST),
    Since("free-clock.patch", OLDEST),
    Since("amx-fp-state.patch", OLDEST, (6, 13)),
)
BOOT_ARGUMENTS = (Since("seccomp=on", (6, 16)),)


def chosen(choices: Iterable[Since], version: Version) -> tuple[str, ...]:
    """What ``version`` needs of ``choices``."""
    return tuple(choice.what for choice in choices if choice.covers(version))


@dataclass(frozen=True, slots=True)
class Source:
    """A tarball of a kernel's source, and its version as its name gives it."""

    tarball: Path
    version: Version

    @property
    def patches(self) -> tuple[Path, ...]:
        """The patches that it needs."""
        return tuple(HERE / name for name in chosen(PATCHES, self.version))

    @property
    def recipe(self) -> str:
        """What tells apart what is done to a source of its version: a hash of the patches, the configuration and the environment."""
        return recipe(self.version)

    @property
    def key(self) -> str:
        """What tells the kernel built from it from all others: a hash of the source, the patches and the configuration.

        The source counts by its version, its size and its last bytes, which hold the checksums of a compressed tarball.
        """
        digest = hashlib.sha256(repr((self.version, sorted(ENVIRONMENT.items()))).encode())
        with self.tarball.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL))
            digest.update(f"{size} ".encode() + file.read())
        for path in (*self.patches, CONFIGURATION):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
        return digest.hexdigest()[:12]


def recipe(version: Version) -> str:
    """A hash of all that the project does to a source of ``version`` to build a kernel of it."""
    digest = hashlib.sha256(repr((version, sorted(ENVIRONMENT.items()))).encode())
    for path in (*(HERE / name for name in chosen(PATCHES, version)), CONFIGURATION):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:8]


def _version(tarball: Path) -> Version | None:
    found = re.search(r"linux-(?:source-)?(\d+)\.(\d+).*\.tar", tarball.name)
    return (int(found[1]), int(found[2])) if found else None


class NoSource(EngineError):
    """This machine has no source to build a kernel from, and the user has named none."""


def find() -> Source:
    """The source that DMMLAB_KERNEL_SOURCE names, or else the oldest fit one among the system's packages.

    Raises NoSource where there is none, EngineError where the one named cannot be used.
    """
    oldest = ".".join(map(str, OLDEST))
    if named := os.environ.get(VARIABLE):
        tarball = Path(named).absolute()
        version = _version(tarball)
        if not os.access(tarball, os.R_OK):
            raise EngineError(f"{VARIABLE}={named}: cannot be read; name a tarball such as {PACKAGES}/{PACKAGE}.tar.xz")
        if version is None:
            raise EngineError(f"{VARIABLE}={named}: its name tells no version; expected one like linux-{oldest}.tar.xz")
        if version < OLDEST:
            raise EngineError(f"{VARIABLE}={named}: too old a kernel; Linux {oldest} or later is needed")
        return Source(tarball, version)
    tarballs = [Source(path, version) for path in PACKAGES.glob("linux-source-*.tar.*") if (version := _version(path))]
    fit = [source for source in tarballs if source.version >= OLDEST]
    if fit:
        return min(fit, key=lambda source: (source.version, source.tarball))
    seen = f" ({', '.join(sorted(source.tarball.name for source in tarballs))} is too old)" if tarballs else ""
    raise NoSource(
        f"no kernel source of Linux {oldest} or later in {PACKAGES}{seen}: "
        f"`make setup-system` installs {PACKAGE}, or {VARIABLE} names a tarball"
    )
