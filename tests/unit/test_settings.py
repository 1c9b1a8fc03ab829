"""Settings by dotted name: what they change, and what is refused in one line."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address
from typing import Any

import pytest

from agents.config import FirstPacket, MessageOrder, QueryFlag, Settings
from experiments.catalogue import CATALOGUE
from experiments.declare import settings
from experiments.declare.selection import Selection, SelectionError, select
from topologies.domain import LinkKind
from topologies.units import UnitError

HANDOVER = CATALOGUE["handover"]


def chosen(*assignments: str, **options: Any) -> Selection:
    selection = select(HANDOVER, assignments=assignments, **options)
    assert selection is not None
    return selection


def test_link_settings_change_the_domain() -> None:
    domain = chosen("access.delay=3ms", "lma.delay=0.1s", "mag.loss=2%").experiment.domain
    assert domain.access.delay == pytest.approx(0.003)
    assert {link.settings.delay for link in domain.links if link.kind is LinkKind.LMA} == {0.1}
    assert {link.settings.loss for link in domain.links if link.kind is LinkKind.MAG} == {0.02}


def test_scenario_settings_change_flows_and_moves() -> None:
    scenario = chosen("flow.rate=250", "flow.size=500", "move.gap=80ms").experiment.scenario
    assert [(flow.rate, flow.size) for flow in scenario.flows] == [(250.0, 500)]
    assert [move.l2_gap for move in scenario.moves] == [pytest.approx(0.08)] * 2


def test_agent_settings_are_kept_by_name_and_read_by_type() -> None:
    kept = chosen("query.lifetime=12s", "buffer.packets=0", "first_packet=multicast", "query.flag=unassigned").settings
    assert kept == {"query.lifetime": "12s", "buffer.packets": "0", "first_packet": "multicast", "query.flag": "unassigned"}
    read = settings.agent_settings(kept)
    assert (read.query_lifetime, read.buffer_packets) == (12.0, 0)
    read = settings.agent_settings(
        {"message_order": "sequence", "local_routing": "on", "link_local": "::", "link_layer": "02:00:00:00:00:FF"}
    )
    assert (read.message_order, read.local_routing, read.link_layer) == ("sequence", True, "02:00:00:00:00:ff")
    assert int(read.link_local) == 0


def test_choices_are_read_by_name() -> None:
    read = settings.agent_settings({"first_packet": "multicast", "query.flag": "unassigned", "message_order": "node-timestamp"})
    assert (read.first_packet, read.query_flag, read.message_order) == (
        FirstPacket.MULTICAST,
        QueryFlag.UNASSIGNED,
        MessageOrder.NODE_TIMESTAMP,
    )


def test_addresses_of_access_links_are_those_that_rfc_6543_reserves() -> None:
    read = settings.agent_settings({})
    assert read.link_layer.replace(":", "-").upper() == "00-00-5E-00-52-13"
    assert read.link_local == IPv6Address("fe80::") + 0x02005EFFFE005213


def test_every_agent_setting_can_be_given_its_own_default() -> None:
    listed = {row.name: row.default for row in settings.rows()["Agents"]}
    assert settings.agent_settings({name: text.replace("none", "") for name, text in listed.items()}) == Settings()


@pytest.mark.parametrize("name", settings.KNOWN)
def test_both_ends_of_a_range_are_let_in_and_nothing_beyond(name: str) -> None:
    setting = settings.KNOWN[name]
    assert setting.meaning
    for end, beyond in ((setting.least, -1), (setting.most, 1)):
        if end is None:
            continue
        assert setting.read(setting.kind.show(end)) == pytest.approx(end)
        outside = setting.kind.show(end * (1 + beyond / 10) if end > 100 or isinstance(end, float) else end + beyond)
        if outside != setting.kind.show(end):
            with pytest.raises(UnitError, match="expected"):
                setting.read(outside)


def test_numbers_and_times_all_have_a_range() -> None:
    countable = {"a time", "a rate", "a probability", "a number", "a whole number"}
    assert [name for name, s in settings.KNOWN.items() if s.kind.what in countable and None in (s.least, s.most)] == []


def test_the_page_is_what_the_code_says() -> None:
    assert settings.PAGE.read_text(encoding="utf-8") == settings.page(), "`.venv/bin/python -m experiments.declare.settings` writes it anew"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("access.delay", "expected name=value"),
        ("acess.delay=3ms", "did you mean access.delay?"),
        ("access.delay=3", "access.delay: expected"),
        ("access.delay=3parsecs", "access.delay: expected"),
        ("access.loss=130%", "access.loss: expected"),
        ("buffer.packets=-1", "buffer.packets: expected a whole number"),
        ("first_packet=drop", "first_packet: expected buffer or multicast"),
        ("flow.rate=0", "flow.rate: expected a number above 0"),
        ("local_routing=maybe", "local_routing: expected on or off"),
        ("link_local=2001:db8::1", "link_local: expected a link-local address or ::"),
        ("link_local=fe80", "link_local: expected a link-local address or ::"),
        ("link_layer=5e:0", "link_layer: expected a link-layer address"),
        ("query.rate=nan", "query.rate: expected a number above 0"),
        ("authentication.key=secret", "authentication.key: a key is 32 hexadecimal digits"),
        ("flow.size=70000", "flow.size: expected a whole number from 10 to 65527"),
        ("flow.size=9", "flow.size: expected a whole number from 10 to 65527"),
        ("flow.rate=20000", "flow.rate: expected a number from 0.01 to 10000"),
        ("lma.rate=50Gbit", "lma.rate: expected a rate from 10kbit to 10Gbit"),
        ("access.loss=100%", "access.loss: expected a probability from 0% to 90%"),
        ("mag.delay=2s", "mag.delay: expected a time from 0 to 1s"),
        ("query.tries=0", "query.tries: expected a whole number from 1 to 100"),
        ("query.margin=9s", "query.margin=9s is more than query.lifetime=8s"),
        ("binding.timeout=33s", "binding.timeout=33s is more than binding.timeout_max=32s"),
        ("authentication.spi=255", "authentication.spi: expected a whole number from 256 to 4294967295"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(text: str, says: str) -> None:
    with pytest.raises(settings.SettingError, match=says.replace("?", "[?]")) as refused:
        chosen(text)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("flow.rate=0.01", "flow 0 would send 0 packets in 30 s; change flow.rate"),
        ("move.gap=10s", "the move of mn1 at 20.007 s, with 0.1 s of notice, begins before 20.007 s"),
        ("move.gap=9.95s", "the move of mn1 at 20.007 s, with 0.1 s of notice, begins before 19.957 s"),
        ("mag.delay=290ms", "a PBU takes 0.31 s from mag3 to lma"),
    ],
)
def test_a_scenario_of_which_nothing_can_come_is_refused_in_one_line(text: str, says: str) -> None:
    with pytest.raises(SelectionError, match=says) as refused:
        chosen(text)
    assert "\n" not in str(refused.value)


def test_a_move_must_end_within_the_scenario() -> None:
    once = replace(HANDOVER, scenario=replace(HANDOVER.scenario, moves=HANDOVER.scenario.moves[:1]))
    with pytest.raises(SelectionError, match=r"mn1 would have its link again at 32.007 s, after the scenario's end at 31 s"):
        select(once, assignments=["move.gap=22s"])


def test_a_long_way_to_the_lma_needs_a_longer_window_where_timestamps_count() -> None:
    assert chosen("mag.delay=400ms", "timestamp_window=1s")
    assert chosen("mag.delay=400ms", "message_order=sequence")
    assert chosen("mag.delay=400ms", schemes=["none", "sd-pmip"])


@pytest.mark.parametrize("name", CATALOGUE)
@pytest.mark.parametrize("policies", [(), ("all",)])
def test_all_of_the_catalogue_can_work(name: str, policies: tuple[str, ...]) -> None:
    assert select(CATALOGUE[name], policies=policies)


def test_schemes_and_policies_select_cases() -> None:
    cases = chosen(schemes=["none", "pmip"]).experiment.cases
    assert [(case.scheme, case.policy) for case in cases] == [("none", "none"), ("pmip", "anchor")]
    everything = chosen(schemes=["s-pmip"], policies=["all"]).experiment.cases
    assert {case.policy for case in everything} >= {"notify", "error", "expire"}
    assert select(CATALOGUE["fig1"], schemes=["pmip"]) is None


def test_a_policy_or_a_network_that_does_not_fit_is_refused() -> None:
    with pytest.raises(SelectionError, match="no policy is called 'hope'"):
        chosen(policies=["hope"])


def test_a_network_without_the_scenario_s_nodes_is_refused(tmp_path: object) -> None:
    with pytest.raises(SelectionError, match="needs mag3"):
        select(CATALOGUE["handover"], domain=_small_domain(tmp_path))


def _small_domain(folder: object) -> str:
    path = f"{folder}/small.toml"
    with open(path, "w") as file:
        file.write(
            'name = "small"\n[access]\ndelay = "2ms"\n[[mags]]\nname = "mag1"\n[[mags]]\nname = "mag2"\n'
            '[[hosts]]\nname = "cn1"\nmag = "mag1"\n[[hosts]]\nname = "mn1"\nmag = "mag2"\n'
            '[[core]]\nname = "s1"\n[[links]]\na = "mag1"\nb = "s1"\n[[links]]\na = "mag2"\nb = "s1"\n'
        )
    return path
