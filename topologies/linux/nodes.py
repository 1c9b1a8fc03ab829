"""Mininet's nodes as namespaces of this process: nothing is started until a command is run in one."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from ipaddress import IPv6Address
from pathlib import Path
from subprocess import Popen
from typing import Any, NoReturn

from mininet.node import Node, Switch

from topologies.addresses import GROUP
from topologies.linux import netlink
from topologies.linux.netlink import Namespace
from topologies.routing import MulticastRoute

_MRT6_INIT, _MRT6_ADD_MIF, _MRT6_ADD_MFC = 200, 202, 204
_ICMP6_FILTER, _BLOCK_ALL = 1, b"\xff" * 32
_SOL_PACKET, _PACKET_QDISC_BYPASS = 263, 20
_PATIENCE = 5.0


class NetworkNode(Node):  # type: ignore[misc]
    """A Mininet node whose namespace this process makes and enters by itself; its shell starts with the first command.

    Attributes:
        sysctls: what is written below /proc/sys/net before the node has interfaces.
        namespace: the node's network namespace.
    """

    isSetup = True
    sysctls: Mapping[str, str] = {}
    namespace: Namespace

    def startShell(self, mnopts: str | None = None) -> None:
        """Make the namespace; Mininet calls this when it makes a node."""
        self.inNamespace = True
        self.namespace = Namespace(self.sysctls)
        self.namespace.queue(netlink.set_up(netlink.LOOPBACK))
        self._children: dict[int, int] = {}

    def _need_shell(self) -> None:
        if self.shell is None:
            self.inNamespace = False  # or mnexec would make another namespace
            try:
                super().startShell()
            finally:
                self.inNamespace = True

    def cmd(self, *args: Any, **kwargs: Any) -> str:
        """Run a command in the node's shell and return its output, as Mininet does."""
        self._need_shell()
        output: str = super().cmd(*args, **kwargs)
        return output

    def sendCmd(self, *args: Any, **kwargs: Any) -> None:
        """Start a command in the node's shell, as Mininet does."""
        self._need_shell()
        super().sendCmd(*args, **kwargs)

    def popen(self, *args: Any, **kwargs: Any) -> Popen[Any]:
        """Start a process in the node's namespace, as Mininet does."""
        process: Popen[Any] = super().popen(*args, **{"mncmd": [], "start_new_session": True, **kwargs})
        return process

    def _popen(self, cmd: list[str], **params: Any) -> Popen[Any]:
        with self.within():
            process: Popen[Any] = super()._popen(cmd, **params)
        return process

    def config(self, **_params: Any) -> dict[str, Any]:
        """Nothing: the testbed has configured the node over netlink."""
        return {}

    @property
    def netns(self) -> int:
        """The descriptor of the node's network namespace."""
        return self.namespace.fd

    def within(self) -> AbstractContextManager[None]:
        """This thread is in the node's namespace, and so are the sockets and processes that it makes meanwhile."""
        return self.namespace.within()

    def spawn(self, run: Callable[[], object]) -> int:
        """Fork a process that calls ``run`` in the node's namespace and ends, with status 1 where it raised; returns its pid."""
        with self.within():
            pid = fork(run)
        self._children[pid] = os.pidfd_open(pid)
        return pid

    def plugged(self, index: int) -> None:
        """A wire was plugged in: queue what the node does with its interface ``index``."""
        self.namespace.queue(netlink.set_up(index), netlink.keep_neighbours(index))

    def terminate(self) -> None:
        """End the node's shell and processes and give its namespace up."""
        if self.namespace.closed:
            return
        end_children([self])
        super().terminate()
        self.namespace.close()


def end_children(nodes: Iterable[NetworkNode]) -> None:
    """End what ``spawn`` started and nobody waited for: SIGTERM to all at once, SIGKILL to those that do not heed it."""
    children = {pidfd: pid for node in nodes for pid, pidfd in node._children.items()}
    for node in nodes:
        node._children.clear()
    for pidfd in children:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGTERM)
    for pidfd, pid in children.items():
        if not _ended(pidfd):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
        os.close(pidfd)


def end_others(nodes: Iterable[NetworkNode]) -> None:
    """End by SIGKILL whatever else runs in the nodes' namespaces, such as what a shell there has started in the background."""
    spaces = {os.fstat(node.netns).st_ino for node in nodes if not node.namespace.closed}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            pidfd = os.pidfd_open(int(entry.name))
            try:
                if (entry / "ns" / "net").stat().st_ino in spaces:
                    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                    _ended(pidfd)
            finally:
                os.close(pidfd)


