"""``python -m tests.simulation``: simulate, check the goals, write the tables."""

import os

# Before numpy: two processes of one thread each beat two of two.
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import argparse  # noqa: E402
import datetime  # noqa: E402
import pathlib  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
from collections.abc import Sequence  # noqa: E402

from tests.simulation import report, runner  # noqa: E402
from tests.simulation.cache import Cache  # noqa: E402
from tests.simulation.catalogue import tasks  # noqa: E402
from tests.simulation.goals import Results, goals  # noqa: E402

ROOT = pathlib.Path(__file__).parents[2]
RESULTS = ROOT / "tests" / "simulation" / "results.json"
DOCUMENT = ROOT / "docs" / "decision-quality.md"
FULL, QUICK = 2000, 200


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 when every goal holds, 1 when one does not."""
    options = _parser().parse_args(arguments)
    runs = options.runs or (QUICK if options.quick else FULL)
    chosen = [task for task in tasks() if options.only.lower() in task.name.lower()]
    if not chosen:
        print(f"--only {options.only}: no such name", file=sys.stderr)
        return 2
    cache = Cache(options.cache)
    if options.fresh:
        cache.forget()
    try:
        results = runner.run(chosen, runs, cache, options.jobs)
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on where it was", file=sys.stderr)
        return 130
    for goal in goals(results):
        print(f"{'holds ' if goal.holds else 'FAILS '} {goal.text}: {goal.worst}")
    complete = not options.only and runs >= FULL
    _write(results, runs, _places(options, complete=complete))
    return 0 if all(goal.holds for goal in goals(results)) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} runs instead of {FULL}")
    parser.add_argument("--only", default="", metavar="NAME", help="only names that contain this")
    parser.add_argument("--runs", type=int, metavar="N", help="runs per cell of the grid")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="worker processes")
    parser.add_argument("--fresh", action="store_true", help="forget what was found before")
    parser.add_argument(
        "--cache", type=pathlib.Path, default=ROOT / ".simulation", help="finished work"
    )
    parser.add_argument(
        "--out",
        type=pathlib.Path,
        help="write results.json and decision-quality.md here; without it a full run writes the "
        "ones of the repository, and others write to the cache",
    )
    return parser


def _places(options: argparse.Namespace, *, complete: bool) -> tuple[pathlib.Path, pathlib.Path]:
    if options.out is None and complete:
        return RESULTS, DOCUMENT
    folder = options.out or options.cache / "partial"
    return folder / RESULTS.name, folder / DOCUMENT.name


def _write(results: Results, runs: int, places: tuple[pathlib.Path, pathlib.Path]) -> None:
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=10"]
    commit = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    meta = {
        "command": "python -m tests.simulation " + " ".join(sys.argv[1:]),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "runs": runs,
        "commit": commit or "unknown",
    }
    meta["command"] = meta["command"].strip()
    text = runner.save_json(results, meta)
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
    places[0].write_text(text)
    places[1].write_text(report.render(*report.load(text)))
    print(f"wrote {places[0]} and {places[1]}")


if __name__ == "__main__":
    sys.exit(main())
