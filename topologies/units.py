"""Quantities as people write them, with units, as floats: seconds, bit/s, probabilities."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import inf

_TIME = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_RATE = {"bit": 1.0, "kbit": 1e3, "Mbit": 1e6, "Gbit": 1e9}
_QUANTITY = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*([A-Za-zµ%]*)", re.ASCII)


class UnitError(ValueError):
    """A quantity cannot be read; the message is one line that says what was expected."""


def _split(text: str) -> tuple[float, str] | None:
    match = _QUANTITY.fullmatch(text.strip())
    return (float(match[1]), match[2]) if match else None


def _scaled(text: str, units: Mapping[str, float], expected: str) -> float:
    quantity = _split(text)
    if quantity is None or quantity[0] == inf or (quantity[1] not in units and quantity[0] != 0):
        raise UnitError(f"expected {expected}, not {text!r}")
    number, unit = quantity
    # Dividing by a whole number keeps "3ms" the float 0.003 and not its neighbour.
    scale = units.get(unit, 1.0)
    return number * scale if scale >= 1 else number / round(1 / scale)


def show_time(seconds: float) -> str:
    """A time as parse_time reads it, in the largest unit of which it is one or more: ``3ms``, ``1.5s``, ``0``."""
    unit = next((unit for unit, scale in _TIME.items() if seconds >= scale), None)
    return f"{seconds / _TIME[unit]:.9g}{unit}" if unit else "0"


def show_rate(rate: float | None) -> str:
    """A rate as parse_rate reads it: ``10Mbit``, ``none``."""
    if rate is None:
        return "none"
    unit = next((unit for unit, scale in reversed(_RATE.items()) if rate >= scale), "bit")
    return f"{rate / _RATE[unit]:.9g}{unit}"


def show_probability(probability: float) -> str:
    """A probability as parse_probability reads it: ``2%``."""
    return f"{100 * probability:.9g}%"


def parse_time(text: str) -> float:
    """Seconds: ``3ms``, ``1.5s``, ``250us``; the unit may be missing only from 0. UnitError otherwise."""
    return _scaled(text, _TIME, "a time with a unit, such as 3ms or 1.5s")


def parse_rate(text: str) -> float | None:
    """bit/s: ``10Mbit``, ``1Gbit``, ``64kbit``, or None for ``none`` (no limit). UnitError otherwise."""
    if text.strip() == "none":
        return None
    expected = "a rate with a unit, such as 10Mbit or 1Gbit, or none"
    rate = _scaled(text, _RATE, expected)
    if rate <= 0:
        raise UnitError(f"expected {expected}, not {text!r}")
    return rate


def parse_probability(text: str) -> float:
    """A probability from 0 to 1: ``2%`` or ``0.02``. UnitError otherwise."""
    quantity = _split(text)
    scale = {"": 1.0, "%": 100.0}
    if quantity is None or quantity[1] not in scale or quantity[0] > scale[quantity[1]]:
        raise UnitError(f"expected a probability, such as 2% or 0.02, not {text!r}")
    return quantity[0] / scale[quantity[1]]
