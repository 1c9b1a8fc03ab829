"""The domain's key (docs/security.md): taken from a file or a command line, published as a fingerprint only, lent to a run while it starts.

What a run leaves (manifest.json, run.json, the report and its command line) has the fingerprint; a key that the catalogue itself declares
for a case is no secret and stays as it is.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from agents.authentication import key_octets
from agents.config import Settings
from experiments.declare import files
from experiments.declare.scenario import Run
from topologies.units import UnitError

SETTING = "authentication.key"
FILE = "authentication.key"
"""In a run's folder, readable by its owner only, from before its kernel boots until its emulation has read it."""

NONE = "none"
"""What a user says for no key."""

_MOST = 4096
_SHOWN = 16
_FINGERPRINT = re.compile(r"sha256:[0-9a-f]{16}")


class KeyMissingError(RuntimeError):
    """A run needs a key that it was not lent."""


def fingerprint(key: str) -> str:
    """What stands for a key where others can read it; ValueError where it is none."""
    return f"sha256:{hashlib.sha256(b'dmmlab authentication.key ' + key_octets(key)).hexdigest()[:_SHOWN]}"


def is_fingerprint(text: str) -> bool:
    """Whether a value of the setting is a fingerprint and no key."""
    return _FINGERPRINT.fullmatch(text) is not None


def taken(value: str) -> str:
    """The key that a user gives: itself, what is in the file behind an @, or nothing for ``none``.

    UnitError, which never shows a file's content, where it is neither.
    """
    if value == NONE:
        return ""
    if is_fingerprint(value):
        raise UnitError("expected a key, not a fingerprint, from which no key can be had")
    if not value.startswith("@"):
        return value
    path = Path(value[1:]).expanduser()
    try:
        key = files.read(path.resolve(), _MOST).decode("ascii", "replace").strip()
    except OSError as error:
        raise UnitError(f"{path}: {error.strerror}") from None
    try:
        key_octets(key)
    except ValueError as error:
        raise UnitError(f"{path}: {error}") from None
    return key


def stands_in_argument(assignment: str) -> bool:
    """Whether ``name=value`` shows a key to whoever lists this machine's processes."""
    name, _, value = assignment.partition("=")
    return name == SETTING and value != NONE and not value.startswith("@")


def published(settings: Mapping[str, str]) -> dict[str, str]:
    """The agents' settings with the fingerprint for the key."""
    return {name: fingerprint(value) if name == SETTING and value else value for name, value in settings.items()}


def redacted(argument: str) -> str:
    """An argument of a command line, with the fingerprint for the key."""
    before, found, value = argument.partition(f"{SETTING}=")
    if not found or value.startswith("@"):
        return argument
    try:
        return f"{before}{found}{fingerprint(value)}"
    except ValueError:
        return f"{before}{found}…"


@contextlib.contextmanager
def lent(folder: Path, key: str) -> Iterator[None]:
    """Within, a run's folder has the key in a file that only its owner can read; none where there is no key."""
    path = folder / FILE
    if key:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), "w") as file:
            file.write(key)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def unlocked(run: Run, folder: Path) -> Run:
    """The run with the key that its folder was lent, which is then gone from there; KeyMissingError where that is not the run's."""
    published = run.settings.get(SETTING, "")
    if not is_fingerprint(published):
        return run
    path = folder / FILE
    try:
        key = files.read(path, _MOST).decode("ascii", "replace")
        path.unlink()
        if fingerprint(key) != published:
            raise KeyMissingError(f"the key in {FILE} is not the run's, {published}")
    except (OSError, ValueError) as error:
        raise KeyMissingError(f"the run's key, {published}, cannot be read: {error}") from None
    return replace(run, settings={**run.settings, SETTING: key})


def with_any_key(settings: Settings) -> Settings:
    """Settings with which sizes of messages can be told where only the fingerprint of the key is known."""
    return replace(settings, authentication_key="00" * 16) if is_fingerprint(settings.authentication_key) else settings
