"""The command line, ``dmmlab run`` and the others; experiments.status has its exit statuses."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from agents.schemes import SCHEMES
from engines.base import REPOSITORY, EngineError
from engines.choose import KERNELS, NAMES
from experiments.catalogue import CATALOGUE
from experiments.declare import keys, settings
from experiments.declare.phase import Phase
from experiments.declare.selection import SelectionError, select
from experiments.measure import results
from experiments.present import streams
from experiments.status import Status
from topologies import presets

if TYPE_CHECKING:
    from experiments import runner

_FIRST = """\
dmmlab runs the mobility schemes of draft-jikim-dmm-pmip-00 on a real Linux kernel, and measures them from packet captures.
Start with these:

  dmmlab run              the draft's figures, its table and a handover, in a minute; then open results/latest/index.html
  dmmlab list experiments what else can be run
  dmmlab --help           every command, with examples
"""

_EPILOG = """\
examples:
  dmmlab run                                   the draft: fig1, fig2, table1 and handover, then open results/latest/index.html
  dmmlab run handover --runs 5 --seed 7        five runs of each case, seeds 7 to 11
  dmmlab run handover --scheme sd-pmip --set access.delay=3ms
  dmmlab run fig1 --engine uml                 the same kernel in real time
  dmmlab run --resume results/latest           the runs that an interruption left undone, and those that failed
  dmmlab analyse results/latest                metrics, figures and report again, from the captures alone
  dmmlab compare results/latest                the same bytes as the reference run? the same numbers?
  dmmlab script mine.py                        a Python file of your own with a running domain in it (docs/sessions.md)
  dmmlab list settings                         everything that --set takes
  dmmlab doctor                                what this machine can do, and what would mend what it cannot

exit status:
  0  all is as expected
  1  something failed, differs or is missing; the last lines say what
  2  wrong arguments, or results that cannot be compared
  130  interrupted; what is complete is kept
"""


_USUAL = [name for name, experiment in CATALOGUE.items() if experiment.usual]


class UsageError(ValueError):
    """The command line asks for something that does not exist; one line that says what was expected."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status, a Status."""
    streams.prepare()
    given = sys.argv[1:] if arguments is None else arguments
    if not given:
        print(_FIRST, end="", file=sys.stderr)
        return Status.WRONG_ARGUMENTS
    options = _parser().parse_args(given)
    try:
        status: int = options.do(options)
        sys.stdout.flush()
        return status
    except _WRONG_ARGUMENTS as error:
        return _end(Status.WRONG_ARGUMENTS, str(error), error)
    except (EngineError, results.ResultsError) as error:
        return _end(Status.NOT_AS_EXPECTED, str(error), error)
    except OSError as error:
        return _end(Status.NOT_AS_EXPECTED, f"{error.filename or 'writing'}: {error.strerror}; what was complete is kept", error)
    except KeyboardInterrupt as error:
        return _end(Status.INTERRUPTED, "interrupted; nothing is left running", error)


_WRONG_ARGUMENTS = (
    UsageError,
    SelectionError,
    settings.SettingError,
    presets.DomainError,
    results.NoResultsError,
    results.ResumptionError,
)


def _end(status: Status, why: str, error: BaseException) -> Status:
    """Say in a line each why the command ends, and what else is known."""
    for line in (why, *getattr(error, "__notes__", ())):
        streams.say(f"dmmlab: {line}", error=True)
    return status


