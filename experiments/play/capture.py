"""One packet capture a node, on all of its interfaces: libpcap takes them all in one process, in which no Python runs for a packet."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from ctypes import POINTER, byref, c_char_p, c_int, c_uint, c_void_p
from functools import cache
from pathlib import Path

from agents.linux.socket_filter import NOTHING
from agents.linux.sockets import attach
from experiments.declare import jobs
from topologies.linux.nodes import fork

LIBRARIES = ("libpcap.so.0.8", "libpcap.so.1")
"""What libpcap is called: on Debian, and elsewhere."""

_LATENCY = 1.0
"""s after which the kernel hands over a block of packets that is not full; now and then it takes twice as long, and a little more."""
_PATIENCE = 3 * _LATENCY
"""s in which the kernel has handed over all that it has."""
_SNAP_LENGTH = 262_144
_NANOSECONDS = 1
_LINUX_SLL2 = 276
_ERROR_SIZE = 256
_STOP = b"stop\n"
_WELL = b"well\n"

Within = Callable[[], AbstractContextManager[object]]


class CaptureError(RuntimeError):
    """Captures could not be started, missed packets or could not write them; the message is one line."""


class Captures:
    """The running captures of a testbed.

    Interfaces that come and go (a radio that moves in) are captured too, and the link type (LINUX_SLL2) keeps each
    packet's interface and direction.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: int | None = None

    def start(self, nodes: Iterable[tuple[str, Within]]) -> None:
        """Start a capture for each (name, a context that enters the node's namespace) and return once all listen."""
        wanted = tuple(nodes)
        self._channel, theirs = socket.socketpair()
        self._process = fork(lambda: _serve(wanted, self._folder, theirs))
        theirs.close()
        self._hear("did not start")

    def stop(self) -> None:
        """End the captures; all that was to be seen until now is in their files when this returns, or a CaptureError says what is not."""
        if self._process is None:
            return
        with contextlib.suppress(ConnectionError):
            self._channel.sendall(_STOP)
        try:
            self._hear("are not complete")
        finally:
            self._end()

    def _hear(self, what: str) -> None:
        said = b""
        with contextlib.suppress(ConnectionError), self._channel.makefile("rb") as answers:
            said = answers.readline()
        if said != _WELL:
            self._end()
            raise CaptureError(f"captures {what}: {said.decode(errors='replace').strip() or 'their process ended'}")

    def _end(self) -> None:
        if self._process is not None:
            self._channel.close()
            os.waitpid(self._process, 0)
            self._process = None


def _serve(nodes: Iterable[tuple[str, Within]], folder: Path, channel: socket.socket) -> None:
    """The process of the captures: says whether all listen, goes on until it is told to stop, and says whether all is in the files."""
    try:
        captures = _opened(nodes, folder)
        channel.sendall(_WELL)
        _read(captures, channel)
        problems = [problem for capture in captures for problem in capture.close()]
        if problems:
            raise CaptureError("; ".join(problems))
        channel.sendall(_WELL)
    except (CaptureError, OSError) as error:
        channel.sendall(f"{error}\n".encode())


def _opened(nodes: Iterable[tuple[str, Within]], folder: Path) -> list[_Capture]:
    wanted = tuple(nodes)
    size = jobs.buffer_size(len(wanted))
    captures = []
    for name, within in wanted:
        with within():
            captures.append(_Capture(name, folder / f"{name}.pcap", size))
    return captures


def _read(captures: Iterable[_Capture], channel: socket.socket) -> None:
    """Let packets go from the kernel to the files until the channel tells to stop, and then until the kernel has handed over all it has."""
    poll = select.epoll()
    reading = {capture.fileno(): capture.read for capture in captures}
    for file in (*reading, channel.fileno()):
        poll.register(file, select.EPOLLIN)
    going_on = True
    while going_on:
        for file, _ in poll.poll():
            if file not in reading:
                going_on = False
            elif not reading[file]():
                poll.unregister(file)
    poll.unregister(channel)
    for capture in captures:
        capture.refuse()
    end = time.monotonic() + _PATIENCE
    while any(capture.unread for capture in captures) and (left := end - time.monotonic()) > 0:
        for file, _ in poll.poll(left):
            if not reading[file]():
                poll.unregister(file)


