"""Each test has a network of its own: a lab, or a session, in which the agents of ``scheme`` run and all hosts have their addresses."""

from __future__ import annotations

import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # Mininet's imports; whoever counts what passes reads a line without warnings
    from experiments.play.session import Session
    from tests.guest.lab import Lab, declared
    from tests.guest.nodes import Nodes
    from topologies.linux.netlink import Namespace


@pytest.fixture(scope="session")
def kernel() -> None:
    """Root, in a kernel with what agents need."""
    try:
        probe = Namespace({})
    except OSError as error:
        pytest.skip(f"no network can be built here: {error}")
    with probe.within():
        tunnel = subprocess.run(["ip", "link", "add", "probe", "type", "ip6tnl", "external"], capture_output=True)
    probe.close()
    if tunnel.returncode:
        pytest.skip("this kernel has no ip6tnl")


@pytest.fixture
def lab(kernel: None, tmp_path: Path) -> Iterator[Lab]:
    built = Lab(tmp_path)
    yield built
    built.close()


@pytest.fixture
def session(kernel: None, tmp_path: Path, scheme: str) -> Iterator[Session]:
    with Session(declared(scheme), tmp_path) as running:
        yield running


@pytest.fixture
def nodes(session: Session, tmp_path: Path) -> Nodes:
    return Nodes(session.testbed, tmp_path)