def _ended(pidfd: int) -> bool:
    """Whether a process ends soon."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(_PATIENCE * 1e3))


def fork(run: Callable[[], object]) -> int:
    """Fork a process that calls ``run`` and ends, with status 1 where it raised; returns its pid."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        _call_and_exit(run)
    return pid


def _call_and_exit(run: Callable[[], object]) -> NoReturn:
    status = 1
    try:
        run()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1 if end.code else 0
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


class StockHost(NetworkNode):
    """A mobile or correspondent node: Linux as it comes."""


class Router(NetworkNode):
    """A MAG, an LMA or a core router: it forwards, takes no advertisements and probes no address of its own."""

    sysctls: Mapping[str, str] = {
        "ipv6/conf/all/forwarding": "1",
        "ipv6/conf/default/accept_ra": "0",
        "ipv6/conf/default/accept_dad": "0",
    }

    def route_multicast(self, routes: Iterable[MulticastRoute]) -> None:
        """Forward the domain's group by static routes (linux/mroute6.h) for as long as the node lives; OSError where the kernel cannot."""
        with self.within():
            self._multicast = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        self._multicast.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, _BLOCK_ALL)  # held open, never read
        self._multicast.setsockopt(socket.IPPROTO_IPV6, _MRT6_INIT, 1)
        numbers = {intf.name: number for number, intf in enumerate(self.intfList())}
        for intf in self.intfList():
            mif = struct.pack("=HBBHxxI", numbers[intf.name], 0, 1, intf.index, 0)
            self._multicast.setsockopt(socket.IPPROTO_IPV6, _MRT6_ADD_MIF, mif)
        for route in routes:
            outgoing = sum(1 << numbers[name] for name in route.outgoing).to_bytes(32, sys.byteorder)
            entry = _sockaddr(route.source) + _sockaddr(GROUP) + struct.pack("=Hxx", numbers[route.incoming]) + outgoing
            self._multicast.setsockopt(socket.IPPROTO_IPV6, _MRT6_ADD_MFC, entry)

    def terminate(self) -> None:
        """As any node; the multicast routes end with it."""
        if hasattr(self, "_multicast"):
            self._multicast.close()
        super().terminate()


def _sockaddr(address: IPv6Address) -> bytes:
    return struct.pack("=HHI16sI", socket.AF_INET6, 0, 0, address.packed, 0)


class Bridge(NetworkNode, Switch):  # type: ignore[misc]
    """A bridge of the core, in a namespace of its own: it floods multicast, and does nothing else than bridge."""

    sysctls: Mapping[str, str] = {"ipv6/conf/default/disable_ipv6": "1"}
    INDEX = 1_000  # a kernel may put tunnel devices of its own right after the loopback
    controlIntf = None

    def startShell(self, mnopts: str | None = None) -> None:
        """Make the namespace, and the bridge in it."""
        super().startShell(mnopts)
        self.namespace.queue(netlink.bridge(self.name, self.INDEX))

    def start(self, controllers: Any) -> None:
        """Nothing: the bridge has been at work since it was made."""

    def plugged(self, index: int) -> None:
        """Make the interface a port of the bridge."""
        self.namespace.queue(netlink.set_master(index, self.INDEX), netlink.set_up(index))


class Wires(NetworkNode):
    """The hidden namespace that holds the inner ends of all wires; ``wires tc -s qdisc`` in Mininet's CLI shows what they do."""

    sysctls: Mapping[str, str] = {"ipv6/conf/default/disable_ipv6": "1"}

    def startShell(self, mnopts: str | None = None) -> None:
        """Make the namespace, and in it the socket that sends frames as an access point does."""
        super().startShell(mnopts)
        self._next_index = 10_000
        with self.within():
            self._frames = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self._frames.setsockopt(_SOL_PACKET, _PACKET_QDISC_BYPASS, 1)  # an access point's own frames do not cross the air

    def new_index(self) -> int:
        """An interface index that no other interface of the testbed has: a moving interface keeps it, and Linux treats a veth
        whose peer has the same index as no veth (its carrier would be up to a second late)."""
        self._next_index += 1
        return self._next_index

    def send_frame(self, interface: str, frame: bytes) -> None:
        """Send a frame by an inner end, past its queueing discipline."""
        self._frames.sendto(frame, (interface, 0))

    def terminate(self) -> None:
        """As any node."""
        self._frames.close()
        super().terminate()
