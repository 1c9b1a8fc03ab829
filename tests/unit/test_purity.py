"""The house's one rule of imports: what needs a kernel has rooms of its own, and nothing outside of them imports what they need."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KERNEL_ROOMS = ("agents/linux", "topologies/linux", "experiments/play", "experiments/bench")
"""Folders of which each file may touch a kernel; engines/ and vm/, which start kernels, are no part of the rule."""

NEEDS_A_KERNEL = {"mininet", "pyroute2", "socket", "agents.linux", "topologies.linux", "experiments.play"}
ELSEWHERE = {"asyncio", "ctypes", "fcntl", "os", "random", "select", "selectors", "subprocess", "time"}
"""What the protocol is passed, and so does not import either: what touches a system, and what gives another answer each time."""

PURE = sorted(
    path
    for house in ("agents", "topologies", "experiments")
    for path in (ROOT / house).rglob("*.py")
    if not str(path.relative_to(ROOT)).startswith(KERNEL_ROOMS)
)


def imported(path: Path) -> set[str]:
    """Every module that a file names in an import, wherever that stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@pytest.mark.parametrize("path", PURE, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_needs_no_kernel_imports_nothing_that_touches_one(path: Path) -> None:
    forbidden = NEEDS_A_KERNEL | (ELSEWHERE if path.is_relative_to(ROOT / "agents") else set())
    assert {name for name in imported(path) for other in forbidden if f"{name}.".startswith(f"{other}.")} == set()


def test_each_room_is_there_and_the_kernels_rooms_are_not_pure() -> None:
    assert {"endpoint.py", "fib.py", "lma.py", "mag.py", "routing.py", "deployment.py", "trace.py", "network.py"} <= {p.name for p in PURE}
    for room in KERNEL_ROOMS:
        needed = set().union(*(imported(path) for path in (ROOT / room).rglob("*.py")))
        assert needed & {"socket", "ctypes", "mininet.net", "agents.linux.daemon", "topologies.linux.build"}, room


@pytest.mark.parametrize(
    "modules",
    [
        "agents.endpoint, agents.fib",
        "experiments.catalogue, experiments.declare.deployment, experiments.declare.selection, topologies.presets",
        "experiments.analyse, experiments.model",
        "experiments.simulate.play",
    ],
)
def test_the_pure_half_runs_where_there_is_neither_pyroute2_nor_mininet(modules: str) -> None:
    program = f"import {modules}, sys; print(*{{'pyroute2', 'mininet', 'agents.linux', 'topologies.linux'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
