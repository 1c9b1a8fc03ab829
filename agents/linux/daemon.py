"""Runs an agent: gives its sans-IO endpoint the node's sockets, links, timers and clock, and carries out what it asks for.

``run`` is called inside the node's network namespace; ``python -m agents.linux.daemon --config FILE.json`` does the same from a shell.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import selectors
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from typing import Any

import msgspec

from agents import endpoint
from agents.account import Account, of_heard, of_packet
from agents.actions import Effect, InstallRoute
from agents.associations import Attached, Leaving, LinkEvent
from agents.authentication import protection
from agents.commands import Command, CommandError, parse
from agents.config import AgentConfig
from agents.endpoint import AnchorEndpoint, GatewayEndpoint
from agents.linux.command_lines import CommandLines
from agents.linux.effects import Effects
from agents.linux.journal import Journal
from agents.linux.links import LinkMonitor
from agents.linux.restarts import next_restart
from agents.linux.sockets import MobilitySocket, NeighbourSocket, RawSocket, Received, TunnelSocket
from agents.linux.tun import QUEUE, Tun
from agents.linux.tunnel_fragments import LargePackets
from agents.profiles import Profile, ProfileStore
from agents.rations import Ration
from agents.router_advertisement import NeighbourDiscoveryError

_NANOSECOND = 1e-9
_PRECISE = 1e-3
"""s; a time-out as short as this is late by less than anything else takes."""
_LATE_BY = 1e-3
_BURST = 64
_IPV6_HEADER = 40
_DESTINATION = 24
_MULTICAST = 0xFF

STRANGERS_RATE = 100.0
"""Mobility Headers a second, of all who are no peers together, that are read."""

ERRORS_RATE = 10.0
"""Packets Too Big a second that are read; the kernel heeds each."""

_PAUSE = 0.1
"""s after which a socket is read again that had its ration."""


class Clock:
    """Time since 1970 that never steps: the wall clock read once, and what has passed since on the monotonic clock.

    ``ahead`` is by how many s the node's wall clock is wrong.
    """

    def __init__(self, ahead: float = 0.0) -> None:
        self._offset = time.time_ns() - time.monotonic_ns() + round(ahead / _NANOSECOND)

    def now(self) -> int:
        """ns since 1970."""
        return time.monotonic_ns() + self._offset

    def monotonic(self, when: float) -> float:
        """The monotonic clock's seconds at ``when``, in s since 1970."""
        return when - self._offset * _NANOSECOND


