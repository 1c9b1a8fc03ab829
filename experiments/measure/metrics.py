"""From a trace to metrics, and metrics to metrics.csv and summary.csv; what each metric means stands in docs/metrics.md."""

from __future__ import annotations

import csv
import io
import math
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields, replace
from itertools import accumulate, pairwise
from operator import attrgetter
from pathlib import Path
from statistics import fmean, median

from experiments.declare import files
from experiments.declare.deployment import Deployment
from experiments.declare.scenario import Flow
from experiments.measure.records import Metric, Packet, Reason, SeenAssociation, Signal, SummaryRow, Trace
from experiments.measure.recovery import recovery
from experiments.measure.statistics import describe
from experiments.measure.study import RunResult
from topologies.domain import Domain
from topologies.routing import agents, path_delay, paths
from topologies.timing import SECOND, nanoseconds

MILLISECONDS = "ms"
PACKETS = "packets"
MESSAGES = "messages"
BYTES = "bytes"
RATIO = "1"

HELD = 1_000_000
"""A packet that spends longer than this many ns in a MAG before its agent lets it go was buffered there; forwarding takes microseconds."""

_ANSWERS = {"PBU": "PBA", "PBQ": "PQA"}
_DISCOVERY = ("RS", "RA")
_MS = 1_000_000


