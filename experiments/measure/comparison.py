"""What a comparison of a run with the reference finds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Comparison:
    """How a run differs from the reference, in what both have.

    Attributes:
        name: the experiment's.
        kernel: empty where engine and kernel are the reference's; otherwise what they are, in words.
        compared: how many captures were compared; none where the engine is another.
        captures: those whose bytes differ.
        values: how many numbers were compared.
        metrics: what each says that differs by more than the tolerance.
        noise: the most, in ms, by which times differ within the tolerance.
        failed: the runs that failed here.
        notes: what a reader should know and what is no difference: parts that only one of the two has, other versions.
    """

    name: str
    kernel: str
    compared: int
    captures: tuple[str, ...]
    values: int
    metrics: tuple[str, ...]
    noise: float
    failed: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Whether all is as it should be; another kernel may give other bytes."""
        return not ((self.captures and not self.kernel) or self.metrics or self.failed)
