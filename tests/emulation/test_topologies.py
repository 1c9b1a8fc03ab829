"""The network on a real kernel: what its wires, radios, routes and nodes do. One guest runs ``probe``; each test looks at its part."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import platform
import re
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from ipaddress import IPv6Network
from pathlib import Path
from typing import Any

import pytest

from topologies import presets
from topologies.addresses import ALL_MAGS_MAC, GROUP, routed_prefix
from topologies.domain import Domain, LinkSettings
from topologies.layer_2_update import layer_2_update
from topologies.linux import netlink
from topologies.linux.build import Testbed, build
from topologies.settings import apply_link_settings

IPPROTO_IPV6, HOPS, INTERFACE, JOIN = 41, 18, 17, 20
ETH_P_ALL = 3


def probe(folder: Path) -> None:
    """In the guest: build networks, try them, and leave what was seen in ``folder``/seen.json."""
    seen: dict[str, Any] = {}
    for name, look in {"star": _star, "tree": _tree, "slow": _slow, "radio": _radio, "stop": _stop, "room": _room}.items():
        seen[name] = look()
    (folder / "seen.json").write_text(json.dumps(seen))


def _ping(net: Testbed, name: str, target: str, *options: str) -> str:
    return str(net.get(name).cmd("ping", "-q", "-c", "3", "-i", "0.2", *options, target).strip().splitlines()[-1])


def _warmed(domain: Domain) -> Testbed:
    net = build(domain)
    net.warm()
    time.sleep(2)
    return net


def _star() -> dict[str, Any]:
    with _warmed(presets.star()) as net:
        net.addLink("mag1", "mag3", intfName1="mag1-x", intfName2="mag3-x", settings=LinkSettings(delay=0.001))
        return {
            "lma": _ping(net, "mag1", "2001:db8::1"),
            "mag": _ping(net, "mag1", "2001:db8::1:2"),
            "ip": [net[name].IP() for name in ("lma", "mag1", "mn1")],
            "routes": net.get("mag1").cmd("ip -color=never -6 route"),
            "forwarding": net.get("mag1").cmd("cat /proc/sys/net/ipv6/conf/cn1-air/forwarding").strip(),
            "host": net.get("mn1").cmd("cat /proc/sys/net/ipv6/conf/mn1-eth0/forwarding").strip(),
            "nodes": sorted(net),
            "links": len(net.links),
            "popen": net.get("mag2").popen("ip -o link show mag2-eth0", text=True).communicate()[0],
            "pexec": net.get("mag2").pexec("cat /sys/none")[2],
            "live": "mag3-x" in net.get("mag3").cmd("ip -color=never link"),
            "node": net.get("s1").cmd("ip -color=never -d link show s1"),
        }


def _tree() -> dict[str, Any]:
    domain = presets.tree()
    with _warmed(domain) as net:
        sockets = {mag.name: _group_member(net, mag.name, mag.core) for mag in domain.mags}
        time.sleep(1)
        before = _state_of(net, "mag1")
        net.configLinkStatus("mag1", "r2", "down")
        cut = _ping(net, "mag1", str(domain.mags[3].address), "-W", "1")
        net.configLinkStatus("mag1", "r2", "up")
        time.sleep(3)
        sockets["mag1"].sendto(b"to the group", (str(GROUP), 7000))
        return {
            "lma": _ping(net, "mag1", str(presets.star().lma.address)),  # type: ignore[union-attr]
            "mag": _ping(net, "mag1", str(domain.mags[3].address)),
            "group": {name: _received(member) for name, member in sockets.items()},
            "cut": cut,
            "restored": _state_of(net, "mag1") == before,
        }


def _state_of(net: Testbed, name: str) -> str:
    """Its addresses and routes."""
    return str(net.get(name).cmd("ip -color=never -6 -o addr; ip -color=never -6 route show table all"))


def _group_member(net: Testbed, name: str, interface: str) -> socket.socket:
    index = net[name].intf(interface).index
    with net[name].within():
        member = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    member.bind(("::", 7000))
    member.settimeout(1)
    for option, value in ((HOPS, 64), (INTERFACE, index), (19, 0), (JOIN, GROUP.packed + struct.pack("@I", index))):
        member.setsockopt(IPPROTO_IPV6, option, value)
    return member


def _received(member: socket.socket) -> str | None:
    try:
        return str(member.recvfrom(100)[1][0])
    except TimeoutError:
        return None


def _slow() -> dict[str, Any]:
    domain = apply_link_settings(presets.star(), {"mag.rate": "1Mbit", "lma.loss": "50%"})
    with _warmed(domain) as net:
        net.warm()
        time.sleep(5)
        return {
            "rate": _ping(net, "mag1", "2001:db8::1:2", "-s", "962"),
            "loss": net.get("mag1").cmd("ping -q -i 0.05 -c 400 2001:db8::1"),
        }


def _radio() -> dict[str, Any]:
    domain = presets.star()
    net = _warmed(domain)
    mn, mag1, mag2, mag3 = net.get("mn1", "mag1", "mag2", "mag3")
    home = domain.hosts[0].home_network_prefix
    with net:
        advertise = mag2.spawn(_later(lambda: _advertise(mag2.intf("mn1-air").index, home)))
        address = net.wait_for_address("mn1", home)
        os.waitpid(advertise, 0)
        links = mag3.popen(["ip", "-d", "monitor", "link"], text=True)
        carrier = mn.popen(["ip", "monitor", "link"], text=True)
        taps = {}
        for node in (mag2, mag3):
            with node.within():
                taps[node.name] = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        with mn.within():
            sender = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        net.warm()
        time.sleep(1)
        sender.sendto(b"in the air while its radio stays", ("2001:db8::1:2", 9))
        time.sleep(1)
        frames = {"mag2": _frames(taps["mag2"], "mn1-air")}
        sender.sendto(b"in the air when its radio leaves", ("2001:db8::1:2", 9))
        net.handover(mn, mag3, l2_gap=0)
        time.sleep(1)
        frames["mag3"] = _frames(taps["mag3"], "mn1-air")
        began = time.time()
        net.handover("mn1", "mag2", l2_gap=0.05)
        gap = time.time() - began
        net.attach("cn1", "mag2")
        links.terminate()
        carrier.terminate()
        return {
            "address": str(address),
            "kept": [str(kept) for kept in net.addresses("mn1")],
            "frames": frames,
            "links": links.communicate()[0],
            "carrier": carrier.communicate()[0],
            "gap": gap,
            "at": {node.name: [intf.name for intf in node.intfList()] for node in (mag1, mag2, mag3)},
            "air": mag2.cmd("ip -color=never -6 addr show dev mn1-air; ip -color=never link show mn1-air"),
        }


def _later(call: Callable[[], object]) -> Callable[[], object]:
    def run() -> None:
        time.sleep(0.5)
        call()

    return run


def _advertise(index: int, prefix: IPv6Network) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, 58) as raw:
        raw.setsockopt(IPPROTO_IPV6, HOPS, 255)
        option = struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 3600, 3600, 0) + prefix.network_address.packed
        raw.sendto(struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0) + option, ("ff02::1", 0, 0, index))


def _frames(tap: socket.socket, interface: str) -> list[str]:
    """What has come in at an interface since, as hexadecimal digits; the interface must still be there."""
    tap.setblocking(False)
    found: list[str] = []
    while True:
        try:
            frame, address = tap.recvfrom(2048)
        except BlockingIOError:
            return found
        if address[0] == interface and address[2] != socket.PACKET_OUTGOING:
            found.append(frame.hex())


def _stop() -> dict[str, Any]:
    before = len(os.listdir("/proc/self/fd"))
    net = build(presets.star())
    net.get("mag1").cmd("true")
    net.get("mag1").spawn(lambda: time.sleep(1000))
    failed = net.get("mag2").spawn(lambda: 1 / 0)
    _, status = os.waitpid(failed, 0)
    net.stop()
    net.stop()
    left = subprocess.run(["ps", "-o", "args=", "--ppid", str(os.getpid())], capture_output=True, text=True).stdout
    return {"failed": os.waitstatus_to_exitcode(status), "descriptors": len(os.listdir("/proc/self/fd")) - before, "left": left}


def _room() -> dict[str, Any]:
    """What becomes of a wish for room, and of a network's, in a namespace that may not change it, before and after the first one has."""
    wanted, said = 5000, []
    inner = netlink.Namespace({})
    for attempt in (inner.within, contextlib.nullcontext, inner.within):
        try:
            with attempt():
                netlink.make_room_for_neighbours(wanted)
            said.append("")
        except OSError as error:
            said.append(str(error.strerror))
    inner.close()
    return {"said": said}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What ``probe`` saw in a guest."""
    from engines import Job, choose
    from engines.base import REPOSITORY
    from engines.kernel.build import MACHINE

    if platform.machine() != MACHINE:
        pytest.skip(f"User-Mode Linux runs on {MACHINE} only")
    folder = tmp_path_factory.mktemp("topologies")
    program = f"import sys; sys.path[:0] = [{str(REPOSITORY)!r}, {str(Path(__file__).parent)!r}]; "
    program += f"import pathlib, test_topologies; test_topologies.probe(pathlib.Path({str(folder)!r}))"
    command = (sys.executable, "-B", "-c", program)
    outcome = asyncio.run(choose("virtual").run(Job(command, folder, seed=7, wall_limit=120.0, log=folder / "console.log")))
    assert outcome.ok, "\n".join((outcome.reason, *outcome.console))
    found: dict[str, Any] = json.loads((folder / "seen.json").read_text())
    return found


def _milliseconds(summary: str) -> float:
    """The mean of ping's last line."""
    return float(summary.split("/")[4])


