"""``python -m engines.kernel build|find``: the kernel that runs happen in, built first where it is not yet, or only looked for."""

from __future__ import annotations

import argparse
import signal
import sys

from engines.base import EngineError
from engines.kernel.build import ensure, standing


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m engines.kernel", description="The User-Mode Linux kernel that runs happen in.")
    commands = parser.add_subparsers(required=True, dest="command", metavar="COMMAND")
    commands.add_parser("build", help="build it where it is not yet built, with progress on stderr, and print where it is")
    commands.add_parser("find", help="print where the built kernel is; 1, without a word, where one would have to be built first")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        kernel = ensure() if asked.command == "build" else standing()
    except EngineError as error:
        print(f"dmmlab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    if kernel:
        print(kernel.binary)
    return int(kernel is None)


if __name__ == "__main__":
    sys.exit(main())
