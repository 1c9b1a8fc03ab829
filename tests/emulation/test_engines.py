"""Guests, booted: determinism, what they may write, how they end, and that nothing of them stays."""

from __future__ import annotations

import asyncio
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engines import Engine, Job, Outcome, choose
from engines.base import REPOSITORY
from engines.kernel.build import MACHINE

pytestmark = pytest.mark.skipif(platform.machine() != MACHINE, reason=f"User-Mode Linux runs on {MACHINE} only")

Run = Callable[..., tuple[Outcome, str]]


@pytest.fixture(scope="module")
def virtual() -> Engine:
    return choose("virtual")


@pytest.fixture
def run(virtual: Engine, tmp_path: Path) -> Run:
    """Runs a shell command on an engine; answers its outcome and everything on its console."""

    def running(command: str, seed: int = 7, engine: Engine = virtual, wall_limit: float = 60.0, name: str = "run") -> tuple[Outcome, str]:
        job = job_of(command, tmp_path / name, seed, wall_limit)
        return asyncio.run(engine.run(job)), job.log.read_text()

    return running


def job_of(command: str, results: Path, seed: int = 7, wall_limit: float = 60.0) -> Job:
    return Job(command=("sh", "-c", command), results=results, seed=seed, wall_limit=wall_limit, log=results / "console.log")


LOOK = "date +%s.%N; od -An -tx1 -N16 /dev/urandom; cat /proc/sys/kernel/random/uuid; ip link add a0 type veth peer name b0; ip -o link"


def test_one_seed_gives_one_run_and_another_gives_another(run: Run) -> None:
    first, other = run(LOOK)[1], run(LOOK, seed=8, name="other")[1]
    assert first == run(LOOK, name="again")[1]
    assert first != other
    assert first.splitlines()[0] == other.splitlines()[0], "the clock does not follow from the seed"


def test_a_run_is_the_same_in_any_folder(virtual: Engine, run: Run) -> None:
    """The kernel mixes its command line into its random numbers, and each step of a guest's set-up counts in the clock."""
    here = run(LOOK)[1]
    with tempfile.TemporaryDirectory(dir="/var/tmp") as elsewhere:
        job = job_of(LOOK, Path(elsewhere) / "a b" / "c" / "d")
        assert asyncio.run(virtual.run(job)).ok
        assert job.log.read_text() == here


def test_guests_side_by_side_are_as_alone(virtual: Engine, run: Run, tmp_path: Path) -> None:
    alone = run(LOOK)[1]

    async def side_by_side() -> list[Outcome]:
        return await asyncio.gather(*(virtual.run(job_of(LOOK, tmp_path / str(number))) for number in range(4)))

    assert all(outcome.ok for outcome in asyncio.run(side_by_side()))
    assert {(tmp_path / str(number) / "console.log").read_text() for number in range(4)} == {alone}


def test_virtual_time_does_not_wait(run: Run) -> None:
    outcome, said = run("date +%s; sleep 1000; date +%s")
    before, after = (int(line) for line in said.splitlines()[:2])
    assert after - before == 1000
    assert outcome.wall < 30


FREE = """
import contextlib, os, time
time.sleep(0.001)
start = time.monotonic_ns()
for _ in range(200):
    time.monotonic_ns()
    with contextlib.suppress(OSError):
        os.stat("/nowhere")
print(time.monotonic_ns() - start)
while time.monotonic_ns() - start < 1_000_000_000:
    pass
print(time.monotonic_ns() - start)
"""


def test_in_virtual_time_looking_is_free_and_a_busy_wait_ends(run: Run) -> None:
    _, said = run(f"{sys.executable} -c '{FREE}'")
    free, waited = (int(line) for line in said.splitlines()[:2])
    assert free == 0
    assert 0 <= waited - 1_000_000_000 < 100_000


def test_real_time_waits(run: Run) -> None:
    outcome, _ = run("sleep 2", engine=choose("uml"))
    assert outcome.ok
    assert outcome.wall > 2


def test_a_guest_writes_to_its_results_and_nowhere_else(run: Run, tmp_path: Path) -> None:
    _, said = run(f"pwd; for folder in {tmp_path}/run /tmp {REPOSITORY} {tmp_path} {Path.home()}; do echo written >$folder/written; done")
    assert said.splitlines()[0] == str(REPOSITORY)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == ["run", "run/console.log", "run/written"]
    assert (tmp_path / "run" / "written").read_text() == "written\n"
    assert not any((folder / "written").exists() for folder in (Path("/tmp"), REPOSITORY, Path.home()))


def test_what_is_left_running_does_not_keep_a_guest(run: Run) -> None:
    outcome, _ = run("sleep 100000 & true")
    assert outcome.ok


def test_paths_with_spaces_and_arguments_with_quotes(virtual: Engine, tmp_path: Path) -> None:
    results = tmp_path / "my results"
    job = Job(
        command=(sys.executable, "-c", "import sys; print(*sys.argv[1:], sep='|')", "it's", '"$HOME"', "a  b"),
        results=results,
        seed=1,
        wall_limit=60.0,
        log=results / "console.log",
    )
    outcome = asyncio.run(virtual.run(job))
    assert outcome.ok
    assert outcome.console[0] == 'it\'s|"$HOME"|a  b'


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("echo before; exit 3", "exit status 3"),
        ("echo before; perl -e 'syscall 169, 0xfee1dead, 672274793, 0x4321fedc, 0'", "the guest stopped before its command ended"),
    ],
)
def test_how_a_guest_fails_is_reported(run: Run, command: str, reason: str) -> None:
    outcome, _ = run(command)
    assert (outcome.ok, outcome.reason) == (False, reason)
    assert "before" in outcome.console