class Daemon:
    """One agent and its event loop; the loop ends by SIGTERM, SIGINT or an error in a handler, which ``serve`` raises."""

    def __init__(
        self, config: AgentConfig, journal: Journal, clock: Clock, sequence: int, restarts: int = 0, commands: int | None = None
    ) -> None:
        self._config = config
        self._commands = CommandLines(commands) if commands is not None else None
        self._journal = journal
        self._clock = clock
        self._now = clock.now()
        self._endpoint = endpoint.start(config, self._now * _NANOSECOND, sequence, restarts)
        self._effects = Effects(config, journal)
        self._access_links: dict[int, str] = {}
        self._links: LinkMonitor | None = None
        self._account = Account(lambda now, event, details: journal.record(now, event, **details))
        self._telling: asyncio.TimerHandle | None = None
        self._missed: dict[int, int] = {}
        self._paused: dict[int, asyncio.TimerHandle] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._armed: float | None = None
        self._error: Exception | None = None
        self._stopping = asyncio.Event()

    async def serve(self, ready: Callable[[], None]) -> None:
        """Run until told to end, then withdraw everything; ``ready`` is called once all is installed."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        try:
            self._open()
            if self._error is None:
                ready()
            await self._stopping.wait()
        finally:
            self._close()
        if self._error is not None:
            raise self._error

    def _open(self) -> None:
        effects = self._effects
        self._journal.record(self._clock.now(), "started", scheme=self._config.scheme.name, policy=self._config.policy)
        self._watch(effects.mobility, self._on_signalling)
        self._watch(effects.strangers, partial(self._rationed, Ration(STRANGERS_RATE), self._signalled))
        gateway = isinstance(self._endpoint, GatewayEndpoint)
        self._watch(effects.tunnel, self._on_stray if gateway else self._on_forwarded)
        self._watch(effects.neighbours, self._on_neighbour)
        self._watch(effects.errors, partial(self._rationed, Ration(ERRORS_RATE), self._path_narrowed))
        self._watch(effects.trigger, lambda _: self._read_trigger())
        self._watch(self._commands, self._on_commands)
        self._watch_large(effects.narrow())
        self._turn(self._input, None, self._endpoint.timeout)
        if gateway:
            self._links = LinkMonitor()
            self._watch(self._links, self._on_links)
            self._turn(self._on_links, self._links)
        self._journal.flush()

    def _watch(self, port: Any, handler: Callable[[Any], None]) -> None:
        if port is not None:
            asyncio.get_running_loop().add_reader(port.fileno(), partial(self._turn, handler, port))

    def _watch_large(self, needed: bool) -> None:
        if needed:
            self._watch(self._effects.large, self._on_large)

    def _turn(self, handler: Callable[..., None], *arguments: Any) -> None:
        """Run a handler, then let all that it asked for, however many messages it read, take effect at once; all of it happens now."""
        self._now = self._clock.now()
        self._guard(self._settled, handler, *arguments)

    def _settled(self, handler: Callable[..., None], *arguments: Any) -> None:
        handler(*arguments)
        self._effects.settle()
        self._arm()

    def _guard(self, handler: Callable[..., None], *arguments: Any) -> None:
        """Run a handler; an error in it, after which the agent's state may be wrong, ends the agent."""
        try:
            handler(*arguments)
        except Exception as error:
            self._error = self._error or error
            self._journal.record(self._clock.now(), "error", traceback=traceback.format_exc())
            self._stopping.set()
        self._journal.flush()

    def _close(self) -> None:
        loop = asyncio.get_running_loop()
        effects = self._effects
        ports = (
            effects.mobility,
            effects.strangers,
            effects.tunnel,
            effects.neighbours,
            effects.errors,
            effects.trigger,
            effects.large,
            self._links,
            self._commands,
        )
        for port in ports:
            if port is not None:
                loop.remove_reader(port.fileno())
        for handle in (*self._paused.values(), *([self._telling] if self._telling else [])):
            handle.cancel()
        if self._error is None:
            self._turn(self._input, "stopping", self._endpoint.stop)
        if self._timer is not None:
            self._timer.cancel()
        if self._links is not None:
            self._links.close()
        self._guard(effects.close)
        self._tell_counts()
        self._journal.record(self._clock.now(), "stopped")

    @property
    def _gateway(self) -> GatewayEndpoint:
        if not isinstance(self._endpoint, GatewayEndpoint):
            raise TypeError("only a MAG has access links and waits for packets")
        return self._endpoint

    @property
    def _anchor(self) -> AnchorEndpoint:
        if not isinstance(self._endpoint, AnchorEndpoint):
            raise TypeError("only an LMA is told of what its kernel forwards")
        return self._endpoint

    def _input(self, event: str | None, call: Callable[[float], Sequence[Effect]], **details: Any) -> None:
        """Tell the agent something, and do what it asks for; an event None is noted only if it asks for something."""
        now = self._now
        try:
            effects = call(now * _NANOSECOND)
        except Exception:
            if event is not None:
                self._journal.record(now, event, **details)
            raise
        if event is not None and not self._account.note(event, effects, details, now):
            if self._telling is None and (ends := self._account.ends) is not None:
                when = self._clock.monotonic(ends * _NANOSECOND)
                self._telling = asyncio.get_running_loop().call_at(when, self._turn, self._on_second)
            return
        for effect in effects:
            if isinstance(effect, InstallRoute):
                self._drain_trigger()  # packets that wait for the agent go before those that will take the route
            self._effects.carry_out(effect, now)

    def _on_second(self) -> None:
        self._telling = None
        self._tell_counts()

    def _tell_counts(self, now: int | None = None) -> None:
        """Write what was counted in seconds that are over, or, with None, all of it: what came, and what became of it."""
        self._account.tell(now, self._now)

    def _arm(self) -> None:
        when = self._endpoint.next_timeout
        if when == self._armed:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._armed = when
        loop = asyncio.get_running_loop()
        self._timer = None if when is None else loop.call_at(self._clock.monotonic(when), self._turn, self._on_timeout, when)

    def _on_timeout(self, when: float) -> None:
        self._armed = self._timer = None
        self._input(None, lambda now: self._endpoint.timeout(now, when))

    def _on_links(self, monitor: LinkMonitor) -> None:
        for event in monitor.read():
            self._on_link(event)

    def _on_commands(self, commands: CommandLines) -> None:
        for line in commands.read():
            try:
                self._input("told", partial(self._told, parse(line, self._endpoint.role)), command=line)
            except CommandError as error:
                self._journal.record(self._now, "told in vain", error=str(error))
        if commands.ended:
            asyncio.get_running_loop().remove_reader(commands.fileno())

    def _told(self, command: Command, now: float) -> list[Effect]:
        return self._endpoint.encode(command(now), now)

    def _on_link(self, event: LinkEvent) -> None:
        association, gateway = event.association, self._gateway
        link = association.link
        if isinstance(event, Attached):
            self._access_links[association.index] = link
            self._effects.admit(link, association.mn_id)
            names = "handoff", "access_technology", "timestamp"
            how: dict[str, Any] = {name: value for name in names if (value := getattr(association, name)) is not None}
            attach = partial(gateway.attached, link, association.mn_id, association.link_layer, **how)
            details = {"link": link, "mn_id": association.mn_id, "link_layer": association.link_layer.hex(":")}
            self._input("attached", attach, **details, **how)
        elif isinstance(event, Leaving):
            self._input("leaving", lambda now: gateway.leaving(link, event.to, now), link=link, to=event.to)
        else:
            self._effects.dismiss(link)
            self._input("detached", lambda now: gateway.detached(link, now), link=link)
            del self._access_links[association.index]

    def _burst(self, port: RawSocket, handler: Callable[[Received], None]) -> None:
        for _ in range(_BURST):
            received = port.receive()
            if received is None:
                return
            handler(received)

    def _rationed(self, ration: Ration, handler: Callable[[Received], None], port: RawSocket) -> None:
        """Read no more than the ration allows; where that is used up, not before a pause, in which the kernel drops what has no room."""
        now = self._now * _NANOSECOND
        for _ in range(min(_BURST, ration.left(now))):
            received = port.receive()
            if received is None:
                break
            ration.spend()
            handler(received)
        self._note_missed(port)
        if not ration.left(now):
            loop, number = asyncio.get_running_loop(), port.fileno()
            loop.remove_reader(number)
            self._paused[number] = loop.call_later(_PAUSE, self._resume, port, partial(self._rationed, ration, handler))

    def _resume(self, port: RawSocket, handler: Callable[[Any], None]) -> None:
        del self._paused[port.fileno()]
        self._watch(port, handler)

    def _note_missed(self, port: RawSocket | Tun) -> None:
        before = self._missed.get(port.fileno(), 0)
        if port.missed != before:
            self._missed[port.fileno()] = port.missed
            self._journal.record(self._now, "not read", packets=(port.missed - before) % (1 << 32))

    def _on_signalling(self, port: MobilitySocket) -> None:
        self._burst(port, self._signalled)

    def _signalled(self, received: Received) -> None:
        link = None
        if received.interface not in self._effects.trusted:
            link = self._access_links.get(received.interface, f"#{received.interface}")
        heard = self._endpoint.read(received.data, received.source, received.destination, link)
        event, details = of_heard(heard)
        self._input(event, partial(self._endpoint.receive, heard), **details)

    def _on_stray(self, port: TunnelSocket) -> None:
        self._burst(port, self._strayed)

    def _strayed(self, received: Received) -> None:
        packet, source, gateway = received.data, received.source, self._gateway
        details = {**of_packet(packet, tunnelled_by=source), "multicast": received.destination.is_multicast}
        self._input("tunnelled packet", lambda now: gateway.tunnelled(packet, source, received.destination, now), **details)

    def _on_forwarded(self, port: TunnelSocket) -> None:
        self._burst(port, self._forwarded)

    def _forwarded(self, received: Received) -> None:
        """The kernel forwards a packet whose header this is; the journal has it only if that makes a difference."""
        anchor = self._anchor
        self._input(None, lambda now: anchor.forwarded(received.data, received.source, now))

    def _on_neighbour(self, port: NeighbourSocket) -> None:
        self._burst(port, self._neighbour_said)

    def _path_narrowed(self, received: Received) -> None:
        self._watch_large(self._effects.narrow(received.data))
        if self._effects.path_changed():
            self._input("path changed", self._gateway.path_changed, source=received.source)

    def _neighbour_said(self, received: Received) -> None:
        if (link := self._access_links.get(received.interface)) is not None:
            self._solicited(link, received)

    def _solicited(self, link: str, received: Received) -> None:
        now = self._now * _NANOSECOND
        try:
            effects = self._gateway.solicited(link, received.data, received.source, received.hop_limit, now)
        except NeighbourDiscoveryError as error:
            self._journal.record(self._now, "malformed solicitation", link=link, error=str(error))
            return
        self._input("solicited", lambda _: effects, link=link)

    def _on_large(self, port: LargePackets) -> None:
        for _ in range(_BURST):
            packet = port.read()
            if packet is None:
                return
            if len(packet) >= _IPV6_HEADER and packet[0] >> 4 == 6:
                self._effects.fragment(packet)

    def _drain_trigger(self) -> None:
        """Hand the agent all packets that wait to be read: the next ones take another way, on which they would overtake them."""
        self._read_trigger(QUEUE)
        if self._effects.trigger is not None:
            self._note_missed(self._effects.trigger)

    def _read_trigger(self, most: int = _BURST) -> None:
        """Hand the agent the packets that were routed to it; multicast is only what the kernel itself says on every device."""
        trigger = self._effects.trigger
        for _ in range(most):
            packet = trigger.read() if trigger is not None else None
            if packet is None:
                return
            if len(packet) >= _IPV6_HEADER and packet[0] >> 4 == 6 and packet[_DESTINATION] != _MULTICAST:
                self._routed_here(packet)

    def _routed_here(self, packet: bytes) -> None:
        self._input("packet", partial(self._gateway.routed, packet), **of_packet(packet))


