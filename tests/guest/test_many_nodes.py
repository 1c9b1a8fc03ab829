"""An agent that serves more nodes than a test does by itself: 1,000 of them come to one MAG."""

from __future__ import annotations

import time
from dataclasses import replace

from tests.guest.lab import DOMAIN, Lab
from topologies.addresses import host

MANY = 1_000
_OTHERS = tuple(host(f"x{number}", "mag1", number) for number in range(3, MANY + 3))


def test_a_thousand_nodes_are_served_and_reached(lab: Lab) -> None:
    lab.start_all("s-pmip", domain=replace(DOMAIN, hosts=(*DOMAIN.hosts, *_OTHERS)))
    lab.net.attach("cn1", "mag2")
    lab.net.attach("mn1", "mag1")
    lab.batch("mag1", [f"link add {other.air} type dummy" for other in _OTHERS])
    lab.batch("mag1", [f"link set {other.air} alias '{other.alias}' up" for other in _OTHERS])
    time.sleep(5)
    assert lab.ip("mag1", "-6", "route", "show", "table", "100").count("-air") == MANY + 1
    assert lab.ip("lma", "-6", "route", "show").count("encap") == MANY + 2
    assert lab.pings("cn1", lab.address("mn1"), 5) == 5
    assert not lab.journal("mag1", "error", "tunnelled packet")
