"""Packets a second through two MAGs, from a host to a host, with and without the guards of agents' kernels: in a guest in real time on one
core, where each packet goes all its way before the next is sent.

``python -m experiments.bench.data_plane FOLDER`` is what runs in the guest. Rounds with and without guards follow each other, so that what
else the machine does falls on both; what guards cost is the median over pairs of rounds.
"""

from __future__ import annotations

import socket
import sys
import time
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from statistics import median

import msgspec

from agents.actions import InstallAccessRoute, InstallRoute
from agents.config import FIXED_LINK_LOCAL, AgentConfig
from agents.linux.kernel import DataPlane
from agents.profiles import Profile, ProfileStore
from agents.schemes import SCHEMES
from experiments.bench.figures import Figure, folder, in_guest, one_core
from topologies.addresses import ALL_MAGS_MAC
from topologies.linux import netlink
from topologies.linux.netlink import Namespace

_CORE = IPv6Network("2001:db8:0:1::/64")
_LMA = _CORE[0x100]
_MAGS = _CORE[1], _CORE[2]
_HOMES = IPv6Network("2001:db8:100:1::/64"), IPv6Network("2001:db8:100:2::/64")
_EVERYTHING = IPv6Network("::/0")
_PORT = 5213
_PACKETS = 2000
_ROUNDS = 99
_MOST_COST = 1.05
_LEAST_RATE = 1000


def measure() -> list[Figure]:
    """The rate with the guards, and by how much it would be higher without."""
    with folder() as made:
        in_guest("uml", (sys.executable, "-m", "experiments.bench.data_plane", made), Path(made), one_core())
        guarded, open_to_all, gain = msgspec.json.decode((Path(made) / "rates").read_bytes(), type=list[float])
    compared = f"{guarded:,.0f}/s with the guards, {open_to_all:,.0f}/s without"
    return [
        Figure("packets through two MAGs", guarded, _LEAST_RATE, "/s"),
        Figure("the same without guards, by the rate with them", gain, _MOST_COST, "times", limit=True, detail=compared),
    ]


class _Mag:
    """A MAG's namespace with a host, an access link and one end of the core."""

    def __init__(self, number: int, core: Namespace) -> None:
        self.namespace, self.host = Namespace({}), Namespace({})
        self.address, self.home = _MAGS[number], _HOMES[number]
        first = 100 + 10 * number
        core_end, air, own = first, first + 1, first + 2
        self.own = own
        mac = f"02:00:00:00:00:{first:02x}"
        self.namespace.queue(
            netlink.veth("core", core_end, mac, f"core{number}", first + 3, f"02:00:00:00:01:{first:02x}", core),
            netlink.veth("host-air", air, ALL_MAGS_MAC, "eth0", own, f"02:00:00:00:02:{first:02x}", self.host),
            *(netlink.set_up(index) for index in (netlink.LOOPBACK, core_end, air)),
            netlink.address(core_end, self.address, _CORE),
        )
        self.namespace.flush()
        self.host.queue(netlink.set_up(netlink.LOOPBACK), netlink.set_up(own), netlink.address(own, self.home[1], self.home))
        self.host.flush()
        scheme = SCHEMES["s-pmip"]
        profiles = ProfileStore([Profile("host@dmm.example", (self.home,))])
        self._config = AgentConfig("mag", self.address, "core", scheme, scheme.default_policy, _LMA, frozenset(_MAGS), profiles)
        with self.namespace.within():
            self.plane = DataPlane(self._config, trigger=False)

    def serve(self, other: _Mag) -> None:
        """Do for the host what the agent does, and tunnel what goes to the other MAG's."""
        with self.namespace.within():
            self.plane.start()
            self.plane.admit("host-air", frozenset({self.home}))
            self.plane.carry_out(InstallAccessRoute(self.home, "host-air"))
            self.plane.carry_out(InstallRoute(other.home, other.address))
            self.plane.commit()
        self.host.queue(netlink.route(self.own, _EVERYTHING, FIXED_LINK_LOCAL))
        self.host.flush()

    def guard(self, guarded: bool) -> None:
        """With the guards, or without."""
        with self.namespace.within():
            if guarded:
                self.plane.guard()
            else:
                self.plane.open_up()


def _in_guest(made: Path) -> None:
    core = Namespace({})
    core.queue(netlink.bridge("br0", 50))
    core.flush()
    mags = [_Mag(number, core) for number in range(2)]
    core.queue(*(message for index in (103, 113) for message in (netlink.set_master(index, 50), netlink.set_up(index))))
    core.flush()
    for mag, other in (mags, reversed(mags)):
        mag.serve(other)
    sender, receiver = mags[0].host, mags[1].host
    with receiver.within():
        sink = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        sink.bind(("::", _PORT))
    time.sleep(2)
    rates: dict[bool, list[float]] = {True: [], False: []}
    _send(sender, mags[1].home[1], 100)
    for _ in range(_ROUNDS):
        for guarded in rates:
            for mag in mags:
                mag.guard(guarded)
            before = _received(receiver)
            took = _send(sender, mags[1].home[1], _PACKETS)
            if (came := _received(receiver) - before) < _PACKETS:
                raise RuntimeError(f"{came} of {_PACKETS} packets came through")
            rates[guarded].append(_PACKETS / took)
    gains = [without / guarded for guarded, without in zip(rates[True], rates[False], strict=True)]
    (made / "rates").write_bytes(msgspec.json.encode([median(rates[True]), median(rates[False]), median(gains)]))


def _send(sender: Namespace, destination: IPv6Address, count: int) -> float:
    """The seconds that it took."""
    with sender.within(), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as port:
        port.connect((str(destination), _PORT))
        began = time.perf_counter()
        for _ in range(count):
            port.send(b"packet")
        return time.perf_counter() - began


def _received(receiver: Namespace) -> int:
    """How many packets its interface has taken in."""
    with receiver.within():
        lines = Path("/proc/thread-self/net/dev").read_text().splitlines()
    return next(int(line.split(":")[1].split()[1]) for line in lines if line.strip().startswith("eth0:"))


if __name__ == "__main__":
    _in_guest(Path(sys.argv[1]))