class MetricsFileError(ValueError):
    """A metrics.csv or summary.csv that cannot be read; the message names the file, the line and what was expected."""


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One line of metrics.csv; ``run`` is the run's number, ``policy`` the case's label."""

    experiment: str
    scheme: str
    policy: str
    run: int
    metric: str
    value: float
    unit: str


def measure(trace: Trace, run: Deployment) -> tuple[Metric, ...]:
    """Every metric that the trace of a run gives; one without a meaning there (no handover, no query) is left out."""
    places = Places(run, trace)
    signals = _signalling(trace, run)
    return (
        *_delays(trace),
        *_series("handover_interruption_ms", [duration for _, duration in _interruptions(trace, run)]),
        *_series("l2_gap_ms", [duration for _, duration in _gaps(trace, run)]),
        *_series("signalling_delay_ms", _exchanges(signals), each=False),
        *_counts(trace),
        *_buffering(trace, run),
        Metric("signalling_messages", len(signals), MESSAGES),
        Metric("signalling_receptions", _receptions(signals, run.domain), MESSAGES),
        Metric("signalling_bytes", sum(signal.size for signal in signals), BYTES),
        Metric("signalling_link_bytes", _link_bytes(signals, run.domain), BYTES),
        Metric("lma_control_messages", _at_lma(signals, run), MESSAGES),
        Metric("lma_data_packets", trace.lma_data_packets, PACKETS),
        *_stretch(trace, run, places),
        *_recovery(trace, run),
    )


@dataclass(frozen=True, slots=True)
class Occasion:
    """What a metric with a number, such as ``handover_interruption_ms[2]``, is about: an association and, of one flow, that too."""

    association: SeenAssociation
    flow: Flow | None = None


def occasions(trace: Trace, run: Deployment) -> dict[str, Occasion]:
    """Metric with a number to what it is about, for all that ``measure`` gives."""
    found = {"handover_interruption_ms": _interruptions(trace, run), "l2_gap_ms": _gaps(trace, run)}
    return {f"{name}[{number}]": occasion for name, of in found.items() for number, (occasion, _) in enumerate(of, 1)}


class Places:
    """Which MAG each host is attached to, and when."""

    def __init__(self, run: Deployment, trace: Trace) -> None:
        self._mags = {host.name: [host.mag] for host in run.domain.hosts}
        self._times: dict[str, list[int]] = {host.name: [] for host in run.domain.hosts}
        for association in trace.associations:
            self._mags[association.node].append(association.mag)
            self._times[association.node].append(association.time)

    def at(self, host: str, time: int) -> str:
        """The MAG that ``host`` was last associated with at ``time``."""
        return self._mags[host][bisect_right(self._times[host], time)]


def _series(name: str, durations: Sequence[float], each: bool = True) -> Iterator[Metric]:
    """The mean of some durations in ns and, where there are several, each by its number from 1."""
    if durations:
        yield Metric(name, fmean(durations) / _MS, MILLISECONDS)
    if each and len(durations) > 1:
        for number, duration in enumerate(durations, 1):
            yield Metric(f"{name}[{number}]", duration / _MS, MILLISECONDS)


# Test packets


def _flows(trace: Trace) -> Mapping[int, list[Packet]]:
    flows: dict[int, list[Packet]] = defaultdict(list)
    for packet in trace.packets:
        flows[packet.flow].append(packet)
    return flows


def _held(packet: Packet) -> Iterator[tuple[str, int, int]]:
    """The MAGs that buffered a packet, each with when it came there and when it went on, through a tunnel or to be delivered."""
    for node, came in packet.seen.items():
        left = min((of[node] for of in (packet.tunnelled, packet.released) if node in of), default=came)
        if left - came > HELD:
            yield node, came, left


def _delays(trace: Trace) -> Iterator[Metric]:
    first = [packet.received - packet.sent for packet in trace.packets if packet.sequence == 0 and packet.received is not None]
    yield from _series("first_packet_delay_ms", first, each=False)
    delays = [p.received - p.sent for p in trace.packets if p.received is not None and not any(_held(p))]
    if delays:
        yield Metric("one_way_delay_ms", median(delays) / _MS, MILLISECONDS)


def _gaps(trace: Trace, run: Deployment) -> list[tuple[Occasion, float]]:
    """How long the radio was away at each handover, in ns."""
    after = [association for association in trace.associations if association.time >= run.epoch]
    return [(Occasion(moved), moved.time - moved.last_frame) for moved in after if moved.last_frame is not None]


def _interruptions(trace: Trace, run: Deployment) -> list[tuple[Occasion, float]]:
    """How long each handover interrupted each flow of the node that moved, in ns; in order of the handovers."""
    flows = _flows(trace)
    found = []
    for association in trace.associations:
        if association.time < run.epoch:
            continue
        for number, flow in enumerate(run.scenario.flows):
            if association.node not in (flow.source, flow.destination):
                continue
            received = sorted((p.received, p.sent) for p in flows[number] if p.received is not None)
            by_arrival = association.node == flow.destination
            before = [at for at, sent in received if (at if by_arrival else sent) < association.time]
            after = [at for at, sent in received if (at if by_arrival else sent) >= association.time]
            last = max(flows[number], key=attrgetter("sent"), default=None)
            if before and last is not None and (after or last.received is None):
                end = after[0] if after else last.sent
                found.append((Occasion(association, flow), max(0.0, end - before[-1] - SECOND / flow.rate)))
    return found


def _counts(trace: Trace) -> Iterator[Metric]:
    yield Metric("packets_sent", len(trace.packets), PACKETS)
    yield Metric("packets_lost", sum(packet.received is None for packet in trace.packets), PACKETS)
    reasons = Counter(loss.reason for loss in trace.losses)
    yield from (Metric(reason.metric, reasons[reason], PACKETS) for reason in Reason)
    yield Metric("packets_duplicated", sum(max(0, packet.copies - 1) for packet in trace.packets), PACKETS)
    yield Metric("packets_reordered", sum(map(_reordered, _flows(trace).values())), PACKETS)


def _reordered(packets: Iterable[Packet]) -> int:
    """How many packets of a flow arrived after one with a higher sequence number (RFC 4737, 3.3)."""
    order = [s for *_, s in sorted((packet.received, packet.order, packet.sequence) for packet in packets if packet.received is not None)]
    return sum(sequence < highest for highest, sequence in zip(accumulate(order, max), order[1:], strict=False))


def _buffering(trace: Trace, run: Deployment) -> Iterator[Metric]:
    queues: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for packet in trace.packets:
        for mag, came, left in _held(packet):
            queues[mag, run.scenario.flows[packet.flow].destination].append((came, left))
    yield Metric("buffered_packets_max", max(map(_most_at_once, queues.values()), default=0), PACKETS)
    stays = [left - came for queue in queues.values() for came, left in queue]
    if stays:
        yield Metric("buffer_wait_ms", max(stays) / _MS, MILLISECONDS)


def _most_at_once(stays: Iterable[tuple[int, int]]) -> int:
    changes = sorted(change for came, left in stays for change in ((came, 1), (left, -1)))
    return max(accumulate(step for _, step in changes))


def _stretch(trace: Trace, run: Deployment, places: Places) -> Iterator[Metric]:
    direct: dict[tuple[str, str], float] = {}
    stretches = []
    for packet in trace.packets:
        if packet.received is None or any(_held(packet)):
            continue
        flow = run.scenario.flows[packet.flow]
        ends = places.at(flow.source, packet.sent), places.at(flow.destination, packet.received)
        if ends not in direct:
            direct[ends] = direct_delay(run.domain, *ends)
        if direct[ends] > 0:
            stretches.append((packet.received - packet.sent) / (direct[ends] * SECOND))
    if stretches:
        yield Metric("path_stretch", median(stretches), RATIO)


def _recovery(trace: Trace, run: Deployment) -> Iterator[Metric]:
    taken = recovery(trace, run) if run.faults else None
    if taken is not None:
        yield Metric("recovery_ms", taken * 1e3, MILLISECONDS)


def direct_delay(domain: Domain, source_mag: str, destination_mag: str) -> float:
    """The declared delay of the shortest path between two hosts on these MAGs, in s."""
    return 2 * domain.access.delay + (path_delay(domain, source_mag, destination_mag) if source_mag != destination_mag else 0.0)


# Signalling


def _signalling(trace: Trace, run: Deployment) -> list[Signal]:
    """The Mobility Header messages sent during the scenario."""
    end = run.epoch + nanoseconds(run.scenario.duration)
    return [signal for signal in trace.signals if signal.kind not in _DISCOVERY and run.epoch <= signal.sent < end]


def _exchanges(signals: Iterable[Signal]) -> list[int]:
    """How long each answered request took, in ns, from its first sending to the arrival of the answer; retransmissions belong to it.

    A repeated PBQ keeps its sequence number, a repeated PBU (RFC 6275, 11.8) does not. De-registrations open no path and do not count.
    """
    events = sorted(
        [(signal.sent, 0, signal.sender, signal) for signal in signals if signal.kind in _ANSWERS and signal.lifetime != 0]
        + [(time, 1, node, signal) for signal in signals for node, time in signal.arrivals if signal.kind in _ANSWERS.values()],
        key=lambda event: event[:3],
    )
    waiting: dict[tuple[str, str, str | int | None], int] = {}
    requests: dict[tuple[str, str, int | None], tuple[str, str, str | int | None]] = {}
    durations = []
    for time, answer, node, signal in events:
        if not answer:
            kind = _ANSWERS[signal.kind]
            request = node, kind, signal.mn_id or signal.sequence
            waiting.setdefault(request, time)
            requests[node, kind, signal.sequence] = request
        elif (known := requests.pop((node, signal.kind, signal.sequence), None)) in waiting and known is not None:
            durations.append(time - waiting.pop(known))
    return durations


def _receptions(signals: Iterable[Signal], domain: Domain) -> int:
    """How often messages arrived at agents; the routers that they pass are none."""
    receivers = {agent.name for agent in agents(domain)}
    return sum(node in receivers for signal in signals for node, _ in signal.arrivals)


def _link_bytes(signals: Iterable[Signal], domain: Domain) -> int:
    """The octets of all messages, times the core links that each crossed on its way to those that it arrived at.

    One to a group crosses each link once.
    """
    ways = {sender: paths(domain, sender) for sender in {signal.sender for signal in signals}}
    total = 0
    for signal in signals:
        receivers = {node for node, _ in signal.arrivals}
        total += signal.size * len({frozenset(hop) for receiver in receivers for hop in pairwise(ways[signal.sender].get(receiver, ()))})
    return total


def _at_lma(signals: Iterable[Signal], run: Deployment) -> int:
    lmas = run.lma_names
    return sum(signal.sender in lmas or any(node in lmas for node, _ in signal.arrivals) for signal in signals)


# The files


def rows(results: Iterable[RunResult]) -> Iterator[MetricRow]:
    """The lines of metrics.csv, in order of the runs; runs that failed have none."""
    for result in results:
        if result.failure is None:
            run = result.run
            for metric in result.metrics:
                yield MetricRow(
                    run.declared.experiment, run.case.scheme, run.case.label, run.number, metric.name, metric.value, metric.unit
                )


def without_idle_reasons(results: Sequence[RunResult]) -> tuple[RunResult, ...]:
    """The same runs without the ``lost_`` metrics of reasons for which not one of them lost a packet, or should have."""
    metrics = [metric for result in results for metric in result.metrics]
    idle = {reason.metric for reason in Reason} - {metric.name for metric in metrics if metric.value or metric.expected}
    return tuple(replace(result, metrics=tuple(m for m in result.metrics if m.name not in idle)) for result in results)


def summarise(results: Iterable[RunResult]) -> tuple[SummaryRow, ...]:
    """The lines of summary.csv: per case and metric over its runs, in the order in which they first come; failed runs do not count."""
    groups: dict[tuple[str, str, str, str, str], list[Metric]] = defaultdict(list)
    for result in results:
        if result.failure is None:
            case = result.run.case
            for metric in result.metrics:
                groups[result.run.declared.experiment, case.scheme, case.label, metric.name, metric.unit].append(metric)
    found = []
    for (experiment, scheme, policy, name, unit), metrics in groups.items():
        of = describe([metric.value for metric in metrics])
        expected = [metric.expected for metric in metrics if metric.expected is not None]
        mean = fmean(expected) if expected else None
        found.append(SummaryRow(experiment, scheme, policy, name, of.n, of.mean, of.sd, of.ci95, mean, unit))
    return tuple(found)


def write_metrics(path: Path, results: Iterable[RunResult]) -> None:
    """Write metrics.csv: times to the nanosecond, counts as whole numbers."""
    _write(path, MetricRow, ((*astuple(row)[:5], _value(row.value, row.unit), row.unit) for row in rows(results)))


def write_summary(path: Path, summary: Iterable[SummaryRow]) -> None:
    """Write summary.csv; an expectation that does not exist is empty."""
    _write(path, SummaryRow, (tuple(_cell(value) for value in astuple(row)) for row in summary))


def read_metrics(path: Path) -> tuple[MetricRow, ...]:
    """The rows of a metrics.csv; MetricsFileError where it is none."""
    return tuple(
        MetricRow(row["experiment"], row["scheme"], row["policy"], int(row["run"]), row["metric"], float(row["value"]), row["unit"])
        for row in _read(path, MetricRow, ("run", "value"))
    )


def read_summary(path: Path) -> tuple[SummaryRow, ...]:
    """The rows of a summary.csv; MetricsFileError where it is none."""
    return tuple(
        SummaryRow(
            experiment=row["experiment"],
            scheme=row["scheme"],
            policy=row["policy"],
            metric=row["metric"],
            n=int(row["n"]),
            mean=float(row["mean"]),
            sd=float(row["sd"]),
            ci95=float(row["ci95"]),
            expected=float(row["expected"]) if row["expected"] else None,
            unit=row["unit"],
        )
        for row in _read(path, SummaryRow, ("n", "mean", "sd", "ci95"))
    )


def _value(value: float, unit: str) -> str:
    return f"{value:.6f}" if unit in (MILLISECONDS, RATIO) else f"{value:.0f}"


def _cell(value: str | float | None) -> str:
    if value is None:
        return ""
    return f"{value:.6f}" if isinstance(value, float) else str(value)


def _write(path: Path, kind: type, lines: Iterable[Sequence[object]]) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(field.name for field in fields(kind))
    writer.writerows(lines)
    files.write(path, text.getvalue())


def _read(path: Path, kind: type, numbers: Sequence[str]) -> list[dict[str, str]]:
    names = [field.name for field in fields(kind)]
    try:
        reader = csv.DictReader(io.StringIO(files.read(path).decode(), newline=""))
        found = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MetricsFileError(f"{path.name}: {error}") from None
    if reader.fieldnames != names:
        raise MetricsFileError(f"{path.name}: expected the columns {','.join(names)}")
    for line, row in enumerate(found, 2):
        for name in numbers:
            try:
                if math.isnan(float(row[name])):
                    raise ValueError
            except (TypeError, ValueError):
                raise MetricsFileError(f"{path.name}, line {line}: expected a number as {name}, not {row[name]!r}") from None
    return found
