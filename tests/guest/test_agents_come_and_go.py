"""Agents that start, are stopped, killed or fail, and hosts that come and go, on a real kernel."""

from __future__ import annotations

import re
import time
from ipaddress import IPv6Address

import pytest

from agents.associations import Attached, Detached
from agents.config import Settings
from agents.linux.links import LinkMonitor
from agents.mag import Mag
from experiments.play.session import Session
from tests.guest.lab import AGENTS, PREFIXES, Lab
from tests.guest.nodes import Nodes


@pytest.mark.parametrize("scheme", ["none", "pmip", "pmip-lr", "s-pmip", "sd-pmip"])
def test_agents_leave_their_nodes_as_they_found_them(lab: Lab, scheme: str) -> None:
    before = {name: lab.state(name) for name in AGENTS}
    lab.start_all(scheme)
    started = {name: lab.state(name) for name in lab.pids}
    if scheme != "none":
        lab.attach("mn1", "mag1")
    assert all(started[name] != before[name] for name in lab.pids)
    assert [lab.stop(name) for name in tuple(lab.pids)] == [0] * len(started)
    assert {name: lab.state(name) for name in AGENTS} == before


@pytest.mark.parametrize("scheme", ["none", "pmip", "s-pmip", "sd-pmip"])
def test_an_agent_clears_away_what_one_that_was_killed_left(lab: Lab, scheme: str) -> None:
    def state(name: str) -> set[str]:
        """What agents installed, and not what the kernel derives from it."""
        return {line for line in lab.state(name)[:-1] if "proto kernel" not in line}

    before = {name: state(name) for name in AGENTS}
    lab.start_all(scheme)
    agents = tuple(lab.pids)
    started = {name: state(name) for name in agents}
    if scheme != "none":
        lab.attach("cn1", "mag2")
        assert lab.pings("cn1", lab.attach("mn1", "mag1"), 2) == 2
        assert {name: state(name) for name in agents} != started
    for name in agents:
        lab.kill(name)
    if scheme != "none":
        lab.ip("mag1", "link", "set", "mn1-air", "down")
        lab.ip("mag2", "link", "set", "cn1-air", "down")
    for name in agents:
        lab.start(name, scheme)
    assert {name: state(name) for name in agents} == started
    assert [lab.stop(name) for name in agents] == [0] * len(agents)
    assert {name: state(name) for name in AGENTS} == before


@pytest.mark.parametrize("scheme", ["pmip", "s-pmip", "sd-pmip"])
def test_a_mag_that_was_killed_serves_its_nodes_again(session: Session, nodes: Nodes) -> None:
    address = nodes.address("mn1")
    assert nodes.pings("cn1", address, 2) == 2
    for mag in ("mag1", "mag2"):
        session.agents.kill(mag)
        session.agents.start(mag)
        time.sleep(0.1)
        assert nodes.pings("cn1", address, 3) == 3


@pytest.mark.parametrize("scheme", ["pmip", "s-pmip", "sd-pmip"])
def test_a_node_is_advertised_to_as_soon_as_it_is_served(lab: Lab, scheme: str) -> None:
    """Its access link comes to the MAG, and is up, at one instant."""
    lab.begin(scheme, "mn1")
    events = [line["event"] for line in lab.journal("mag1")]
    assert events.index("attached") < events.index("advertised")
    assert "advertisement failed" not in events


def test_a_node_that_leaves_is_detached_and_its_routes_go(lab: Lab) -> None:
    lab.begin("s-pmip", "mn1")
    lab.net.handover("mn1", "mag2", l2_gap=0.001)  # two updates of one timestamp would be one too many for the LMA (RFC 5213, 5.5)
    time.sleep(0.3)
    assert lab.journal("mag1", "detached")
    assert lab.journal("mag2", "attached")
    prefix = str(PREFIXES["mn1"])
    assert "mn1-air" not in lab.ip("mag1", "-6", "rule")
    assert prefix not in lab.ip("mag1", "-6", "route", "show", "table", "all")
    assert f"{prefix} dev mn1-air" in lab.ip("mag2", "-6", "route")


def test_an_error_in_a_handler_ends_the_agent_with_a_traceback_and_nothing_left(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("broken on purpose")

    before = lab.state("mag1")
    monkeypatch.setattr(Mag, "attached", broken)
    lab.start("mag1", "sd-pmip")
    lab.net.attach("mn1", "mag1")
    assert lab.wait("mag1") == 1
    (line,) = lab.journal("mag1", "error")
    assert "broken on purpose" in line["traceback"]
    assert lab.state("mag1") == before


def test_the_address_of_an_access_link_may_come_with_the_binding(lab: Lab) -> None:
    address, _ = lab.begin("pmip", "mn1", "cn1", settings=Settings(link_local=IPv6Address("::")))
    assert lab.pings("cn1", address, 2) == 2
    (router,) = re.findall(r"default via (\S+)", lab.ip("mn1", "-6", "route"))
    (own,) = re.findall(r"inet6 (\S+)/", lab.ip("mag1", "-6", "addr", "show", "dev", "mn1-air"))
    assert router == own
    events = [line["event"] for line in lab.journal("mag1")]
    assert events.index("link-local address assigned") < events.index("advertised")


def test_a_domain_may_have_another_link_layer_address(lab: Lab) -> None:
    lab.begin("pmip", "mn1", settings=Settings(link_layer="02:00:00:00:52:13"))
    assert "02:00:00:00:52:13" in lab.ip("mag1", "link", "show", "mn1-air")
    assert re.search(r"fe80::200:5eff:fe00:5213 dev mn1-eth0 lladdr 02:00:00:00:52:13", lab.ip("mn1", "neigh"))


def test_more_at_once_than_a_socket_holds_is_made_up_for(lab: Lab) -> None:
    """2,000 access links come and go at one instant while the monitor cannot read: who is there in the end is known all the same."""
    with lab.net["mag1"].within():
        monitor = LinkMonitor()
        list(monitor.read())
        lab.batch("mag1", [f"link add x{number}-air type dummy" for number in range(2000)])
        lab.batch("mag1", [f"link set x{number}-air alias 'nobody@dmm.example 02:00:00:00:00:01' up" for number in range(2000)])
        came = {event.association.link for event in monitor.read() if isinstance(event, Attached)}
        assert came == {f"x{number}-air" for number in range(2000)}
        lab.batch("mag1", [f"link del x{number}-air" for number in range(1999)])
        left = {event.association.link for event in monitor.read() if isinstance(event, Detached)}
        assert left == came - {"x1999-air"}
        monitor.close()
