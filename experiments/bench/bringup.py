"""20 MAGs and 20 MNs with delayed links: this project's builder against stock Mininet with TCLink, each in a guest in real time.

``python -m experiments.bench.bringup BUILDER FOLDER`` is what runs in the guest.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from experiments.bench.figures import Figure, folder, in_guest

_MAGS = 20


def measure() -> list[Figure]:
    """Both, one after the other."""
    seconds = {}
    for builder in _BUILDERS:
        with folder() as made:
            in_guest("uml", (sys.executable, "-m", "experiments.bench.bringup", builder, made), Path(made))
            seconds[builder] = float((Path(made) / "seconds").read_text())
    what = f"bring-up of {_MAGS} MAGs and {_MAGS} MNs, stock Mininet / dmmlab"
    detail = f"{seconds['stock']:.1f} s / {seconds['dmmlab']:.2f} s"
    return [Figure(what, seconds["stock"] / seconds["dmmlab"], 10, "times", detail=detail)]


def _build_dmmlab() -> Callable[[], None]:
    from topologies.linux.build import Testbed
    from topologies.presets import star

    domain = star(mags=_MAGS, mns=_MAGS, cns=0)

    def build() -> None:
        testbed = Testbed(domain)
        testbed.start()
        for host in domain.hosts:
            testbed.attach(host.name, host.mag)

    return build


def _build_stock() -> Callable[[], None]:
    from mininet.link import TCLink
    from mininet.log import setLogLevel
    from mininet.net import Mininet
    from mininet.nodelib import LinuxBridge
    from mininet.topo import Topo

    setLogLevel("error")
    topo = Topo()
    topo.addSwitch("s1")
    for i in range(1, _MAGS + 1):
        topo.addHost(f"mag{i}")
        topo.addHost(f"mn{i}")
        topo.addLink(f"mag{i}", "s1", delay="5ms")
        topo.addLink(f"mn{i}", f"mag{i}", delay="2ms")

    def build() -> None:
        net = Mininet(topo=topo, switch=LinuxBridge, link=TCLink, controller=None)
        net.start()

    return build


_BUILDERS: dict[str, Callable[[], Callable[[], None]]] = {"dmmlab": _build_dmmlab, "stock": _build_stock}


def _time_building(builder: str, folder: Path) -> None:
    build = _BUILDERS[builder]()
    began = time.monotonic()
    build()
    (folder / "seconds").write_text(f"{time.monotonic() - began}\n")


if __name__ == "__main__":
    _time_building(sys.argv[1], Path(sys.argv[2]))
