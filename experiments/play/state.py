"""Writing down what the kernels of the agents' nodes hold when the scenario is over, as netlink shows it."""

from __future__ import annotations

import socket
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from typing import Any

from pyroute2.netlink import nla, nlmsg
from pyroute2.netlink.rtnl.fibmsg import fibmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from agents.linux.netlink import NLM_F_DUMP, RTM_GETLINK, RTM_GETROUTE, RTM_GETRULE, Netlink, Request, message
from experiments.declare import declarations
from experiments.declare.deployment import Deployment
from experiments.measure.node_state import FILE, ListedRoute, ListedRule, NodeState
from topologies.linux.build import Testbed

_LWTUNNEL_ENCAP_IP6 = 4
_UNICAST = 1
_EVERYTHING = "::"


def record(testbed: Testbed, run: Deployment, folder: Path) -> None:
    """Write the state of every node that runs an agent."""
    found = {}
    for agent in run.agents:
        with testbed.get(agent.name).within():
            found[agent.name] = _look()
    (folder / FILE).write_bytes(declarations.to_json(found))


class _Ip6Encapsulation(nla):  # type: ignore[misc]
    """RTA_ENCAP of type ``ip6`` (linux/lwtunnel.h), which pyroute2 does not know."""

    prefix = "LWTUNNEL_"
    nla_map = (
        ("LWTUNNEL_IP6_UNSPEC", "none"),
        ("LWTUNNEL_IP6_ID", "be64"),
        ("LWTUNNEL_IP6_DST", "ip6addr"),
        ("LWTUNNEL_IP6_SRC", "ip6addr"),
        ("LWTUNNEL_IP6_HOPLIMIT", "uint8"),
        ("LWTUNNEL_IP6_TC", "uint8"),
        ("LWTUNNEL_IP6_FLAGS", "be16"),
    )


rtmsg.encaps.setdefault(_LWTUNNEL_ENCAP_IP6, _Ip6Encapsulation)


def _look() -> NodeState:
    netlink = Netlink()
    try:
        links = {link["index"]: str(link.get_attr("IFLA_IFNAME")) for link in _list(netlink, RTM_GETLINK, ifinfmsg, socket.AF_UNSPEC)}
        routes = tuple(_route(route, links) for route in _list(netlink, RTM_GETROUTE, rtmsg, socket.AF_INET6))
        rules = tuple(_rule(rule) for rule in _list(netlink, RTM_GETRULE, fibmsg, socket.AF_INET6))
    finally:
        netlink.close()
    return NodeState(tuple(links.values()), routes, rules)


def _list(netlink: Netlink, request: int, kind: type[nlmsg], family: int) -> list[nlmsg]:
    return netlink.dump(Request("list the kernel's state", request, NLM_F_DUMP, message(kind, [], family=family)), kind)


def _route(route: nlmsg, links: dict[int, str]) -> ListedRoute:
    encapsulation = route.get_attr("RTA_ENCAP")
    care_of = encapsulation.get_attr("LWTUNNEL_IP6_DST") if encapsulation else None
    return ListedRoute(
        prefix=IPv6Network((route.get_attr("RTA_DST") or _EVERYTHING, route["dst_len"])),
        table=_table(route, "RTA_TABLE"),
        link=links.get(route.get_attr("RTA_OIF")),
        care_of=None if care_of is None else IPv6Address(care_of),
        unicast=route["type"] == _UNICAST,
    )


def _rule(rule: nlmsg) -> ListedRule:
    priority, protocol, address = rule.get_attr("FRA_PRIORITY") or 0, rule.get_attr("FRA_IP_PROTO"), rule.get_attr("FRA_SRC")
    source = None if address is None else IPv6Network((address, rule["src_len"]))
    return ListedRule(priority, _table(rule, "FRA_TABLE"), rule.get_attr("FRA_IIFNAME"), protocol, source)


def _table(listed: Any, attribute: str) -> int:
    return int(listed.get_attr(attribute) or listed["table"])
