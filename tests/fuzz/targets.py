"""The fuzz targets by name. Each is a module with ``run``, which raises where the code under test is wrong, and ``seeds``."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType

import fuzz_capture
import fuzz_codec
import fuzz_folder
import fuzz_lma
import fuzz_mag
import fuzz_neighbour_discovery

TARGETS: Mapping[str, ModuleType] = {
    "codec": fuzz_codec,
    "neighbour_discovery": fuzz_neighbour_discovery,
    "lma": fuzz_lma,
    "mag": fuzz_mag,
    "capture": fuzz_capture,
    "folder": fuzz_folder,
}
