"""Agents that start, are stopped, killed or fail, and hosts that come and go, on a real kernel."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from ipaddress import IPv6Address
from pathlib import Path

import pytest

from agents import daemon
from agents.config import AgentConfig, Settings
from agents.links import Attached, Detached, LinkMonitor
from agents.mag import Mag
from tests.guest.lab import AGENTS, HOSTS, Lab, batch, ip, namespace


@pytest.mark.parametrize("scheme", ["none", "pmip", "pmip-lr", "s-pmip", "sd-pmip"])
def test_agents_leave_their_nodes_as_they_found_them(lab: Lab, scheme: str) -> None:
    before = {name: lab.state(name) for name in AGENTS}
    lab.start_all(scheme)
    started = {name: lab.state(name) for name in lab.pids}
    if scheme != "none":
        lab.attach("mn1", "mag1")
        lab.address("mn1")
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
        lab.attach("mn1", "mag1")
        lab.attach("cn1", "mag2")
        lab.address("cn1")
        assert lab.pings("cn1", lab.address("mn1"), 2) == 2
        assert {name: state(name) for name in agents} != started
    for name in agents:
        lab.kill(name)
    if scheme != "none":
        ip("-n", "mag1", "link", "set", "mn1-air", "down")
        ip("-n", "mag2", "link", "set", "cn1-air", "down")
    for name in agents:
        lab.start(name, scheme)
    assert {name: state(name) for name in agents} == started
    assert [lab.stop(name) for name in agents] == [0] * len(agents)
    assert {name: state(name) for name in AGENTS} == before


@pytest.mark.parametrize("scheme", ["pmip", "s-pmip", "sd-pmip"])
def test_a_mag_that_was_killed_serves_its_nodes_again(lab: Lab, scheme: str) -> None:
    lab.start_all(scheme)
    lab.attach("mn1", "mag1")
    lab.attach("cn1", "mag2")
    lab.address("cn1")
    address = lab.address("mn1")
    assert lab.pings("cn1", address, 2) == 2
    for mag in ("mag1", "mag2"):
        lab.kill(mag)
        lab.start(mag, scheme)
        time.sleep(0.1)
        assert lab.pings("cn1", address, 3) == 3


@pytest.mark.parametrize("scheme", ["pmip", "s-pmip", "sd-pmip"])
def test_a_node_is_advertised_to_as_soon_as_it_is_served(lab: Lab, scheme: str) -> None:
    lab.start_all(scheme)
    up = "import sys; from pyroute2 import NetNS, IPRoute\n"
    up += "with IPRoute() as ipr: ipr.link('set', index=ipr.link_lookup(ifname='mn1-air')[0], net_ns_fd='mag1', state='up')"
    subprocess.run([sys.executable, "-c", up], check=True)
    lab.address("mn1")
    events = [line["event"] for line in lab.journal("mag1")]
    assert events.index("attached") < events.index("advertised")
    assert "advertisement failed" not in events


def test_a_node_that_leaves_is_detached_and_its_routes_go(lab: Lab) -> None:
    lab.start_all("s-pmip")
    lab.attach("mn1", "mag1")
    lab.address("mn1")
    ip("-n", "mag1", "link", "set", "mn1-air", "netns", "mag2")
    time.sleep(0.001)  # two updates of one timestamp would be one too many for the LMA (RFC 5213, 5.5)
    ip("-n", "mag2", "link", "set", "mn1-air", "up")
    time.sleep(0.3)
    events = [(line["node"], line["event"]) for name in ("mag1", "mag2") for line in lab.journal(name)]
    assert ("mag1", "detached") in events
    assert ("mag2", "attached") in events
    prefix = HOSTS["mn1"][0]
    assert "mn1-air" not in ip("-6", "-n", "mag1", "rule")
    assert prefix not in ip("-6", "-n", "mag1", "route", "show", "table", "all")
    assert f"{prefix} dev mn1-air" in ip("-6", "-n", "mag2", "route")


def test_an_error_in_a_handler_ends_the_agent_with_a_traceback_and_nothing_left(lab: Lab) -> None:
    def run(config: AgentConfig, journal: Path, ready: int) -> None:
        def broken(*_: object, **__: object) -> None:
            raise RuntimeError("broken on purpose")

        Mag.attached = broken  # type: ignore[method-assign, assignment]
        daemon.run(config, journal, ready)

    before = lab.state("mag1")
    lab.start("mag1", "sd-pmip", run)
    lab.attach("mn1", "mag1")
    assert os.waitstatus_to_exitcode(os.waitpid(lab.pids.pop("mag1"), 0)[1]) == 1
    (line,) = (line for line in lab.journal("mag1") if line["event"] == "error")
    assert "broken on purpose" in line["traceback"]
    assert lab.state("mag1") == before


def test_the_address_of_an_access_link_may_come_with_the_binding(lab: Lab) -> None:
    lab.start_all("pmip", Settings(link_local=IPv6Address("::")))
    lab.attach("mn1", "mag1")
    lab.attach("cn1", "mag2")
    lab.address("cn1")
    assert lab.pings("cn1", lab.address("mn1"), 2) == 2
    (router,) = re.findall(r"default via (\S+)", ip("-6", "-n", "mn1", "route"))
    (own,) = re.findall(r"inet6 (\S+)/", ip("-6", "-n", "mag1", "addr", "show", "dev", "mn1-air"))
    assert router == own
    events = [line["event"] for line in lab.journal("mag1")]
    assert events.index("link-local address assigned") < events.index("advertised")


def test_a_domain_may_have_another_link_layer_address(lab: Lab) -> None:
    lab.start_all("pmip", Settings(link_layer="02:00:00:00:52:13"))
    lab.attach("mn1", "mag1")
    lab.address("mn1")
    assert "02:00:00:00:52:13" in ip("-n", "mag1", "link", "show", "mn1-air")
    assert re.search(r"fe80::200:5eff:fe00:5213 dev mn1-eth0 lladdr 02:00:00:00:52:13", ip("-n", "mn1", "neigh"))


def test_more_at_once_than_a_socket_holds_is_made_up_for(lab: Lab) -> None:
    """2,000 access links come and go at one instant while the monitor cannot read: who is there in the end is known all the same."""
    with namespace("mag1"):
        monitor = LinkMonitor()
        list(monitor.read())
        batch(None, [f"link add x{number}-air type dummy" for number in range(2000)])
        batch(None, [f"link set x{number}-air alias 'nobody@dmm.example 02:00:00:00:00:01' up" for number in range(2000)])
        came = {event.association.link for event in monitor.read() if isinstance(event, Attached)}
        assert came == {f"x{number}-air" for number in range(2000)}
        batch(None, [f"link del x{number}-air" for number in range(1999)])
        left = {event.association.link for event in monitor.read() if isinstance(event, Detached)}
        assert left == came - {"x1999-air"}
        monitor.close()
