"""``python -m engines.kernel build``: build the kernel where it is not yet built, and say where it is."""

from __future__ import annotations

import argparse
import signal
import sys

from engines.base import EngineError
from engines.kernel.build import ensure


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m engines.kernel", description="The User-Mode Linux kernel that runs happen in.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser("build", help="build it where it is not yet built, with progress on stderr, and print where it is")
    parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        kernel = ensure()
    except EngineError as error:
        print(f"dmmlab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(kernel.binary)
    return 0


if __name__ == "__main__":
    sys.exit(main())