def test_a_kernel_panic_is_reported(virtual: Engine, tmp_path: Path) -> None:
    """Process 1 is a shell that runs the command: ``exit`` ends it, which no kernel survives."""
    job = Job(command=("exit", "5"), results=tmp_path, seed=1, wall_limit=60.0, log=tmp_path / "console.log")
    outcome = asyncio.run(virtual.run(job))
    assert (outcome.ok, outcome.reason) == (False, "kernel panic: Attempted to kill init! exitcode=0x00000500")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["console.log"]


def test_a_guest_that_hangs_is_killed_and_reported(run: Run) -> None:
    outcome, _ = run("echo before; while :; do :; done", wall_limit=2.0)
    assert (outcome.ok, outcome.reason) == (False, "the guest hung: no end within 2 s")
    assert outcome.console[-1] == "before"
    assert outcome.wall < 10


DRIVER = """
import asyncio, sys
from pathlib import Path
from engines import Job, choose
results = Path(sys.argv[1])
jobs = [Job(("sh", "-c", "echo up; while :; do :; done"), results / name, 1, 600.0, results / name / "console.log") for name in "ab"]
async def main():
    engine = choose("virtual")
    await asyncio.gather(*(engine.run(job) for job in jobs))
asyncio.run(main())
"""


@pytest.mark.parametrize("death", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda death: death.name)
def test_nothing_outlives_the_command(virtual: Engine, tmp_path: Path, death: signal.Signals) -> None:
    memory = guest_memory()
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(tmp_path)],
        cwd=REPOSITORY,
        stderr=subprocess.DEVNULL,
        process_group=0,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )
    try:
        assert within(30, lambda: all("up" in (tmp_path / name / "console.log").read_text() for name in "ab"))
        assert len(guests(tmp_path)) >= 2
        driver.send_signal(death)
        assert driver.wait(10) != 0
    finally:
        driver.kill()
        driver.wait()
    assert within(5, lambda: not guests(tmp_path))
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == ["a", "a/console.log", "b", "b/console.log"]
    assert guest_memory() <= memory


def guest_memory() -> set[str]:
    """The files of guests' memory that have a name."""
    return {name for name in os.listdir("/dev/shm") if name.startswith("vm_file")}


def within(limit: float, holds: Callable[[], bool]) -> bool:
    """Whether something holds before ``limit`` s have passed; a file that is not there yet counts as no."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        try:
            if holds():
                return True
        except FileNotFoundError:
            pass
        time.sleep(0.05)
    return False


def guests(results: Path) -> list[int]:
    """The processes of guests whose results lie below ``results``."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if b"time-travel" in (process / "cmdline").read_bytes() and (process / "cwd").readlink().is_relative_to(results):
                found.append(int(process.name))
        except OSError:
            continue
    return found


NATIVE = """
import asyncio, os, signal, time
from pathlib import Path
from engines import Job, choose

COMMAND = '''
echo user $(id -u), processes $(ps -e -o pid= | wc -l), interfaces $(ls /sys/class/net)
ip netns add x && ip link add v0 type veth peer name v1 netns x && tc qdisc add dev v0 root netem delay 1ms
echo kept >kept
exit $1
'''

async def cancelled(job):
    task = asyncio.create_task(engine.run(job))
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

for user in (0, 1000):
    folder = Path(os.environ["TMPDIR"]) / str(user)
    folder.mkdir()
    if user:
        os.chown(folder, user, user)
        os.setgid(user)
        os.setuid(user)
    engine = choose("native")
    job = lambda *command, limit=20.0: Job(("sh", "-c", *command), folder, 1, limit, folder / "console.log")
    for status in ("0", "3"):
        outcome = asyncio.run(engine.run(job(f"cd {folder}; {COMMAND}", "sh", status)))
        print(user, outcome.ok, outcome.reason, *outcome.console, (folder / "kept").exists(), sep="; ")
    outcome = asyncio.run(engine.run(job("sleep 1000", limit=1.0)))
    print(user, outcome.reason, sep="; ")
    asyncio.run(cancelled(job("sleep 1000")))
    child = os.fork()
    if child == 0:
        asyncio.run(engine.run(job("sleep 1000 & sleep 2000")))
    time.sleep(1)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    time.sleep(1)
"""


def test_native_in_namespaces_of_its_own(run: Run, tmp_path: Path) -> None:
    """On a guest's kernel, which has all that it needs, as root and as a user."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "native.py").write_text(NATIVE)
    python = f"PYTHONPATH={REPOSITORY} {sys.executable} {tmp_path}/run/native.py"
    left = "echo left: $(ps -e -o comm= | grep -c sleep), $(ip -o link | grep -c v0), $(ls -d /run/netns)"
    _, said = run(f"chmod 666 /dev/net/tun; {python}; {left}")
    inside = "user 0, processes 4, interfaces ip6tnl0 lo sit0"
    assert [line for line in said.splitlines() if not line.startswith("ls:")] == [
        line
        for user in (0, 1000)
        for line in (
            f"{user}; True; ; {inside}; True",
            f"{user}; False; exit status 3; {inside}; True",
            f"{user}; the command hung: no end within 1 s",
        )
    ] + ["left: 0, 0,", "reboot: Power down"]
