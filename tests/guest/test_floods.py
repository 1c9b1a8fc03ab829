"""What floods can take: neighbours, the journal, the queues of sockets. All of it is counted; nothing is timed."""

from __future__ import annotations

import time
from collections import Counter
from ipaddress import IPv6Address

from agents.config import FIXED_LINK_LAYER
from agents.linux.daemon import STRANGERS_RATE
from agents.linux.neighbours import REMEMBERED, SIGNALLING_BURST, SIGNALLING_RATE
from experiments.declare.forgeries import STRANGER
from tests.guest.lab import AGENTS, PREFIXES, STATIONS, Lab
from tests.guest.packets import data, neighbour_solicitation, nonsense, router_solicitation
from tests.guest.senders import send_frames

SPOKEN = IPv6Address("fe80::1:0")
"""From here on are the link-local addresses that a node solicits from."""


def neighbours(lab: Lab, node: str) -> int:
    """How many neighbours a node's kernel keeps on its access links, those that it seeks included."""
    return sum("-air" in line and "PERMANENT" not in line for line in lab.ip(node, "-6", "neigh", "show", "nud", "all").splitlines())


def told(lab: Lab, node: str) -> Counter[tuple[str, str]]:
    """How often something happened, and for what reason, by what the journal's lines count."""
    events: Counter[tuple[str, str]] = Counter()
    for line in lab.journal(node):
        events[line["event"], line.get("reason", "")] += line.get("times", 1)
    return events


def test_solicitations_from_ever_new_sources_leave_room_for_others(lab: Lab) -> None:
    lab.begin("s-pmip", "mn1")
    solicitations = [neighbour_solicitation(SPOKEN + number, STATIONS["mn1"]) for number in range(4000)]
    with lab.flood("mn1", solicitations, 400, send_frames, FIXED_LINK_LAYER):
        assert 10 < neighbours(lab, "mag1") <= REMEMBERED
        assert lab.pings("cn1", lab.attach("cn1", "mag1"), 3) == 3


def test_a_scan_of_a_prefix_costs_its_node_nothing(lab: Lab) -> None:
    address, scanner = lab.begin("s-pmip", "mn1", "cn1")
    assert lab.pings("cn1", address, 2) == 2
    with lab.flood("cn1", [data(scanner, PREFIXES["mn1"][0x5000_0000 + number]) for number in range(10_000)], 400):
        assert 10 < neighbours(lab, "mag1") <= REMEMBERED
        lab.ip("mag1", "link", "set", "mn1-air", "down")
        time.sleep(0.5)
        lab.ip("mag1", "link", "set", "mn1-air", "up")
        time.sleep(0.5)
        assert lab.pings("cn1", address, 5) == 5


def test_nonsense_of_a_node_is_limited_before_it_is_read(lab: Lab) -> None:
    (own,) = lab.begin("s-pmip", "mn1")
    began = time.time()
    with lab.flood("mn1", [nonsense(own, AGENTS["mag1"])] * 10_000, 1000):
        lab.attach("cn1", "mag1")
    lasted = time.time() - began + 2
    events = told(lab, "mag1")
    assert events["malformed", ""] == events["ignored", "malformed"] <= SIGNALLING_BURST + SIGNALLING_RATE * lasted
    assert len(lab.journal("mag1", "malformed")) <= 21 * lasted


def test_nonsense_of_a_stranger_is_read_by_the_ration_and_no_peer_waits(lab: Lab) -> None:
    lab.begin("s-pmip", "mn1")
    to_mag, to_lma = ([nonsense(STRANGER, AGENTS[name])] * 10_000 for name in ("mag1", "lma"))
    began = time.time()
    with lab.flood("stranger", to_mag, 1000), lab.flood("stranger", to_lma, 1000):
        lab.attach("cn1", "mag1")
    lasted = time.time() - began + 2
    for node in ("mag1", "lma"):
        assert STRANGERS_RATE <= told(lab, node)["malformed", ""] <= STRANGERS_RATE * lasted
        assert len(lab.journal(node, "malformed", "ignored")) <= 2 * 21 * lasted
    assert [line["packets"] > 0 for line in lab.journal("mag1", "not read")]


def test_router_solicitations_are_answered_a_few_times_a_second(lab: Lab) -> None:
    lab.begin("s-pmip", "mn1")
    with lab.flood("mn1", [router_solicitation(SPOKEN + 1)] * 10_000, 1000, send_frames, "33:33:00:00:00:02"):
        lab.attach("cn1", "mag1")
    events = told(lab, "mag1")
    assert events["ignored", "too often"] > 10
    assert events["advertised", ""] < 60
    assert len(lab.journal("mag1")) < 500
