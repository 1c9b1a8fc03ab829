"""Each test has a lab of its own."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # Mininet's imports; whoever counts what passes reads a line without warnings
    from tests.guest.lab import Lab


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    try:
        built = Lab(tmp_path)
    except OSError as error:
        pytest.skip(f"no network can be built here: {error}")
    try:
        if not built.has_tunnels():
            pytest.skip("this kernel has no ip6tnl")
        yield built
    finally:
        built.close()
