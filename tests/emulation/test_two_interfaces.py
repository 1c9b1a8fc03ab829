"""A node with two interfaces at different MAGs, each a host that shares its MN-ID (RFC 5213, 5.4): attached at once, and handing over."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby

import pytest

from experiments.declare.scenario import Case, Flow, Move, Run, Scenario
from tests.emulation.conftest import Emulation, Played, tshark
from topologies import toml
from topologies.domain import Domain, LinkSettings

CASES = (Case("pmip", "anchor"), Case("s-pmip", "notify"))
MOVE = Move(1.007, "mn1", "mag2")

NETWORK = """
name = "two interfaces"
access = {{ delay = "2ms" }}
mags = [{{ name = "mag1" }}, {{ name = "mag2" }}, {{ name = "mag3" }}]
core = [{{ name = "s1" }}]
[lma]
name = "lma"
[[hosts]]
name = "mn1"
mag = "mag2"
{mn1}
[[hosts]]
name = "mn1w"
mag = "mag3"
mn_id = "mn1@dmm.example"
{mn1w}
[[hosts]]
name = "cn1"
mag = "mag1"
"""
LINKS = "".join(f'[[links]]\na = "{agent}"\nb = "s1"\ndelay = "{delay}"\n' for agent, delay in
                (("mag1", "5ms"), ("mag2", "5ms"), ("mag3", "5ms"), ("lma", "20ms")))  # fmt: skip


def network(mn1: str, mn1w: str) -> Domain:
    return toml.parse(NETWORK.format(mn1=mn1, mn1w=mn1w) + LINKS)


SEPARATE = network("", 'association = "att=3 hi=1"')
"""The second interface, an Ethernet, has a session of its own."""

SHARED = network('association = "hi=2"', 'association = "att=3 hi=2"\nhome_network_prefix = "2001:db8:100:1::/64"')
"""Whichever interface comes takes the one session over."""

FLOWS = (Flow("cn1", "mn1", 0.0, 2.0, rate=100.0), Flow("cn1", "mn1w", 0.003, 2.0, rate=100.0))
TOGETHER = tuple(Run("together", SEPARATE, case, Scenario(3.0, FLOWS), 1, 1, "virtual") for case in CASES)
VERTICAL = tuple(Run("vertical", SHARED, case, Scenario(3.0, FLOWS, (MOVE,)), 1, 1, "virtual") for case in CASES)


def updates(played: Played, mag: str) -> list[list[str]]:
    """What each PBU of a MAG says, without repetitions: lifetime, handoff indicator, access technology, interface and prefixes.

    Of two that MAGs send about one node at the same tick of the timestamps' clock, the LMA refuses one (RFC 5213, 5.5), which is repeated.
    """
    fields = "mip6.bu.lifetime", "mip6.hi", "mip6.att", "mip6.mnlli.lli", "mip6.nemo.mnp.mnp"
    source = next(str(agent.address) for agent in played.run.domain.mags if agent.name == mag)
    said = tshark(played.folder / "lma.pcap", f"mip6.mhtype == 5 && ipv6.src == {source} && mip6.hi", *fields)
    return [update for update, _ in groupby(said)]


@pytest.mark.parametrize("run", TOGETHER, ids=[run.case.scheme for run in TOGETHER])
def test_two_interfaces_at_once_have_each_a_session_and_packets_of_their_own(emulation: Emulation, run: Run) -> None:
    played = emulation.play(*TOGETHER)[TOGETHER.index(run)]
    assert updates(played, "mag2") == [["75", "4", "4", "020000000001", "::"]]
    assert updates(played, "mag3") == [["75", "1", "3", "020000000002", "::"]]
    assert len(played.trace.packets) == 400
    other = {0: "mn1w", 1: "mn1"}
    for packet in played.trace.packets:
        assert packet.received is not None
        assert other[packet.flow] not in packet.seen


def test_the_interface_that_comes_second_gets_the_second_prefix_however_far_the_first_is(emulation: Emulation) -> None:
    """If both came at once, the LMA would hear of the second before it hears of the first."""
    links = tuple(replace(link, settings=LinkSettings(0.1)) if link.a == "mag2" else link for link in SEPARATE.links)
    (played,) = emulation.play(Run("far", replace(SEPARATE, links=links), CASES[0], Scenario(3.0, FLOWS), 1, 1, "virtual"))
    assert [packet.received is not None for packet in played.trace.packets] == [True] * 400


TURNS = {"pmip": 0.025 - 0.027, "s-pmip": 0.050 - 0.002}
"""Packets go to the interface that has come if sent so many s later: its PBU's way and the news', less that of a packet to who turns it."""


@pytest.mark.parametrize("run", VERTICAL, ids=[run.case.scheme for run in VERTICAL])
def test_a_session_goes_from_one_interface_to_the_other(emulation: Emulation, run: Run) -> None:
    """Each interface has an address of its own in the session's prefix: a stock host does not move addresses between interfaces."""
    played = emulation.play(*VERTICAL)[VERTICAL.index(run)]
    prefix = "2001:db8:100:1::"
    assert updates(played, "mag3") == [["75", "2", "3", "020000000002", prefix]]
    taken_over, left, taken_back = updates(played, "mag2")
    assert taken_over == taken_back == ["75", "2", "4", "020000000001", prefix]
    assert left == ["0", "4", "4", "020000000001", prefix]
    turns = played.run.epoch + round((MOVE.at + MOVE.l2_gap + TURNS[run.case.scheme]) * 1e9)
    for packet in played.trace.packets:
        assert (packet.received is not None) == ((packet.sent >= turns) == (packet.flow == 0)), packet