class _Version(argparse.Action):
    """Shows the version; it asks git, so only where it is wanted."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(f"dmmlab {results.version()}")
        parser.exit()


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong."""

    def error(self, message: str) -> NoReturn:
        self.exit(Status.WRONG_ARGUMENTS, f"dmmlab: {message}; `{self.prog} --help` says more\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="dmmlab",
        description="Run the mobility schemes of draft-jikim-dmm-pmip-00 on a real Linux kernel, and measure them from packet captures.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and end")
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
        "--policy",
        action="append",
        default=[],
        metavar="POLICY",
        help="run these handover policies instead of the experiment's own; 'all' for every one that a scheme has",
    )
    run.add_argument("--runs", type=_count, metavar="N", help="runs of each case (default: 1)")
    run.add_argument("--seed", type=_seed, metavar="N", help="seed of the first run, one more for each further (default: 1)")
    run.add_argument(
        "--phase",
        choices=[phase.value for phase in Phase],
        help="moves and flows begin as declared, or each run's a little earlier or later, drawn from its seed "
        "(default: declared for one run, drawn for several)",
    )
    run.add_argument("--engine", metavar="ENGINE", help=f"where the kernel comes from, sim for none: {', '.join(NAMES)} (default: auto)")
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
    run.add_argument("--results", type=Path, metavar="DIR", help="where results go (default: results/)")
    run.add_argument(
        "--resume",
        type=Path,
        metavar="DIR",
        help="do what an interruption left undone in DIR and what failed there, with the settings, seeds and engine that it has; "
        "takes no other choices",
    )
    run.set_defaults(do=_run)

    script = commands.add_parser(
        "script",
        help="run a Python file of your own where there is a kernel for its sessions",
        description="Run a Python file of your own, as root, where the engine provides a kernel. Its first argument is a new folder, the "
        "only one whose files stay. Options of this command come before FILE. docs/sessions.md says what a script can do.",
    )
    script.add_argument("file", type=Path, metavar="FILE", help="the Python file")
    script.add_argument(
        "arguments", nargs=argparse.REMAINDER, metavar="...", help="all that comes behind FILE is given to it, behind the folder"
    )
    script.add_argument("--engine", metavar="ENGINE", help=f"where the kernel comes from: {', '.join(KERNELS)} (default: auto)")
    script.add_argument("--seed", type=_seed, default=1, metavar="N", help="what its kernel's random numbers follow from (default: 1)")
    script.add_argument(
        "--wall-limit", type=_seconds, metavar="SECONDS", help="kill it where it takes longer by the clock on the wall (default: 3600)"
    )
    script.add_argument("--results", type=Path, metavar="DIR", help="where its folder is made (default: results/)")
    script.set_defaults(do=_script)

    analyse = commands.add_parser("analyse", help="metrics, figures and report again, from a folder's captures")
    analyse.add_argument("folder", type=Path, metavar="DIR", help="a folder that `dmmlab run` left, such as results/latest")
    analyse.set_defaults(do=_analyse)

    compare = commands.add_parser(
        "compare", help="compare with the reference run that comes with the project: the same bytes, the same numbers?"
    )
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

    if options.resume:
        key = settings.key_of(_told(options.settings))
        return _conclude(runner.resume(_resumed(options), jobs=options.jobs, wall_limit=options.wall_limit, key=key))
    engine = _known("engine", options.engine or "auto", NAMES)
    wanted = options.experiments or _USUAL
    names = list(CATALOGUE) if "all" in wanted else [_known("experiment", name, CATALOGUE) for name in wanted]
    schemes = [_known("scheme", name, SCHEMES) for name in options.scheme]
    told = _told(options.settings)
    selected = (
        select(CATALOGUE[name], schemes=schemes, policies=options.policy, domain=options.domain, assignments=told)
        for name in dict.fromkeys(names)
    )
    chosen = [selection for selection in selected if selection]
    if not chosen:
        raise UsageError(
            f"{', '.join(dict.fromkeys(names))}: no case left with scheme {' '.join(schemes) or 'any'} and policy "
            f"{' '.join(options.policy) or 'any'}"
        )
    done = runner.run(
        chosen,
        engine_name=engine,
        runs=options.runs or 1,
        seed=1 if options.seed is None else options.seed,
        phase=Phase(options.phase or (Phase.DRAWN if (options.runs or 1) > 1 else Phase.DECLARED)),
        results_folder=(options.results or REPOSITORY / "results").absolute(),
        jobs=options.jobs,
        wall_limit=options.wall_limit,
    )
    return _conclude(done)


def _script(options: argparse.Namespace) -> int:
    from experiments import script

    if not options.file.is_file():
        raise UsageError(f"no Python file is there: {options.file}")
    folder, outcome = script.run(
        options.file,
        options.arguments,
        engine_name=_known("engine that has a kernel", options.engine or "auto", KERNELS),
        seed=options.seed,
        results_folder=(options.results or REPOSITORY / "results").absolute(),
        wall_limit=options.wall_limit,
        say=streams.say,
    )
    if not outcome.ok:
        raise EngineError(f"{options.file}: {outcome.reason}; all that it said is in {folder / script.CONSOLE}")
    streams.say(f"what it left: {folder}")
    return Status.AS_EXPECTED


_RECORDED = ("experiments", "scheme", "policy", "runs", "seed", "phase", "engine", "domain", "results")
"""What a results folder has recorded, so that it cannot be asked for anew when it is resumed."""


def _told(assignments: Sequence[str]) -> Sequence[str]:
    """The settings, with a warning where they show a key to others."""
    if any(map(keys.stands_in_argument, assignments)):
        streams.say(
            f"dmmlab: warning: whoever lists this machine's processes, or reads your shell's history, sees the key; "
            f"put it into a file that only you can read, and give {keys.SETTING}=@FILE",
            error=True,
        )
    return assignments


def _resumed(options: argparse.Namespace) -> Path:
    given = [name for name in _RECORDED if getattr(options, name) not in (None, [])]
    if given:
        raise UsageError(f"--resume does what {options.resume} has recorded: leave out {', '.join(given)}")
    folder: Path = options.resume
    return folder


def _analyse(options: argparse.Namespace) -> int:
    from experiments import runner

    return _conclude(runner.analyse_again(options.folder))


def _conclude(done: runner.Done) -> int:
    """Show what became of experiments; a last line each says what is not as expected."""
    from experiments.measure.study import Study
    from experiments.present import report, terminal

    studies = [study for study in done.studies if isinstance(study, Study)]
    for study in studies:
        terminal.show(study)
        streams.say(f"report: {study.folder / 'index.html'}\n")
    if (done.folder / results.OVERVIEW).exists() and studies:
        streams.say(f"all of them: {report.write_index(studies, done.folder)}")
    lines = list(done.shortcomings())
    terminal.show_shortcomings(lines)
    return Status.NOT_AS_EXPECTED if lines else Status.AS_EXPECTED


def _compare(options: argparse.Namespace) -> int:
    from experiments import reference
    from experiments.measure.comparison import Comparison
    from experiments.present import terminal

    found: list[Comparison | None] = []
    for folder in results.experiments(options.folder):
        try:
            comparison = reference.compare(folder)
            terminal.show_comparison(comparison)
            found.append(comparison)
        except results.ResultsError as error:
            streams.say(str(error))
            found.append(None)
    if any(comparison and not comparison.same for comparison in found):
        return Status.NOT_AS_EXPECTED
    return Status.WRONG_ARGUMENTS if None in found else Status.AS_EXPECTED


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
