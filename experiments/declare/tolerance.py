"""How far a measurement may be from what it should be: data, by the engine's name (docs/engines.md, "How exact", has the measurements)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What an engine's noise may add to a value or take from it: by metric, or else by the metric's unit.

    What is in neither is not compared: the noise decides it as much as anything else. ``exact`` tells whether events that do not happen
    at one moment have times of their own, so that agents' events can be matched with packets.
    """

    units: Mapping[str, float]
    exact: bool
    metrics: Mapping[str, float] = field(default_factory=dict)

    def of(self, metric: str, unit: str) -> float | None:
        """How far a value of ``metric``, in ``unit``, may be from what it should be; None where it is not compared."""
        return self.metrics.get(metric, self.units.get(unit))


_EXACT = Tolerance(units={"ms": 0.05, "1": 0.01, "packets": 0.0, "messages": 0.0, "bytes": 0.0}, exact=True)
"""Time passes for nothing but what a run declares."""

_REAL_TIME = Tolerance(
    units={"ms": 300.0, "1": 1.0},
    exact=False,
    metrics={"one_way_delay_ms": 10.0, "packets_sent": 0.0, "packets_duplicated": 0.0},
)
"""A scheduler has its say: a single event may come late, and how many packets and messages that takes or spares is chance."""

TOLERANCES: Mapping[str, Tolerance] = {
    "virtual": _EXACT,
    "uml": _REAL_TIME,
    "native": _REAL_TIME,
    "sim": _EXACT,
}
"""By the engine's name."""
