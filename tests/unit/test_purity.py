"""The protocol entities run without a kernel: what touches one is in agents/linux/."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PURE = sorted(path for path in (ROOT / "agents").rglob("*.py") if "linux" not in path.relative_to(ROOT / "agents").parts)
FORBIDDEN = {"agents.linux", "asyncio", "ctypes", "fcntl", "mininet", "os", "pyroute2", "select", "selectors", "socket", "subprocess"}
FORBIDDEN |= {"random", "time"}
"""Modules of which the pure half imports nothing: what touches a kernel, and what gives another answer each time."""


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
def test_the_pure_half_imports_nothing_that_touches_a_kernel(path: Path) -> None:
    assert {name for name in imported(path) for forbidden in FORBIDDEN if f"{name}.".startswith(f"{forbidden}.")} == set()


def test_there_is_a_pure_half_and_another() -> None:
    assert {"endpoint.py", "fib.py", "lma.py", "mag.py"} <= {path.name for path in PURE}
    assert "socket" in imported(ROOT / "agents/linux/sockets.py")


def test_an_agent_runs_where_there_is_neither_pyroute2_nor_mininet() -> None:
    program = "import agents.endpoint, agents.fib, sys; print(*{'pyroute2', 'mininet', 'agents.linux'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
