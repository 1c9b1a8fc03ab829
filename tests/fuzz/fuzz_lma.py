"""An LMA, whatever MAGs and strangers send to it."""

from __future__ import annotations

from choices import Choices
from scene import CASES, Scene
from seeds import conversation


def run(data: bytes) -> None:
    """One life of an LMA."""
    Scene("lma", Choices(data)).play()


def seeds() -> list[bytes]:
    """What an LMA of each scheme and policy hears when hosts move and speak."""
    return [conversation("lma", number) for number in range(len(CASES["lma"]))]
