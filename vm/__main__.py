"""``python -m vm build|run|test``: the project's virtual machine."""

from __future__ import annotations

import argparse
import signal
import sys

from engines.base import EngineError
from vm.build import FORMATS, build, image


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m vm", description="A virtual machine with the project inside, and nothing left to set up.")
    commands = parser.add_subparsers(required=True, dest="command", metavar="COMMAND")
    making = commands.add_parser("build", help="build its image, of the last commit, where it is not built yet")
    making.add_argument("--format", choices=FORMATS, default="qcow2", help="qcow2 for QEMU and clouds, raw for a USB stick, ova for VirtualBox and VMware")
    for command in (making,):
        command.add_argument("--desktop", action="store_true", help="with a desktop and Wireshark")
    return parser


def main() -> int:
    asked = _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        print(build(image(asked.desktop), asked.format))
        return 0
    except EngineError as error:
        print(f"dmmlab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
