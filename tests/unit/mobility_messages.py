"""Any message (hypothesis), and a plain walk over the options of a Mobility Header."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network

from hypothesis import strategies as st

from agents.config import QueryFlag
from agents.messages import (
    Authentication,
    BindingError,
    BindingRevocationAcknowledgement,
    BindingRevocationIndication,
    HandoverAcknowledge,
    HandoverInitiate,
    Heartbeat,
    LocalizedRoutingAcknowledgment,
    LocalizedRoutingInitiation,
    Message,
    MobileNode,
    ProxyBindingAcknowledgement,
    ProxyBindingUpdate,
    UpdateNotification,
    UpdateNotificationAcknowledgement,
)

octet = st.integers(0, 0xFF)
word = st.integers(0, 0xFFFF)
counter = st.integers(0, 0xFFFFFFFF)
addresses = st.integers(0, (1 << 128) - 1).map(IPv6Address)
prefixes = st.builds(lambda address, length: IPv6Network((address, length), strict=False), addresses, st.integers(0, 128))
query_flags = st.sampled_from(QueryFlag)
mn_ids = st.just("mn1@dmm.example") | st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
prefix_lists = st.lists(prefixes, max_size=4).map(tuple)
options = {
    "mn_id": st.none() | mn_ids,
    "home_network_prefixes": prefix_lists,
    "handoff_indicator": st.none() | octet,
    "access_technology": st.none() | octet,
    "link_layer_identifier": st.none() | st.binary(min_size=1, max_size=20) | st.binary(min_size=253, max_size=253),
    "link_local_address": st.none() | addresses,
    "timestamp": st.none() | st.integers(0, (1 << 64) - 1),
    "alternate_care_of": st.none() | addresses,
    "replay_protection": st.none() | st.integers(0, (1 << 64) - 1),
    "authentication": st.none()
    | st.builds(
        Authentication,
        subtype=octet,
        spi=st.integers(0, (1 << 32) - 1),
        data=st.binary(max_size=20) | st.binary(min_size=250, max_size=250),
    ),
}
revocation_flags = {"proxy": st.booleans(), "ipv4_only": st.booleans(), "all_bindings": st.booleans()}
handover_flags = {"buffer": st.booleans(), "forward": st.booleans()}
localized_routing = st.fixed_dictionaries(
    {"sequence": word, "lifetime": word, "mag_address": st.none() | addresses},
    optional={name: strategy for name, strategy in options.items() if name not in ("mn_id", "home_network_prefixes")},
)
routed_nodes = st.one_of(
    st.fixed_dictionaries({"mn_id": st.none() | mn_ids, "home_network_prefixes": prefix_lists}),
    st.fixed_dictionaries(
        {"mn_id": mn_ids, "home_network_prefixes": prefix_lists, "correspondent": st.builds(MobileNode, mn_ids, prefix_lists)}
    ),
)
messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(ProxyBindingUpdate, sequence=word, lifetime=word, query=st.booleans(), **options),
    st.builds(ProxyBindingAcknowledgement, status=octet, sequence=word, lifetime=word, query=st.booleans(), **options),
    st.builds(BindingError, status=octet, home_address=addresses, **options),
    st.builds(UpdateNotification, sequence=word, notification_reason=word, acknowledge=st.booleans(), retransmit=st.booleans(), **options),
    st.builds(UpdateNotificationAcknowledgement, sequence=word, status=octet, **options),
    st.builds(
        Heartbeat,
        sequence=counter,
        response=st.booleans(),
        unsolicited=st.booleans(),
        restart_counter=st.none() | counter,
        **options,
    ),
    st.builds(BindingRevocationIndication, sequence=word, trigger=octet, **revocation_flags, **options),
    st.builds(BindingRevocationAcknowledgement, sequence=word, status=octet, **revocation_flags, **options),
    st.builds(lambda nodes, said: LocalizedRoutingInitiation(**nodes, **said), routed_nodes, localized_routing),
    st.builds(
        lambda nodes, said, status, unsolicited: LocalizedRoutingAcknowledgment(**nodes, **said, status=status, unsolicited=unsolicited),
        routed_nodes,
        localized_routing,
        octet,
        st.booleans(),
    ),
    st.builds(HandoverInitiate, sequence=word, code=octet, anchor_address=st.none() | addresses, **handover_flags, **options),
    st.builds(HandoverAcknowledge, sequence=word, code=octet, **handover_flags, **options),
)


def walk(header: bytes, start: int) -> list[tuple[int, int, bytes]]:
    """Offset, type and data of each option, padding included."""
    found, at = [], start
    while at < len(header):
        size = 1 if header[at] == 0 else 2 + header[at + 1]
        found.append((at, header[at], header[at + 2 : at + size]))
        at += size
    assert at == len(header)
    return found


_STARTS: dict[type[Message], int] = {BindingError: 24, HandoverInitiate: 10, HandoverAcknowledge: 10}


def options_start(message: Message) -> int:
    return _STARTS.get(type(message), 12)
