"""state.json: what the agents' nodes hold when the scenario is over, from their forwarding information bases."""

from __future__ import annotations

from pathlib import Path

from agents.fib import ACCESS, LOCALIZED, MAIN, TRIGGER, TUNNEL, UPLINK, RouteKind, RuleAction
from experiments.declare import declarations
from experiments.measure.node_state import FILE, ListedRoute, ListedRule, NodeState
from experiments.simulate.network import Network
from experiments.simulate.node import Node


def record(network: Network, folder: Path) -> None:
    """Write the state of every node that runs an agent."""
    (folder / FILE).write_bytes(declarations.to_json({name: _state(node) for name, node in network.nodes.items()}))


def _state(node: Node) -> NodeState:
    fib = node.fib
    devices = ["lo", *([TRIGGER] if node.queries and node.process else []), *([TUNNEL] if node.tunnels else []), node.config.core]
    routes = (route for table in (ACCESS, UPLINK, LOCALIZED, MAIN) for route in fib.routes(table))
    return NodeState(
        links=(*devices, *node.links),
        routes=tuple(ListedRoute(r.prefix, r.table, r.device, r.care_of, r.kind is RouteKind.UNICAST) for r in routes),
        rules=tuple(
            ListedRule(rule.priority, rule.target if rule.action is RuleAction.TO_TABLE else 0, rule.link, None, rule.source)
            for rule in sorted(fib.rules(), key=lambda rule: rule.priority)
        ),
    )
