"""A MAG, whatever its LMA, other MAGs, strangers and its own hosts send to it."""

from __future__ import annotations

from choices import Choices
from scene import CASES, Scene
from seeds import conversation


def run(data: bytes) -> None:
    """One life of a MAG."""
    Scene("mag", Choices(data)).play()


def seeds() -> list[bytes]:
    """What a MAG of each scheme and policy hears when hosts move and speak."""
    return [conversation("mag", number) for number in range(len(CASES["mag"]))]
