"""This machine's own kernel, in namespaces of its own that end with the command."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass

from engines.base import ENVIRONMENT, REPOSITORY, EngineError, Job, Outcome, Problem
from engines.folders import temporary
from engines.process import console, outcome, supervise, why

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ENVIRONMENT = {**ENVIRONMENT, "PATH": _PATH}
MODULES = "apt-get install linux-modules-extra-$(uname -r) (Ubuntu), dnf install kernel-modules-extra (Fedora)"
_USER_NAMESPACES = (
    "run as root, or let users have namespaces: sysctl user.max_user_namespaces=10000 kernel.apparmor_restrict_unprivileged_userns=0"
)


_ASK_NF_TABLES = """
import socket, struct
kernel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
kernel.send(struct.pack("=IHHIIBBH", 20, 10 << 8 | 16, 1, 1, 0, 0, 0, 0))
length, kind = struct.unpack_from("=IH", kernel.recv(4096))
raise SystemExit("no nf_tables" if kind == 2 else 0)
"""
"""Ask which generation the rules are of (linux/netfilter/nf_tables.h, NFT_MSG_GETGEN): a kernel without them answers by an error."""


@dataclass(frozen=True, slots=True)
class Feature:
    """Something that this kernel must be able to do: a shell command that tries it in a throwaway namespace, and what mends it."""

    name: str
    attempt: str
    remedy: str


FEATURES = (
    Feature("veth", "ip link add d0 type veth peer name d1 && ip link set d0 up && ip link set d1 up", "modprobe veth"),
    Feature("bridge", "ip link add d2 type bridge", "modprobe bridge"),
    Feature("netem", "tc qdisc add dev d0 root netem delay 1ms", "modprobe sch_netem"),
    Feature("ingress", "tc qdisc add dev d0 ingress", "modprobe sch_ingress"),
    Feature(
        "mirred",
        "tc filter add dev d0 ingress matchall action mirred egress redirect dev d1",
        "modprobe -a cls_matchall act_mirred",
    ),
    Feature("ip6_tunnel", "ip link add d3 type ip6tnl external && ip link set d3 up", "modprobe ip6_tunnel"),
    Feature(
        "encap ip6",
        "ip -6 route add 2001:db8:1::/64 encap ip6 id 0 dst 2001:db8::2 src 2001:db8::1 hoplimit 64 dev d3",
        "modprobe ip6_tunnel",
    ),
    Feature("nf_tables", f"{shlex.quote(sys.executable)} -c {shlex.quote(_ASK_NF_TABLES)}", "modprobe nf_tables"),
    Feature("tun", "ip tuntap add dev d4 mode tun", "modprobe tun, and let this user read and write /dev/net/tun"),
    Feature(
        "sysctl",
        "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding",
        "run as root, or outside of a container that keeps /proc/sys read-only",
    ),
)


@dataclass(frozen=True, slots=True)
class Probe:
    """What came of trying one feature: ``problem`` is empty where it works."""

    feature: Feature
    problem: str


def unshare_command() -> tuple[str, ...]:
    """The command that puts what follows it into namespaces of its own, which end when it is killed."""
    user = () if os.geteuid() == 0 else ("--user", "--map-root-user")
    return ("unshare", *user, "--net", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "--mount-proc", "--")


def namespace_problem() -> Problem | None:
    """Why this user cannot have namespaces, or None where they can be had."""
    if not shutil.which("unshare", path=_PATH):
        return Problem("there is no unshare", "apt-get install util-linux")
    tried = subprocess.run((*unshare_command(), "true"), env=_ENVIRONMENT, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if tried.returncode == 0:
        return None
    said = tried.stderr.strip().splitlines()
    remedy = "run outside of this container, or give it more privileges" if os.geteuid() == 0 else _USER_NAMESPACES
    return Problem(f"no namespaces ({said[-1] if said else 'unshare failed'})", remedy)


def probe() -> tuple[Probe, ...]:
    """Try every feature in a throwaway namespace; call it only where namespaces can be had."""
    script = "".join(
        f'if said=$({{ {feature.attempt}; }} 2>&1); then echo "{number}"; else echo "{number} $(echo "$said" | head -n 1)"; fi\n'
        for number, feature in enumerate(FEATURES)
    )
    tried = subprocess.run(
        (*unshare_command(), "sh", "-c", script), env=_ENVIRONMENT, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    answers = {number: problem for number, _, problem in (line.partition(" ") for line in tried.stdout.splitlines())}
    return tuple(Probe(feature, answers.get(str(number), "no answer")) for number, feature in enumerate(FEATURES))


@dataclass(frozen=True, slots=True)
class Native:
    """The engine ``native``: as root, or as any user who may have user namespaces."""

    kernel: str
    name: str = "native"
    virtual: bool = False

    @classmethod
    def probed(cls) -> Native:
        """The engine, once its kernel has shown to do all that is needed; EngineError otherwise."""
        if problem := namespace_problem():
            raise EngineError(f"engine native: {problem}")
        missing = [found for found in probe() if found.problem]
        if missing:
            lacks = "; ".join(f"{found.feature.name} ({found.feature.remedy})" for found in missing)
            raise EngineError(f"engine native: this kernel lacks {lacks}; where modprobe finds no module: {MODULES}")
        return cls(platform.release())

    async def run(self, job: Job) -> Outcome:
        tmp = str(temporary(job.results.absolute()))
        script = f'mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs {tmp} && mount -t sysfs sysfs /sys && ip link set lo up && exec "$@"'
        command = (*unshare_command(), "sh", "-c", script, "sh", *job.command)
        ended = await supervise(command, job, {**_ENVIRONMENT, "HOME": tmp, "TMPDIR": tmp}, cwd=REPOSITORY)
        return outcome(ended, why(ended, job.wall_limit, "the command"), console(job.log))