def run(
    config: AgentConfig,
    journal_path: Path,
    ready_fd: int | None = None,
    clock_offset: float = 0.0,
    sequence: int | None = None,
    commands: int | None = None,
) -> None:
    """Run the agent that ``config`` describes in this network namespace until SIGTERM or SIGINT.

    Args:
        config: the agent.
        journal_path: its events are appended there.
        ready_fd: one line is written to this file descriptor, which is then closed, once everything is installed.
        clock_offset: s by which the node's clock is ahead of the others'.
        sequence: the first sequence number that it uses (16 bits), or None for a random one.
        commands: a file descriptor on which it is told what to do (agents/commands.py), or None.

    Raises:
        OSError: the kernel refused something that the agent cannot do without.
        ValueError: the file beside the journal that counts restarts does not.
        Exception: whatever a handler raised; the journal has the traceback, and the kernel's state was withdrawn.
    """
    gc.freeze()
    counter = journal_path.with_name(f"{config.name}.restarts")
    restarts = next_restart(counter) if config.settings.heartbeat_interval else 0
    journal = Journal(journal_path, config.name)
    if sequence is None:
        sequence = int.from_bytes(os.urandom(2))
    try:
        with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(_PreciseSelector())) as runner:
            runner.run(_serve(Daemon(config, journal, Clock(clock_offset), sequence, restarts, commands), ready_fd))
    finally:
        journal.close()


