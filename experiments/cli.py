"""The command line: ``dmmlab run``, ``analyse``, ``compare``, ``list`` and ``doctor``."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from agents.schemes import SCHEMES
from engines.base import EngineError
from engines.choose import NAMES
from experiments import results, settings
from experiments.catalogue import CATALOGUE
from experiments.selection import SelectionError, select
from topologies import presets

_EPILOG = """\
examples:
  dmmlab run                                   the draft: fig1, fig2, table1 and handover, then open results/latest/index.html
  dmmlab run handover --runs 5 --seed 7        five runs of each case, seeds 7 to 11
  dmmlab run handover --scheme sd-pmip --set access.delay=3ms
  dmmlab run fig1 --engine uml                 the same kernel in real time
  dmmlab analyse results/latest                metrics, figures and report again, from the captures alone
  dmmlab compare results/latest                the same bytes as the reference run? the same numbers?
  dmmlab list settings                         everything that --set takes
  dmmlab doctor                                what this machine can do, and what would mend what it cannot
"""


_USUAL = [name for name, experiment in CATALOGUE.items() if experiment.usual]


class UsageError(ValueError):
    """The command line asks for something that does not exist; one line that says what was expected."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status: 0, 1 where a run failed, 2 where the command line is wrong."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.do(options)
        return status
    except (UsageError, SelectionError, settings.SettingError, presets.DomainError) as error:
        print(f"dmmlab: {error}", file=sys.stderr)
        return 2
    except (EngineError, results.ResultsError) as error:
        print(f"dmmlab: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"dmmlab: {error.filename or 'writing'}: {error.strerror}; what was complete is kept", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("dmmlab: interrupted; nothing is left running", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dmmlab",
        description="Run the mobility schemes of draft-jikim-dmm-pmip-00 on a real Linux kernel, and measure them from packet captures.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    run = commands.add_parser(
        "run", help="run experiments, and analyse them", epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    run.add_argument(
        "experiments",
        nargs="*",
        metavar="EXPERIMENT",
        help=f"which (default: {', '.join(_USUAL)}): {', '.join(CATALOGUE)}; or 'all'",
    )
    run.add_argument(
        "--scheme", action="append", default=[], metavar="SCHEME", help=f"only these schemes: {', '.join(SCHEMES)}; may be given again"
    )
    run.add_argument(
        "--policy", action="append", default=[], metavar="POLICY", help="only, or instead, these handover policies; 'all' for every one"
    )
    run.add_argument("--runs", type=_count, default=1, metavar="N", help="runs of each case (default: 1)")
    run.add_argument("--seed", type=_seed, default=1, metavar="N", help="seed of the first run, one more for each further (default: 1)")
    run.add_argument("--engine", default="auto", metavar="ENGINE", help=f"where the kernel comes from: {', '.join(NAMES)} (default: auto)")
    run.add_argument("--domain", metavar="DOMAIN", help=f"another network: {', '.join(presets.PRESETS)}, or a TOML file")
    run.add_argument(
        "--set", action="append", default=[], dest="settings", metavar="NAME=VALUE", help="change a setting, such as lma.delay=40ms"
    )
    run.add_argument("--jobs", type=_count, default=None, metavar="N", help="how many runs at once (default: one for each core)")
    run.add_argument(
        "--wall-limit",
        type=_seconds,
        metavar="SECONDS",
        help="kill a run that takes longer by the clock on the wall (default: 600 and more, for long scenarios and large domains)",
    )
    run.add_argument("--results", type=Path, default=results.ROOT / "results", metavar="DIR", help="where results go (default: results/)")
    run.set_defaults(do=_run)

    analyse = commands.add_parser("analyse", help="metrics, figures and report again, from a folder's captures")
    analyse.add_argument("folder", type=Path, metavar="DIR", help="a folder that `dmmlab run` left, such as results/latest")
    analyse.set_defaults(do=_analyse)

    compare = commands.add_parser("compare", help="compare a run with the reference run that comes with the project")
    compare.add_argument("folder", type=Path, metavar="DIR", help="a folder that `dmmlab run` left")
    compare.set_defaults(do=_compare)

    listing = commands.add_parser("list", help="what there is: experiments, schemes, domains, settings")
    listing.add_argument("what", choices=tuple(_LISTINGS), help="which list")
    listing.set_defaults(do=_list)

    doctor = commands.add_parser("doctor", help="what this machine can do, what is missing, and the command that mends it")
    doctor.set_defaults(do=_doctor)
    return parser


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, not {text!r}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number of seconds above 0, not {text!r}")
    return seconds


def _seed(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) >= 2**63:
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 to 2^63 - 1, not {text!r}")
    return int(text)


def _known(kind: str, name: str, known: Iterable[str]) -> str:
    known = tuple(known)
    if name in known:
        return name
    near = difflib.get_close_matches(name, known, 1)
    raise UsageError(f"no {kind} is called {name!r}; " + (f"did you mean {near[0]}?" if near else f"expected one of {', '.join(known)}"))


def _run(options: argparse.Namespace) -> int:
    from experiments import runner

    _known("engine", options.engine, NAMES)
    wanted = options.experiments or _USUAL
    names = list(CATALOGUE) if "all" in wanted else [_known("experiment", name, CATALOGUE) for name in wanted]
    schemes = [_known("scheme", name, SCHEMES) for name in options.scheme]
    selected = (
        select(CATALOGUE[name], schemes=schemes, policies=options.policy, domain=options.domain, assignments=options.settings)
        for name in dict.fromkeys(names)
    )
    chosen = [selection for selection in selected if selection]
    if not chosen:
        raise UsageError(
            f"{', '.join(names)}: no case left with scheme {' '.join(schemes) or 'any'} and policy {' '.join(options.policy) or 'any'}"
        )
    return runner.run(
        chosen,
        engine_name=options.engine,
        runs=options.runs,
        seed=options.seed,
        results_folder=options.results.absolute(),
        jobs=options.jobs,
        wall_limit=options.wall_limit,
    )


def _analyse(options: argparse.Namespace) -> int:
    from experiments.analyse import analyse
    from experiments.present import terminal

    folder = options.folder.resolve()
    study = analyse(folder)
    terminal.show(study)
    print(f"report: {folder / 'index.html'}")
    return 1 if study.failed else 0


def _compare(options: argparse.Namespace) -> int:
    from experiments import reference

    found = reference.compare(options.folder.resolve())
    versions = "the reference's kernel and versions" if found.same_versions else "other versions than the reference's (see manifest.json)"
    print(f"{versions}; captures that differ: {len(found.captures)}; metrics that differ: {len(found.metrics)}")
    for line in (*found.captures, *found.metrics):
        print(f"  {line}")
    return 1 if found.metrics else 0


def _experiment_lines() -> list[str]:
    return [f"{experiment.name:12} {experiment.title}" for experiment in CATALOGUE.values()]


_LISTINGS = {
    "experiments": _experiment_lines,
    "schemes": lambda: [f"{s.name:12} {s.title:14} policies: {', '.join(s.policies)}" for s in SCHEMES.values()],
    "domains": lambda: list(presets.PRESETS),
    "settings": settings.describe,
}


def _list(options: argparse.Namespace) -> int:
    print("\n".join(_LISTINGS[options.what]()))
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from engines import doctor

    return doctor.main([])


if __name__ == "__main__":
    sys.exit(main())
