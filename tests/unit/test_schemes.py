"""Table 1 of the draft as data, and that each row makes the agents behave as it says."""

from __future__ import annotations

import pytest
from memory_network import MemoryNetwork

from agents.policies import POLICIES
from agents.schemes import SCHEMES, Architecture, Delivery, Query

TABLE_1 = {
    "PMIP": ("MAG LMA", "centralized", "Used", "data driven", "not used"),
    "S-PMIP": ("MAG LMA", "partially distributed", "Used", "signal driven", "unicast"),
    "SD-PMIP": ("MAG", "fully distributed", "Not Used", "signal driven", "multicast"),
}


def test_the_rows_are_those_of_table_1() -> None:
    rows = {
        row.title: (" ".join(row.agents), row.architecture, "Used" if row.binding_update else "Not Used", row.delivery, row.query)
        for row in SCHEMES.values()
        if row.architecture is not Architecture.NONE and not row.localized_routing
    }
    assert rows == TABLE_1


def test_only_plain_routing_has_no_home_prefixes() -> None:
    assert [row.name for row in SCHEMES.values() if not row.home_prefixes] == ["none"]


def test_every_policy_that_a_scheme_supports_exists_and_the_default_is_the_first() -> None:
    for row in SCHEMES.values():
        assert set(row.policies) <= set(POLICIES)
        assert row.default_policy == row.policies[0]
    assert SCHEMES["s-pmip"].default_policy == "notify"
    assert SCHEMES["sd-pmip"].default_policy == "error"


@pytest.mark.parametrize("scheme", ["pmip", "pmip-lr", "s-pmip", "sd-pmip"])
def test_the_agents_signal_what_their_row_says(scheme: str) -> None:
    row = SCHEMES[scheme]
    network = MemoryNetwork(scheme, policy=row.policies[-1])
    network.attach(1, 1)
    network.attach(2, 2)
    network.run(1)
    assert bool(network.kinds("PBU")) == row.binding_update
    assert network.kinds("PBQ") == []
    network.send(1, 2)
    network.run(2)
    assert network.serials_delivered == [0]
    assert bool(network.kinds("PBQ")) == (row.query is not Query.NONE) == (row.delivery is Delivery.SIGNAL_DRIVEN)
    assert bool(network.kinds("LRI")) == row.localized_routing
    assert bool(network.mag(1).uplinks) == (row.delivery is Delivery.DATA_DRIVEN)
