"""``python -m tests.fuzz``: fuzz, show how far it is, write the table; exit code 1 for a finding."""

import argparse
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from bench.server.comparison import machine, tables
from tests.fuzz import cases, guided, report, servers, targets, wire
from tests.fuzz.conversations import LedgerSpeaker, ServeSpeaker, Speaker
from tests.fuzz.findings import Finding, Tally
from tests.fuzz.subjects import Files

_SPEAKERS: dict[str, Callable[[], Speaker]] = {"serve": ServeSpeaker, "ledger": LedgerSpeaker}
_PARTS = (*targets.NAMES, *_SPEAKERS, "openapi")


class _Bar:
    """The line of one part."""

    def __init__(self, progress: Progress, part: str, total: int | None) -> None:
        self._progress = progress
        self._task: TaskID = progress.add_task(part, total=total, count=0, more="")

    def __call__(self, count: int, more: str) -> None:
        """Show how far it is."""
        # Of what is limited by time the bar only shows that it goes on.
        self._progress.update(self._task, completed=count, count=f"{count:,}", more=more)

    def end(self, tally: Tally) -> None:
        """Show what it came to."""
        found = len(tally.findings)
        more = f"[red]{found} findings" if found else "[green]nothing found"
        count = f"{tally.inputs:,}"
        self._progress.update(self._task, total=1, completed=1, count=count, more=more)


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="tests.fuzz", formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--minutes", type=float, default=30, help="for all targets together")
    add("--requests", type=int, default=1_000_000, help="over sockets, to both processes together")
    add("--cases", type=int, default=50_000, help="from the OpenAPI document")
    add("--only", choices=_PARTS, action="append", help="this part; may be given several times")
    add("--seed", type=int, default=1, help="of all dice")
    add("--no-write", action="store_true", help="leave results.json and docs/fuzzing.md alone")
    add("--repeat", type=Path, metavar="FINDING", help="do what led to a finding once more")
    return parser.parse_args(arguments)


def run(given: argparse.Namespace, progress: Progress, folder: Path) -> Iterator[Tally]:
    """Yield what came of each part."""
    parts = [part for part in _PARTS if not given.only or part in given.only]
    files = Files.written(folder)
    aimed = [part for part in parts if part in targets.NAMES]
    spoken = [part for part in parts if part in _SPEAKERS]
    for part in parts:
        if part in targets.NAMES:
            bar = _Bar(progress, part, None)
            seconds = given.minutes * 60 / len(aimed)
            tally = guided.fuzz(part, seconds=seconds, seed=given.seed, progress=bar)
        elif part in _SPEAKERS:
            budget = given.requests // len(spoken)
            bar = _Bar(progress, part, budget)
            start = servers.serve if part == "serve" else servers.ledger
            with start(files, folder) as server:
                speaker = _SPEAKERS[part]()
                tally = wire.attack(server, speaker, budget, seed=given.seed, progress=bar)
        else:
            bar = _Bar(progress, part, given.cases)
            with servers.serve(files, folder) as server:
                tally = cases.call(server, given.cases, seed=given.seed, progress=bar)
        bar.end(tally)
        for finding in tally.findings:
            progress.console.print(f"{finding.what}\nwritten to {finding.written()}", markup=False)
        yield tally


def repeat(path: Path, folder: Path) -> int:
    """Do what led to a finding once more; a target raises what it raised."""
    finding = Finding.read(path)
    if finding.part not in _SPEAKERS:
        guided.repeat(finding)
        print("nothing is wrong any more")
        return 0
    start = servers.serve if finding.part == "serve" else servers.ledger
    with start(Files.written(folder), folder) as server:
        statuses = wire.repeat(server, finding)
        print(f"answered {statuses}")
        server.check()
        return 1 if any(status >= 500 and status != 503 for status in statuses) else 0


def main(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code. No process or temporary file of it stays."""
    given = options(arguments)
    console = Console()
    bars = (
        TextColumn("{task.description:10}"),
        BarColumn(),
        TextColumn("{task.fields[count]:>10}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[more]}"),
    )
    try:
        with machine.nothing_left("assay-fuzz-") as folder:
            if given.repeat is not None:
                return repeat(given.repeat, folder)
            where = machine.description()
            with Progress(*bars, console=console) as progress:
                tallies = list(run(given, progress, folder))
            command = shlex.join(["python", "-m", "tests.fuzz", *arguments])
            found = report.results(tallies, command, where)
            console.print(f"\n{report.table(found)}", markup=False, soft_wrap=True)
            if not given.no_write:
                report.write(found)
            return 1 if any(tally.findings for tally in tallies) else 0
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    except (guided.EngineError, servers.GoneError, tables.NoPlaceError) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
