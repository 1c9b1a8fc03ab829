"""Files of a results folder, which may be somebody else's: no symbolic link in it is followed, and nothing but a plain file is opened.

Whatever is read has a bound, and whatever is written is written beside its place and then renamed, so that it replaces what stood there
(a link, a hard link) and never writes through it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

MOST_TEXT = 64 << 20
"""The octets of the largest JSON or CSV file that is read."""

MOST_JOURNAL = 256 << 20
"""The octets of the largest events.jsonl that is read."""


def place(folder: Path, *names: str) -> Path:
    """The path of ``names`` below ``folder``; OSError where one of them is a symbolic link or leads out of the folder.

    ``folder`` itself is the user's choice, and may be a link.
    """
    path = folder
    for name in (part for parts in names for part in parts.split("/")):
        if name in ("", ".", "..") or "\0" in name:
            raise OSError(errno.EINVAL, f"{name!r} is no name of a file or folder", str(path))
        path /= name
        if path.is_symlink():
            raise _link(path)
    return path


def opened(path: Path) -> BufferedReader:
    """A plain file, open for reading; OSError where there is none, or where it is a link, folder, FIFO, socket or device."""
    _check(path, path.lstat().st_mode)
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        _check(path, os.fstat(descriptor).st_mode)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read(path: Path, most: int = MOST_TEXT) -> bytes:
    """All of a plain file; OSError as for ``opened``, and where it has more than ``most`` octets."""
    with opened(path) as file:
        data = file.read(most + 1) if os.fstat(file.fileno()).st_size <= most else None
    if data is None or len(data) > most:
        raise OSError(errno.EFBIG, f"has more than {most:,} bytes", str(path))
    return data


def write(path: Path, data: bytes | str) -> None:
    """Let ``path`` be a plain file with these octets (a text in UTF-8), whole or not at all; OSError where that fails."""
    part = path.with_name(f"{path.name}.part")
    try:
        part.unlink(missing_ok=True)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data.encode("utf-8", "replace") if isinstance(data, str) else data)
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from None


def _check(path: Path, mode: int) -> None:
    if stat.S_ISLNK(mode):
        raise _link(path)
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "is no plain file", str(path))


def _link(path: Path) -> OSError:
    return OSError(errno.ELOOP, "is a symbolic link, which is not followed; put the file or folder itself there", str(path))