class _PreciseSelector(selectors.SelectSelector):
    """select, whose time-outs are no whole milliseconds as epoll's are. Linux lets each be late by a thousandth of itself, so a long one
    ends a little early, and the event loop waits again for what is left."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout > _PRECISE:
            timeout -= 2 * _LATE_BY * timeout
        return super().select(timeout)


async def _serve(daemon: Daemon, ready_fd: int | None) -> None:
    def ready() -> None:
        if ready_fd is not None:
            os.write(ready_fd, b"\n")
            os.close(ready_fd)

    await daemon.serve(ready)


_ADDRESSES = {IPv6Address: IPv6Address, IPv6Network: IPv6Network}


def load(path: Path) -> AgentConfig:
    """The configuration in a JSON file whose members are the fields of AgentConfig; OSError or ValueError where it is none."""

    def convert(kind: type, value: Any) -> Any:
        if kind is ProfileStore:
            return ProfileStore(msgspec.convert(value, list[Profile], dec_hook=convert))
        return _ADDRESSES[kind](value)

    config = msgspec.json.decode(path.read_bytes(), type=AgentConfig, dec_hook=convert)
    protection(config.settings)
    return config


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one agent from the command line; exit status 1 where it fails, 2 where its configuration is wrong."""
    description = "Run one MAG or LMA in this network namespace until SIGTERM."
    parser = argparse.ArgumentParser(prog="python -m agents.linux.daemon", description=description)
    parser.add_argument("--config", type=Path, required=True, metavar="FILE.json", help="the fields of agents.config.AgentConfig")
    parser.add_argument("--journal", type=Path, default=Path("events.jsonl"), metavar="FILE", help="append events here (%(default)s)")
    told = "take commands from standard input, one on a line: 'revoke MN-ID' or 'revoke-all ADDRESS OF A MAG', told to an LMA"
    parser.add_argument("--commands", action="store_true", help=told)
    options = parser.parse_args(arguments)
    try:
        config = load(options.config)
    except (OSError, ValueError) as error:
        print(f"{parser.prog}: {options.config}: {error}", file=sys.stderr)
        return 2
    try:
        run(config, options.journal, commands=sys.stdin.fileno() if options.commands else None)
    except (OSError, ValueError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
