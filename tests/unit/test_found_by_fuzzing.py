"""The fuzz targets on their seeds, on noise, and on whatever a fuzzer has ever found (``tests/fuzz/found``, named after the target)."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from targets import TARGETS

FOUND = Path(__file__).parents[1] / "fuzz" / "found"


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_seeds_with_changed_octets(name: str) -> None:
    target, chance = TARGETS[name], Random(5213)
    seeds = target.seeds()
    assert seeds
    for seed in seeds:
        target.run(seed)
        for _ in range(200 // len(seeds)):
            changed = bytearray(seed)
            for _ in range(chance.choice((1, 4, 16))):
                changed[chance.randrange(len(changed))] = chance.choice((0, 1, 0xFF, chance.randrange(256)))
            target.run(bytes(changed))


@pytest.mark.parametrize("path", sorted(FOUND.glob("*-*")), ids=lambda path: path.name)
def test_what_was_found_is_found_no_more(path: Path) -> None:
    TARGETS[path.name.partition("-")[0]].run(path.read_bytes())
