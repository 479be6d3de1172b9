"""``python -m tests.exploration``: explore every scope, write what was explored into the document."""

import argparse
import concurrent.futures
import datetime
import os
import pathlib
import platform
import sys
from collections.abc import Iterable, Sequence

from tests.exploration.explorer import Counts, Explorer
from tests.exploration.scope import SCOPES, Budget, Scope

DOCUMENT = pathlib.Path(__file__).parents[2] / "docs" / "exploration.md"
BEGIN, END = "<!-- tests.exploration: begin -->", "<!-- tests.exploration: end -->"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 when every property holds everywhere, 1 when one does not."""
    parser = argparse.ArgumentParser(prog="python -m tests.exploration", description=__doc__)
    parser.add_argument("--only", default="", metavar="NAME", help="only names that contain this")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="worker processes")
    options = parser.parse_args(arguments)
    names = [scope.name for scope in SCOPES if options.only in scope.name]
    if not names:
        print(f"--only {options.only}: no such name", file=sys.stderr)
        return 2
    found: dict[str, Counts] = {}
    failed = False
    with concurrent.futures.ProcessPoolExecutor(options.jobs) as pool:
        running = {pool.submit(_explore, name): name for name in names}
        for done in concurrent.futures.as_completed(running):
            counts, violation = done.result()
            name = running[done]
            found[name] = counts
            failed = failed or violation is not None
            print(f"{name}: {said(counts)}", violation or "every property holds", sep="\n")
    if len(found) == len(SCOPES) and not failed:
        _write(found)
    return int(failed)


def said(counts: Counts) -> str:
    """Return what was explored, in one line."""
    checks = sum(counts.checks.values())
    return (
        f"{counts.states} states, {counts.edges} edges, longest shortest path {counts.depth},"
        f" {counts.decisions} decisions, {checks} checks of {len(counts.checks)} properties,"
        f" {counts.seconds:.0f} s"
    )


def _explore(name: str) -> tuple[Counts, str | None]:
    scope = next(scope for scope in SCOPES if scope.name == name)
    explorer = Explorer(scope, say=lambda text: print(f"{name}: {text}", flush=True))
    violation = explorer.run()
    return explorer.counts, None if violation is None else str(violation)


def _write(found: dict[str, Counts]) -> None:
    """Replace the tables in the document."""
    text = DOCUMENT.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{_tables(found)}\n{END}{after}")


def _tables(found: dict[str, Counts]) -> str:
    rows = [
        [
            scope.name,
            bounds(scope.budget, scope),
            number(counts.states),
            number(counts.edges),
            str(counts.depth),
            number(counts.decisions),
            f"{counts.seconds:.0f} s",
        ]
        for scope in SCOPES
        for counts in [found[scope.name]]
    ]
    total = [
        "all",
        "",
        *(number(sum(getattr(it, key) for it in found.values())) for key in ("states", "edges")),
        str(max(it.depth for it in found.values())),
        number(sum(it.decisions for it in found.values())),
        "",
    ]
    head = ["what", "at most", "states", "edges", "depth", "decisions", "time"]
    checks: dict[str, int] = {}
    for counts in found.values():
        for name, times in counts.checks.items():
            checks[name] = checks.get(name, 0) + times
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    made = (
        f"Made by `make explore`, {today}, {os.cpu_count()} cores, load average"
        f" {os.getloadavg()[0]:.1f}: python {platform.python_version()}. No property was violated."
    )
    return "\n".join(
        [
            *_table(head, [*rows, total], right=2),
            "",
            *_table(["property", "checks"], ([f"`{k}`", number(v)] for k, v in checks.items())),
            "",
            made,
            "",
        ]
    )


def _table(head: list[str], rows: Iterable[list[str]], right: int = 1) -> list[str]:
    line = ["---" if index < right else "---:" for index in range(len(head))]
    return [f"| {' | '.join(cells)} |" for cells in (head, line, *rows)]


def number(count: int) -> str:
    """Return a number as people read it."""
    return f"{count:,}".replace(",", " ")


def bounds(budget: Budget, scope: Scope) -> str:
    """Return what may happen at most, in words."""
    words = {
        "changes": f"changes of spec among {len(scope.revisions)} versions",
        "requests": "requests of a person",
        "losses": "losses of a member",
        "breaks": "pods that break",
        "faults": "looks or lives of the operator that go wrong",
        "rebuilt": "losses of the hub",
    }
    left = budget._asdict()
    return ", ".join(f"{left[key]} {word}" for key, word in words.items() if left[key])


if __name__ == "__main__":
    raise SystemExit(main())
