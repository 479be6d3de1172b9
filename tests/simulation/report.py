"""Renders results as markdown: a pure function of the results file."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tests.simulation.catalogue import EXPERIMENTS, GRID, about
from tests.simulation.ends import Tally
from tests.simulation.goals import MODES, Results, goals
from tests.simulation.scenarios import PREVALENCES, SCALED, SHARES, SHORT, TRUTHS

NAMES = {"Worse": "**Assay, rollbackOn Worse**", "WorseThanMargin": "**Assay, WorseThanMargin**"}


def load(text: str) -> tuple[Results, dict[str, Any]]:
    """Read a results file."""
    content = json.loads(text)
    return content["results"], content["meta"]


def render(results: Results, meta: dict[str, Any]) -> str:
    """Return the document."""
    lines = [
        "# How good the decisions are",
        "",
        f"Written by `{meta['command']}` on {meta['date']}: {meta['runs']} runs of each cell of "
        f"the grid, near-perfect and sessions case, half as many of the others, commit {meta['commit']}. Not edited by hand; `make simulate` writes it again.",
        "",
        "Every number comes from simulated trials through the shipped decision code "
        "(`assay.judge.decision.decide`); `tests/simulation` has the models, the seeds and the rules of "
        "the peers. What the rules mean is in [statistics](statistics.md).",
        "",
        *_goals(results),
        *_grid(results),
        *_experiments(results),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _goals(results: Results) -> Iterator[str]:
    yield "## Goals"
    yield ""
    yield from _table(
        ["must hold", "worst case", ""],
        [[goal.text, goal.worst, "yes" if goal.holds else "**no**"] for goal in goals(results)],
    )


def _grid(results: Results) -> Iterator[str]:
    if not any(name.startswith(f"{GRID}: ") for name in results):
        return
    yield "## The grid"
    yield ""
    yield (
        "Binormal scores, AUC .9, F1-optimal threshold; margin .03 (F1, prevalence 50 %), .05 (F1, 10 and "
        "1 %), .02 (AUC). Columns: prevalence / canary share. *Short*: a look every 200 labelled requests "
        "up to 20 000. *Scaled*: 100 looks that cover 2.5 times what a fixed-sample test needs for a power "
        "of 90 %. All rules judge the same runs (Kayenta-like: the first 200). The others are re-implemented "
        "from documented semantics, see `tests/simulation/peers.py` and `kayenta.py`; threshold rules are "
        "given stable's true metric less the margin, which real users would have to guess."
    )
    yield ""
    for metric in ("F1", "AUC"):
        for horizon in (SHORT, SCALED):
            cells = {
                f"{p:.0%}/{s:.0%}": results.get(f"{GRID}: {metric} {p:.0%}/{s:.0%} {horizon}")
                for p in PREVALENCES
                for s in SHARES
            }
            known = {column: cell for column, cell in cells.items() if cell}
            if known:
                yield from _grid_tables(f"{metric}, {horizon}", known)


def _grid_tables(title: str, cells: dict[str, dict[str, Any]]) -> Iterator[str]:
    def pair(
        first: tuple[str, str, Callable[[Tally], str]],
        second: tuple[str, str, Callable[[Tally], str]],
    ) -> list[list[str]]:
        rows = []
        for rule in _rules(cells):
            row = [NAMES.get(rule, rule)]
            for cell in cells.values():
                parts = []
                for truth, _, show in (first, second):
                    parts.append(show(_of(cell, truth, rule)))
                row.append(" / ".join(parts))
            rows.append(row)
        return rows

    same, border, worse = TRUTHS
    header = ["rule", *cells]
    yield f"### {title}: % rolled back when identical / % promoted when worse by 2d"
    yield ""
    yield from _table(header, pair((same, "", _rolled_back), (worse, "", _promoted)))
    yield (
        f"### {title}: worse by exactly d, % promoted / % rolled back "
        "(WorseThanMargin must keep both below 5, Worse the first)"
    )
    yield ""
    yield from _table(header, pair((border, "", _promoted), (border, "", _rolled_back)))
    yield f"### {title}: median labelled requests to a decision, identical / worse by 2d"
    yield ""
    rows = pair((same, "", _median), (worse, "", _median))
    needs = [f"{_short(cell['n80'])} / {_short(cell['n95'])}" for cell in cells.values()]
    rows.append(["fixed-sample test that knows the truth, n80 / n95", *needs])
    yield from _table(header, rows)


def _rules(cells: dict[str, dict[str, Any]]) -> list[str]:
    first = next(iter(cells.values()))["truths"]["identical"]
    return [*MODES, *first["peers"]]


def _of(cell: dict[str, Any], truth: str, rule: str) -> Tally:
    found = cell["truths"][truth]
    tally: Tally = found["ours"][rule] if rule in MODES else found["peers"][rule]
    return tally


def _experiments(results: Results) -> Iterator[str]:
    for experiment in EXPERIMENTS:
        prefix = f"{experiment}: "
        cases = {
            name.removeprefix(prefix): result
            for name, result in results.items()
            if name.startswith(prefix)
        }
        if not cases:
            continue
        yield f"## {experiment[0].upper()}{experiment[1:]}"
        yield ""
        yield about(experiment)
        yield ""
        yield "Promoted % / rolled back %, median labelled requests of all runs (`open`: after the end)."
        yield ""
        notes = any(_notes(result) for result in cases.values())
        header = ["case", "rollbackOn Worse", "WorseThanMargin", *(["also"] if notes else [])]
        rows = []
        for name in [name for name in _order(experiment) if name in cases]:
            result = cases[name]
            row = [name, *(_outcome(result["ours"][mode]) for mode in MODES)]
            rows.append([*row, _notes(result)] if notes else row)
        yield from _table(header, rows)


def _order(experiment: str) -> list[str]:
    return list(EXPERIMENTS[experiment]())


def _notes(result: dict[str, Any]) -> str:
    notes = []
    if "n80" in result:
        notes.append(f"n80 {_short(result['n80'])}")
    notes += [
        f"bias at {_short(bias['labels'])}: {bias['mean']:+.4f} ± {bias['standard error']:.4f}"
        for bias in result.get("bias", ())
    ]
    if "failed at" in result:
        notes.append(f"fails at {_short(result['failed at'])}")
    if "sample ratio alarms" in result:
        alarms, runs = result["sample ratio alarms"], result["ours"]["Worse"]["runs"]
        notes.append(
            f"sample-ratio alarms {_percent(alarms['users'], runs)} % "
            f"(counting requests: {_percent(alarms['requests'], runs)} %)"
        )
    return ", ".join(notes)


def _outcome(tally: Tally) -> str:
    return f"{_promoted(tally)} / {_rolled_back(tally)}, {_median(tally)}"


def _promoted(tally: Tally) -> str:
    return _percent(tally["promoted"], tally["runs"])


def _rolled_back(tally: Tally) -> str:
    return _percent(tally["rolled_back"], tally["runs"])


def _median(tally: Tally) -> str:
    return "open" if tally["median"] is None else _short(tally["median"])


def _percent(count: int, runs: int) -> str:
    share = 100.0 * count / runs
    return f"{share:.0f}" if share >= 10.0 else f"{share:.1f}"


def _short(number: float) -> str:
    if number >= 999_500.0:
        return f"{number / 1e6:.2f}M"
    if number >= 99_950.0:
        return f"{number / 1e3:.0f}k"
    return f"{number / 1e3:.1f}k" if number >= 1000.0 else f"{number:.0f}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(header) + " |"
    yield "|" + "---|" * len(header)
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""
