"""What each metric should be, by arithmetic from a run's declaration; docs/model.md derives it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

from agents.config import MessageOrder
from agents.registration import EARLIEST_REFRESH
from agents.schemes import Delivery
from experiments.declare.deployment import Deployment, resolve
from experiments.declare.scenario import Flow
from experiments.measure.metrics import measure
from experiments.measure.records import Reason
from experiments.model.prediction import Prediction
from topologies.domain import LinkSettings
from topologies.timing import links_between

_WARM_UP = 30.0
_DIGITS = 4
"""Decimal places: to a tenth of a microsecond, more than the nanoseconds by which the model orders packets."""

_BY_CHANCE = (
    "packets_lost",
    *(reason.metric for reason in Reason),
    "packets_duplicated",
    "buffered_packets_max",
    "buffer_wait_ms",
    "first_packet_delay_ms",
)
_SIGNALLING = (
    "signalling_messages",
    "signalling_receptions",
    "signalling_bytes",
    "signalling_link_bytes",
    "signalling_delay_ms",
    "lma_control_messages",
)
_LOAD = ("lma_data_packets",)
_AROUND_MOVES = ("handover_interruption_ms", "l2_gap_ms")
_ORDER = ("packets_reordered",)
_DELAYS = ("one_way_delay_ms", "path_stretch", "first_packet_delay_ms", "signalling_delay_ms", "buffer_wait_ms", "buffered_packets_max")


def expect(run: Deployment) -> dict[str, float]:
    """Metric name to the value that the model expects; a metric about which it says nothing is left out.

    Where links lose packets only delays that a loss does not change are expected, and, without a handover and where all packets
    take one way, how many are lost on average. Jitter leaves delays and the order of packets open; open is, too, in which order packets
    come that come to a node together by ways alike. Where bindings are refreshed during the run, signalling is left out. Where sequence
    numbers order PBUs, a MAG may first have to learn the LMA's (RFC 5213, 5.5), and nothing is said of handovers. A packet lost
    without a reason is never expected, and of a run with faults nothing else is said.
    """
    known: dict[str, float] = {Reason.UNEXPLAINED.metric: 0}
    if run.faults:
        return known
    settings = run.settings
    prediction = Prediction(run)
    expected = {metric.name: round(metric.value, _DIGITS) for metric in measure(prediction.trace(), run)}
    links = (run.domain.access, *(link.settings for link in run.domain.links))
    unknown: list[str] = []
    if any(link.loss for link in links):
        unknown += [*_BY_CHANCE, *_SIGNALLING, *_LOAD, *_AROUND_MOVES]
    if settings.message_order is MessageOrder.SEQUENCE and run.scenario.moves and run.scheme.binding_update:
        unknown += [*_BY_CHANCE, *_SIGNALLING, *_LOAD, *_AROUND_MOVES, *_ORDER]
    if prediction.tied:
        unknown += _ORDER
    if any(link.jitter for link in links):
        unknown += [*_ORDER, *_DELAYS, *_AROUND_MOVES]
        if run.scenario.moves:
            unknown += [*_BY_CHANCE, *_SIGNALLING, *_LOAD]
    if settings.binding_lifetime * EARLIEST_REFRESH < run.scenario.duration + _WARM_UP:
        unknown += _SIGNALLING
    known = {name: value for name, value in expected.items() if name.partition("[")[0] not in unknown} | known
    if "packets_lost" in unknown and not run.scenario.moves and not run.scheme.localized_routing:
        known["packets_lost"] = sum(flow.packets * (1 - math.prod(_survival(run, flow))) for flow in run.scenario.flows)
    return known


_BOUNDED = ("one_way_delay_ms", "first_packet_delay_ms")


def bounds(run: Deployment) -> dict[str, tuple[float, float]]:
    """Metric name to the least and the most that it can be where links' delays are drawn.

    Each crossing takes the link's delay, up to its jitter less or more; so delays, and the median of many, lie between those of two
    networks whose links all take the least, and the most. Nothing is said where there is no jitter, or a loss or a fault that adds
    waiting times.
    """
    links = (run.domain.access, *(link.settings for link in run.domain.links))
    if run.faults or any(link.loss for link in links) or not any(link.jitter for link in links):
        return {}
    least, most = ({m.name: m.value for m in measure(Prediction(_at_edge(run, sign)).trace(), run)} for sign in (-1, 1))
    return {name: (least[name], most[name]) for name in _BOUNDED if name in least and name in most}


def _at_edge(run: Deployment, sign: int) -> Deployment:
    """The run with links that always take the least (-1) or the most (1) of their delays."""

    def settled(link: LinkSettings) -> LinkSettings:
        return replace(link, delay=max(0.0, link.delay + sign * link.jitter), jitter=0.0)

    links = tuple(replace(link, settings=settled(link.settings)) for link in run.domain.links)
    return resolve(replace(run.declared, domain=replace(run.domain, access=settled(run.domain.access), links=links)))


def _survival(run: Deployment, flow: Flow) -> Iterator[float]:
    """The probability that a packet of a flow survives each link on its way, the nodes where they are at first."""
    domain = run.domain
    mags = {host.name: host.mag for host in domain.hosts}
    stops = [mags[flow.source], mags[flow.destination]]
    if run.scheme.delivery is Delivery.DATA_DRIVEN:
        stops[1:1] = [anchor.name for anchor in run.anchors]
    yield (1 - domain.access.loss) ** 2
    for a, b in pairwise(stops):
        yield from (1 - link.loss for link in links_between(domain, a, b))
