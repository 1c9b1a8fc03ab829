"""How schemes, policies and metrics look and are called, the same in every plot, ladder, report and terminal table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from agents.schemes import SCHEMES
from experiments.declare.scenario import Case
from experiments.measure.records import Reason

INK = "#1a1a1a"
MUTED = "#6b6b6b"
RULE = "#e2e2e2"
GAP = "#dcdcdc"
FAULT = "#fbe3dc"
EXPECTED = "#1a1a1a"
FONT = "DejaVu Sans"
MOST_MOVES = 4
"""So many handovers are drawn one beside the other; of more, a figure shows how they are distributed."""

_COLOURS: Mapping[str, str] = MappingProxyType(
    {"none": "#767676", "pmip": "#d55e00", "pmip-lr": "#cc79a7", "s-pmip": "#0072b2", "sd-pmip": "#009e73"}
)
_OTHER_COLOURS = ("#e69f00", "#56b4e9", "#f0e442")


def colour(scheme: str) -> str:
    """A scheme's colour, of the palette of Okabe and Ito that colour-blind readers can tell apart."""
    if scheme in _COLOURS:
        return _COLOURS[scheme]
    others = [name for name in SCHEMES if name not in _COLOURS]
    return _OTHER_COLOURS[(others.index(scheme) if scheme in others else 0) % len(_OTHER_COLOURS)]


_HATCHES: Mapping[str, str] = MappingProxyType(
    {"none": "", "anchor": "", "notify": "", "error": "\\\\\\\\", "expire": "////", "forward": "xx", "predict": ".."}
)


def hatch(policy: str) -> str:
    """The hatch of a handover policy's bars, as matplotlib has it; policies unknown here share one."""
    return _HATCHES.get(policy, "++")


_LINES: Mapping[str, Any] = MappingProxyType(
    {"error": (0, (5, 1.5)), "expire": (0, (1, 1)), "forward": (0, (6, 1.5, 1, 1.5)), "predict": (0, (3, 1, 1, 1, 1, 1))}
)


def dashes(policy: str) -> Any:
    """The line style of a handover policy, as matplotlib has it; solid for the policies that schemes have by default."""
    return _LINES.get(policy, "solid")


def title(scheme: str) -> str:
    """A scheme's name in prose."""
    return SCHEMES[scheme].title if scheme in SCHEMES else scheme


def label(case: Case) -> str:
    """A case's name: the scheme, and its policy where the scheme has more than one."""
    several = case.variant or case.scheme not in SCHEMES or len(SCHEMES[case.scheme].policies) > 1
    return f"{title(case.scheme)} · {case.label}" if several else title(case.scheme)


def on(colour: str) -> str:
    """What is readable on a colour: white, or ink where the colour is light (by its relative luminance, ITU-R BT.709)."""
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return INK if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 128 else "#ffffff"


@dataclass(frozen=True, slots=True)
class ReasonStyle:
    """A reason for a loss in prose, what it means, and its colour."""

    title: str
    meaning: str
    colour: str


REASONS: Mapping[Reason, ReasonStyle] = MappingProxyType(
    {
        Reason.NO_ROUTE: ReasonStyle("no route yet", "at an agent that did not know, or not yet serve, the node", "#e69f00"),
        Reason.NODE_LEFT: ReasonStyle("node had left", "sent to a MAG that the node had left", "#0072b2"),
        Reason.IN_THE_AIR: ReasonStyle("in the air", "on an access link, or about to be, when its carrier went", "#56b4e9"),
        Reason.BUFFER_FULL: ReasonStyle("buffer full", "came to a MAG while as many waited as may, or none may", "#d55e00"),
        Reason.BUFFER_TIMEOUT: ReasonStyle("buffer timed out", "waited in a MAG for longer than a packet may", "#f2b18c"),
        Reason.REFUSED: ReasonStyle(
            "refused", "its query failed, had just failed, or was not made, or the kernel turned it away", "#cc79a7"
        ),
        Reason.LINK_LOSS: ReasonStyle("link loss", "lost by a link that is declared to lose packets", "#009e73"),
        Reason.AGENT_DOWN: ReasonStyle("agent not running", "came to a node whose agent did nothing", "#5d3a9b"),
        Reason.UNDER_WAY: ReasonStyle("still under way", "waited, or was on a link, when the captures ended", "#b8b8b8"),
        Reason.UNEXPLAINED: ReasonStyle("unexplained", "no rule of the ledger fits what the captures show", "#1a1a1a"),
    }
)
"""In the order in which they are drawn."""