def test_delays_add_up_along_the_way(seen: dict[str, Any]) -> None:
    assert _milliseconds(seen["star"]["lma"]) == pytest.approx(2 * (5 + 20), abs=0.05)
    assert _milliseconds(seen["star"]["mag"]) == pytest.approx(2 * (5 + 5), abs=0.05)
    assert _milliseconds(seen["tree"]["lma"]) == pytest.approx(2 * (5 + 5 + 20), abs=0.05)
    assert _milliseconds(seen["tree"]["mag"]) == pytest.approx(2 * (5 + 5 + 5 + 5), abs=0.05)


def test_rate_costs_serialisation_of_the_whole_frame_and_loss_is_drawn_on_both_ways(seen: dict[str, Any]) -> None:
    frame = 14 + 40 + 8 + 962
    assert _milliseconds(seen["slow"]["rate"]) == pytest.approx(20 + 4 * frame * 8 / 1e3, abs=0.05)
    lost = float(seen["slow"]["loss"].split("% packet loss")[0].split()[-1])
    assert 60 < lost < 90


def test_it_is_a_mininet_network(seen: dict[str, Any]) -> None:
    star = seen["star"]
    assert star["ip"] == ["2001:db8::1", "2001:db8::1:1", None]
    assert star["nodes"] == ["cn1", "lma", "mag1", "mag2", "mag3", "mn1", "s1"]
    assert star["links"] == 4 + 2 + 1
    assert "mag2-eth0" in star["popen"]
    assert star["pexec"] == 1
    assert star["live"]
    assert "mcast_snooping 0" in star["node"]


