"""Sleeping until a moment of the clock, to the nanosecond."""

from __future__ import annotations

import ctypes
import errno
import os
import time

from topologies.timing import SECOND

_TIMER_ABSTIME = 1
_LIBC = ctypes.CDLL(None)


class _Timespec(ctypes.Structure):
    _fields_ = [("tv_sec", ctypes.c_long), ("tv_nsec", ctypes.c_long)]


def sleep_until(moment: int) -> None:
    """Sleep until ``moment``, in ns since 1970; not at all where it is past.

    Unlike `time.sleep`, this rounds nothing and does not read the clock, whose readings may take time of their own (docs/engines.md).
    """
    until = _Timespec(*divmod(moment, SECOND))
    while error := _LIBC.clock_nanosleep(time.CLOCK_REALTIME, _TIMER_ABSTIME, ctypes.byref(until), None):
        if error != errno.EINTR:
            raise OSError(error, os.strerror(error))