class _Capture:
    """One capture in the namespace that this thread is in; CaptureError where it cannot be made."""

    def __init__(self, name: str, path: Path, buffer: int) -> None:
        pcap = self._pcap = _libpcap()
        self._name = name
        said = ctypes.create_string_buffer(_ERROR_SIZE)
        self._handle = pcap.pcap_create(b"any", said)
        if not self._handle:
            raise CaptureError(f"{name}: {said.value.decode()}")
        pcap.pcap_set_snaplen(self._handle, _SNAP_LENGTH)
        pcap.pcap_set_timeout(self._handle, round(_LATENCY * 1e3))
        pcap.pcap_set_buffer_size(self._handle, buffer)
        pcap.pcap_set_tstamp_precision(self._handle, _NANOSECONDS)
        if pcap.pcap_activate(self._handle) < 0 or pcap.pcap_set_datalink(self._handle, _LINUX_SLL2):
            raise CaptureError(f"{name}: {self._error()}")
        if pcap.pcap_setnonblock(self._handle, 1, said):
            raise CaptureError(f"{name}: {said.value.decode()}")
        self._file = pcap.pcap_dump_open(self._handle, os.fsencode(path))
        if not self._file:
            raise CaptureError(self._error())
        self._read = 0
        self._broken = ""

    def fileno(self) -> int:
        return int(self._pcap.pcap_get_selectable_fd(self._handle))

    def read(self) -> bool:
        """Write what the kernel has handed over; False where nothing more can be had from it."""
        packets = self._pcap.pcap_dispatch(self._handle, -1, self._pcap.pcap_dump, self._file)
        if packets < 0:
            self._broken = self._error()
            return False
        self._read += packets
        return True

    def refuse(self) -> None:
        """Let nothing in any more."""
        with socket.socket(fileno=os.dup(self.fileno())) as port:
            attach(port, NOTHING)

    @property
    def unread(self) -> int:
        """How many packets the kernel has not yet handed over, and those that libpcap leaves out, which left by the loopback."""
        if self._broken:
            return 0
        statistics = self._statistics()
        return int(statistics.received - statistics.dropped) - self._read

    def close(self) -> Iterator[str]:
        """End it; what went wrong with it."""
        if self._broken:
            yield f"{self._name} broke off: {self._broken}"
        if dropped := self._statistics().dropped:
            yield f"{self._name} missed {dropped} packets: let less traffic flow, or fewer nodes be there"
        if self._pcap.pcap_dump_flush(self._file) or ctypes.CDLL(None).ferror(c_void_p(self._file)):
            yield f"{self._name}.pcap could not be written whole: make room where the results go"
        self._pcap.pcap_dump_close(self._file)
        self._pcap.pcap_close(self._handle)

    def _statistics(self) -> _Statistics:
        found = _Statistics()
        if self._pcap.pcap_stats(self._handle, byref(found)):
            raise CaptureError(f"{self._name}: {self._error()}")
        return found

    def _error(self) -> str:
        return str(self._pcap.pcap_geterr(self._handle).decode(errors="replace"))


class _Statistics(ctypes.Structure):
    """struct pcap_stat."""

    _fields_ = (("received", c_uint), ("dropped", c_uint), ("dropped_by_interface", c_uint))


_PROTOTYPES = {
    "pcap_create": (c_void_p, c_char_p, c_char_p),
    "pcap_set_snaplen": (c_int, c_void_p, c_int),
    "pcap_set_timeout": (c_int, c_void_p, c_int),
    "pcap_set_buffer_size": (c_int, c_void_p, c_int),
    "pcap_set_tstamp_precision": (c_int, c_void_p, c_int),
    "pcap_activate": (c_int, c_void_p),
    "pcap_set_datalink": (c_int, c_void_p, c_int),
    "pcap_setnonblock": (c_int, c_void_p, c_int, c_char_p),
    "pcap_get_selectable_fd": (c_int, c_void_p),
    "pcap_dispatch": (c_int, c_void_p, c_int, c_void_p, c_void_p),
    "pcap_stats": (c_int, c_void_p, POINTER(_Statistics)),
    "pcap_geterr": (c_char_p, c_void_p),
    "pcap_close": (None, c_void_p),
    "pcap_dump_open": (c_void_p, c_void_p, c_char_p),
    "pcap_dump_flush": (c_int, c_void_p),
    "pcap_dump_close": (None, c_void_p),
}
"""The functions of libpcap that are called here: what each returns, and what it takes."""


@cache
def _libpcap() -> ctypes.CDLL:
    for name in LIBRARIES:
        with contextlib.suppress(OSError):
            library = ctypes.CDLL(name)
            break
    else:
        raise CaptureError(f"there is no {' and no '.join(LIBRARIES)}; `make setup-system` installs tcpdump, which brings it")
    for function, (returns, *takes) in _PROTOTYPES.items():
        known = getattr(library, function)
        known.restype, known.argtypes = returns, takes
    return library