def test_routers_forward_and_know_each_others_routed_prefixes_and_hosts_do_not(seen: dict[str, Any]) -> None:
    domain = presets.star()
    assert (seen["star"]["forwarding"], seen["star"]["host"]) == ("1", "0")
    aggregate = routed_prefix(domain, domain.mags[1], domain.hosts[0]).supernet(new_prefix=48)
    assert f"{aggregate} via 2001:db8::1:2 dev mag1-eth0" in seen["star"]["routes"]


def test_the_group_reaches_every_other_mag_of_a_routed_core(seen: dict[str, Any]) -> None:
    source = str(presets.tree().mags[0].address)
    assert seen["tree"]["group"] == {"mag1": None, "mag2": source, "mag3": source, "mag4": source}


def test_a_link_that_mininet_takes_down_and_up_again_is_as_before(seen: dict[str, Any]) -> None:
    """``net.configLinkStatus``: addresses and routes of routers stay, those through a gateway too."""
    assert "100% packet loss" in seen["tree"]["cut"]
    assert seen["tree"]["restored"]


def test_a_host_keeps_its_address_when_it_moves(seen: dict[str, Any]) -> None:
    radio = seen["radio"]
    assert radio["address"].startswith("2001:db8:100:1:")
    assert radio["kept"] == [radio["address"]]
    assert radio["gap"] == pytest.approx(0.05, abs=0.001)
    assert radio["at"] == {"mag1": ["mag1-eth0"], "mag2": ["mag2-eth0", "mn1-air", "cn1-air"], "mag3": ["mag3-eth0"]}
    assert "fe80::200:5eff:fe00:5213" in radio["air"]
    assert ALL_MAGS_MAC in radio["air"]


def test_the_host_sees_its_carrier_go_and_return_and_the_mag_who_it_is(seen: dict[str, Any]) -> None:
    states = ["NO-CARRIER" in line for line in seen["radio"]["carrier"].splitlines() if "mn1-eth0" in line]
    assert states == [True, False, True, False]
    events = seen["radio"]["links"]
    assert "alias mn1@dmm.example 02:00:00:00:00:01" in events
    assert "LOWER_UP" in events
    assert "Deleted" in events


def test_the_layer_2_update_comes_first_and_what_was_in_the_air_is_lost(seen: dict[str, Any]) -> None:
    stayed, left = ([bytes.fromhex(frame) for frame in seen["radio"]["frames"][mag]] for mag in ("mag2", "mag3"))
    assert layer_2_update("02:00:00:00:00:01") == left[0]
    assert any(b"in the air while its radio stays" in frame for frame in stayed)
    assert not any(b"in the air when its radio leaves" in frame for frame in left)


def test_more_neighbours_than_the_kernel_holds_are_refused_where_that_cannot_be_changed(seen: dict[str, Any]) -> None:
    before, change, after = seen["room"]["said"]
    said = re.match(r"this network may have 5000 neighbours and the kernel has room for (\d+): on the host, sysctl ", before)
    assert said is not None
    assert 512 <= int(said[1]) < 5000
    assert (change, after) == ("", "")


def test_stopping_leaves_no_process_and_no_descriptor(seen: dict[str, Any]) -> None:
    assert seen["stop"]["failed"] == 1
    assert seen["stop"]["descriptors"] == 0
    assert [line for line in seen["stop"]["left"].splitlines() if "ps -o" not in line] == []