@dataclass(frozen=True, slots=True)
class MetricStyle:
    """A metric's name in prose, what it is in a phrase, and with how many decimals it is written."""

    title: str
    meaning: str
    decimals: int = 0


METRICS: Mapping[str, MetricStyle] = MappingProxyType(
    {
        "one_way_delay_ms": MetricStyle("One-way delay", "median from the source's capture to the destination's, once routes stand", 3),
        "first_packet_delay_ms": MetricStyle("First packet", "the same for the first packet of the flow", 3),
        "signalling_delay_ms": MetricStyle("Signalling delay", "from the first message of an exchange to its answer", 3),
        "buffer_wait_ms": MetricStyle("Buffer wait", "the longest that a packet waited in a MAG", 3),
        "handover_interruption_ms": MetricStyle(
            "Handover interruption", "last packet received before a handover to the first after, less the packet interval", 3
        ),
        "l2_gap_ms": MetricStyle("Layer 2 gap", "how long the radio was away", 3),
        "recovery_ms": MetricStyle("Recovery", "from the end of the last fault until packets arrive and none is lost any more", 1),
        "packets_sent": MetricStyle("Packets sent", "test packets in the source's capture"),
        "packets_lost": MetricStyle("Packets lost", "sequence numbers that the destination's capture never shows"),
        **{reason.metric: MetricStyle(f"Lost: {of.title}", of.meaning) for reason, of in REASONS.items()},
        "packets_duplicated": MetricStyle("Duplicates", "further copies of a packet at the destination"),
        "packets_reordered": MetricStyle("Reordered", "packets received after one with a higher sequence number"),
        "buffered_packets_max": MetricStyle("Most buffered", "the most packets that waited in a MAG at once"),
        "signalling_messages": MetricStyle("Signalling messages", "Mobility Header messages, as their senders' captures show them"),
        "signalling_receptions": MetricStyle("Signalling messages received", "arrivals at agents: one to a group arrives at many"),
        "signalling_bytes": MetricStyle("Signalling bytes", "their IPv6 packets, outer headers included"),
        "signalling_link_bytes": MetricStyle("Signalling bytes by links", "those bytes, once for each core link that they crossed"),
        "lma_control_messages": MetricStyle("Messages at the LMA", "signalling messages that the LMA sent or received"),
        "lma_data_packets": MetricStyle("Data via LMA", "test packets that the LMA's capture shows"),
        "path_stretch": MetricStyle("Path stretch", "one-way delay over that of the shortest path", 3),
    }
)
HEADLINE = (
    "one_way_delay_ms",
    "first_packet_delay_ms",
    "handover_interruption_ms",
    "packets_lost",
    "signalling_messages",
    "lma_data_packets",
)


def metric_style(name: str) -> MetricStyle:
    """How a metric is written; one unknown here is called by its own name."""
    return METRICS.get(name.partition("[")[0]) or MetricStyle(name.replace("_", " "), "", 3 if name.endswith("_ms") else 2)


def number(value: float, name: str) -> str:
    """A metric's value as text, without its unit; counts that are not whole, such as means, get one decimal."""
    decimals = metric_style(name).decimals
    if decimals == 0 and not float(value).is_integer():
        decimals = 1
    return f"{value:,.{decimals}f}".replace(",", "\N{THIN SPACE}").replace("-", "\N{MINUS SIGN}")
