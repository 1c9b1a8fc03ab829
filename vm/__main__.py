"""``python -m vm build|run|test``: the project's virtual machine."""

from __future__ import annotations

import argparse
import os
import signal
import sys

from engines.base import EngineError
from vm.build import FORMATS, MEMORY, PROCESSORS, build, image
from vm.run import at_console
from vm.trial import EXPERIMENTS, trial


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m vm", description="A virtual machine with the project inside, and nothing left to set up."
    )
    commands = parser.add_subparsers(required=True, dest="command", metavar="COMMAND")
    making = commands.add_parser("build", help="build its image, of the last commit, where it is not built yet")
    making.add_argument(
        "--format", choices=FORMATS, default="qcow2", help="qcow2 for QEMU and clouds, raw for a USB stick, ova for VirtualBox and VMware"
    )
    running = commands.add_parser("run", help="start it in QEMU, with its console here and the project's results/ as its own")
    running.add_argument("--processors", type=int, default=PROCESSORS, help="processors that it has (default: %(default)s)")
    running.add_argument("--memory", type=int, default=MEMORY, metavar="MB", help="memory that it has (default: %(default)s)")
    trying = commands.add_parser("test", help="run experiments in it, under TCG: the reference's bytes? how exact is real time?")
    trying.add_argument(
        "experiments", nargs="*", default=EXPERIMENTS, metavar="EXPERIMENT", help=f"which (default: {', '.join(EXPERIMENTS)})"
    )
    for command in (making, running, trying):
        command.add_argument("--desktop", action="store_true", help="the machine with a desktop and Wireshark")
    return parser


def main() -> int:
    asked = _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        wanted = image(asked.desktop)
        match asked.command:
            case "build":
                print(build(wanted, asked.format))
                return 0
            case "run":
                window = bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
                return at_console(wanted, window, asked.processors, asked.memory)
            case _:
                return int(not trial(wanted, asked.experiments))
    except EngineError as error:
        print(f"dmmlab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("dmmlab: interrupted; nothing half-made is left, and nothing runs on", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
