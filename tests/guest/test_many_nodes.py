"""An agent that serves more nodes than a test does by itself: 1,000 of them come to one MAG."""

from __future__ import annotations

import time
from ipaddress import IPv6Network

from agents.profiles import Profile, ProfileStore
from tests.guest.lab import PROFILES, Lab, batch, ip

MANY = 1_000
_PREFIXES = tuple(IPv6Network((0x20010DB8_01FF0000 << 64 | number << 64, 64)) for number in range(MANY))
_PROFILES = ProfileStore((*PROFILES, *(Profile(f"x{number}@dmm.example", (prefix,)) for number, prefix in enumerate(_PREFIXES))))


def test_a_thousand_nodes_are_served_and_reached(lab: Lab) -> None:
    lab.start_all("s-pmip", profiles=_PROFILES)
    lab.attach("cn1", "mag2")
    lab.attach("mn1", "mag1")
    batch("mag1", [f"link add x{number}-air type dummy" for number in range(MANY)])
    batch("mag1", [f"link set x{number}-air alias 'x{number}@dmm.example 02:00:00:00:00:03' up" for number in range(MANY)])
    time.sleep(5)
    assert ip("-6", "-n", "mag1", "route", "show", "table", "100").count("-air") == MANY + 1
    assert ip("-6", "-n", "lma", "route", "show").count("encap") == MANY + 2
    assert lab.pings("cn1", lab.address("mn1"), 5) == 5
    events = {line["event"] for line in lab.journal("mag1")}
    assert "error" not in events
    assert "tunnelled packet" not in events
