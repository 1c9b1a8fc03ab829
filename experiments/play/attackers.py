"""Attacks as processes of their own: when an attacker sends what it makes (experiments.declare.forgeries), or again what it has heard."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import cycle

from agents.messages import PROTOCOL
from experiments.declare.deployment import Deployment
from experiments.declare.forgeries import FORGERIES, IPV6_HEADER, IPV6_IN_IPV6, REPLAY, STRANGER, Forgery, is_marked, mark, marked
from experiments.declare.scenario import Attack
from experiments.play.agents import Agents
from experiments.play.moments import sleep_until
from topologies.addresses import ALL_MAGS_MAC, mac
from topologies.domain import Agent, Host
from topologies.linux.build import Testbed

LEAD = 0.5
"""How long before the scenario's zero an attacker is there, in s: it has heard all signalling since."""

_ROGUE_MAC = mac(3, 1)
_ETH_P_IPV6, _ETH_P_ALL = 0x86DD, 3
_LARGEST_FRAME = 2048
_ETHERNET_HEADER = 14


def calls(attack: Attack, run: Deployment, testbed: Testbed, agents: Agents) -> Iterator[tuple[float, Callable[[], object]]]:
    """An attack of an agent that the run's scheme does not use is none."""
    if all(node in agents for node in attack.on):
        yield -LEAD, partial(_begin, attack, run, testbed)


def _begin(attack: Attack, run: Deployment, testbed: Testbed) -> None:
    node = testbed.get(attack.attacker)
    label = mark(run.attacks.index(attack))
    if attack.kind == REPLAY:
        node.spawn(partial(_replay, attack, run.epoch, label))
        return
    forge = partial(FORGERIES[attack.kind], run.settings.query_flag)
    known = _Knowledge(attack, run, testbed)
    node.spawn(partial(_assail, attack, run.epoch, label, lambda number: forge(known.at(number, time.time())), known))


class _Knowledge:
    """What an attack's packets are made of, and how they are sent."""

    def __init__(self, attack: Attack, run: Deployment, testbed: Testbed) -> None:
        hosts = run.host
        known = run.domain_agents
        self.host = hosts[attack.victim]
        self.hoa = testbed.addresses(attack.victim)[0]
        other = next(name for name in hosts if name not in (attack.victim, attack.attacker))
        self.home = testbed.addresses(other)[0]
        self.accomplice = _accomplice(attack, run, known, self.host).address
        self.agent = known[attack.target].address
        if attack.attacker in hosts:
            self.device, self.station = hosts[attack.attacker].interface, hosts[attack.attacker].mac
            self.gateway, own = ALL_MAGS_MAC, testbed.addresses(attack.attacker)[0]
        else:
            self.device, self.station, own = attack.attacker, _ROGUE_MAC, STRANGER
            self.gateway = str(testbed.get(attack.target).intf(known[attack.target].core).MAC())
        self.source = known[attack.claims].address if attack.claims else own

    def at(self, number: int, now: float) -> Forgery:
        """For the ``number``-th packet."""
        return Forgery(self.source, self.agent, self.host, self.hoa, self.home, self.accomplice, number, now)


def _accomplice(attack: Attack, run: Deployment, known: Mapping[str, Agent], victim: Host) -> Agent:
    if attack.claims and known[attack.claims] in run.mags:
        return known[attack.claims]
    return next(mag for mag in reversed(run.mags) if mag.name != victim.mag)


def _assail(attack: Attack, epoch: int, label: int, forge: Callable[[int], bytes], known: _Knowledge) -> None:
    header = _ethernet(known.gateway, known.station)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind((known.device, 0))
        for number in _times(attack, epoch):
            sock.send(header + marked(forge(number), label))


def _replay(attack: Attack, epoch: int, label: int) -> None:
    """Hear what crosses the bridge until the attack begins, then send that again, in its order, and from the beginning once it ends."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL)) as sock:
        heard = tuple(dict.fromkeys(_signals_heard(sock, epoch + round(attack.at * 1e9))))
        if not heard:
            raise RuntimeError(f"{attack.attacker} has heard no signalling that it could replay at {attack.at:g} s")
        again = cycle(heard)
        for _ in _times(attack, epoch):
            frame = next(again)
            sock.sendto(frame[:_ETHERNET_HEADER] + marked(frame[_ETHERNET_HEADER:], label), (attack.attacker, 0))


def _signals_heard(sock: socket.socket, until: int) -> Iterator[bytes]:
    """Every frame with a Mobility Header, tunnelled or not, that passes before ``until``, as often as it is seen."""
    while (left := until - time.time_ns()) > 0:
        sock.settimeout(left / 1e9)
        try:
            frame, (_, protocol, *_) = sock.recvfrom(_LARGEST_FRAME)
        except TimeoutError:
            return
        at = _ETHERNET_HEADER
        if protocol == _ETH_P_IPV6 and frame[at + 6] == IPV6_IN_IPV6:
            at += IPV6_HEADER
        if protocol == _ETH_P_IPV6 and frame[at + 6] == PROTOCOL and not is_marked(frame[_ETHERNET_HEADER:]):
            yield frame


def _ethernet(destination: str, source: str) -> bytes:
    return bytes.fromhex((destination + source).replace(":", "")) + _ETH_P_IPV6.to_bytes(2, "big")


def _times(attack: Attack, epoch: int) -> Iterator[int]:
    """The numbers of the attack's packets, each at its time."""
    for number in range(attack.count):
        sleep_until(epoch + attack.sent_at(number))
        yield number
