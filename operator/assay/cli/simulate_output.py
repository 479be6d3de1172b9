"""How `assay simulate` answers: the JSON that programs rely on, and tables for people."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from assay.cli.simulate_input import Asked
from assay.judge.wording import count, decimal, duration, percent
from assay.rollout.simulation import (
    INCONCLUSIVE,
    OPEN,
    PROMOTED,
    ROLLED_BACK,
    Outcomes,
    Spread,
)

MOMENTS = 100
"""Points of the curves."""

WIDTH = 60
"""Characters of a curve in the terminal."""

_LEVELS = " ▁▂▃▄▅▆▇█"


def report(asked: Asked, outcomes: Sequence[Outcomes], runs: int, seed: int) -> dict[str, Any]:
    """Shape the answer as the JSON that other programs rely on."""
    trial = asked.trial
    rollout, traffic = trial.spec.rollout, trial.traffic
    return {
        "complete": all(len(each.end) == runs and not each.share(OPEN) for each in outcomes),
        "runs": runs,
        "seed": seed,
        "prevalence": trial.stable.prevalence,
        "labelRate": traffic.label_rate,
        "labelDelaySeconds": trial.delay * trial.spacing,
        "labelCoverage": traffic.label_coverage,
        "members": {member.name: member.share for member in traffic.members},
        "maxSeconds": rollout.max_seconds,
        "intervalSeconds": rollout.analysis.interval_seconds,
        "lookSeconds": trial.spacing,
        "looks": len(trial.looks),
        "steps": [
            {"weight": step.weight, "minSeconds": step.min_seconds} for step in rollout.canary.steps
        ],
        "model": {
            "separation": trial.stable.separation,
            "threshold": trial.stable.threshold,
            "metrics": [
                {
                    "name": spec.name,
                    "type": spec.type,
                    "margin": spec.margin,
                    "asked": asked.wanted.get(spec.name),
                    "value": asked.stable[spec.name],
                }
                for spec in trial.metrics
            ],
        },
        "notes": list(asked.notes),
        "effects": [
            _effect(asked, effect.words, values, each)
            for (effect, _, values), each in zip(asked.canaries, outcomes, strict=True)
        ],
    }


def _effect(
    asked: Asked, words: str, values: Mapping[str, float], found: Outcomes
) -> dict[str, Any]:
    moments = asked.trial.spec.rollout.max_seconds * np.arange(1, MOMENTS + 1) / MOMENTS
    return {
        "effect": words,
        "metrics": dict(values),
        "runs": len(found.end),
        "promoted": found.share(PROMOTED),
        "rolledBack": found.share(ROLLED_BACK),
        "inconclusive": found.share(INCONCLUSIVE),
        "open": found.share(OPEN),
        "seconds": _spread(_of_ended(found, "seconds")),
        "labels": _spread(_of_ended(found, "labels")),
        "canaryRequests": _spread(_of_ended(found, "exposed")),
        "stepSeconds": [None if math.isnan(each) else each for each in found.step_seconds()],
        "decided": {
            "seconds": moments.tolist(),
            "promoted": found.decided_by(moments, PROMOTED).tolist(),
            "rolledBack": found.decided_by(moments, ROLLED_BACK).tolist(),
        },
    }


def _of_ended(found: Outcomes, name: str) -> Spread | None:
    numbers = getattr(found, name)
    return Spread.of(numbers[found.end != OPEN])


def _spread(found: Spread | None) -> dict[str, float] | None:
    return None if found is None else {"median": found.median, "p90": found.p90}


def show(asked: Asked, outcomes: Sequence[Outcomes], console: Console) -> None:
    """Print tables, curves and notes. Exposed are the requests that the canary answered."""
    stable = ", ".join(
        f"{name} {decimal(value)}" + _asked(asked.wanted.get(name), value)
        for name, value in asked.stable.items()
    )
    trial = asked.trial
    console.print(
        f"Stable: {stable} with {percent(trial.stable.prevalence)} positive rows (scores "
        f"{trial.stable.separation:.3f} standard deviations apart, threshold at "
        f"{trial.stable.threshold:.3f})."
    )
    for note in asked.notes:
        console.print(note)
    opened = sum(int((each.end == OPEN).sum()) for each in outcomes)
    if opened:
        console.print(
            f"Stopped: {count(opened)} rollouts were still open; medians are of the others, the early ones."
        )
    console.print(f"{count(len(outcomes[0].end))} rollouts of each canary", style="bold")
    console.print(_ends(asked, outcomes))
    console.print("Canaries, and the median time in each step that was reached", style="bold")
    console.print(_steps(asked, outcomes))
    _curves(asked, outcomes, console)
    console.print("Exposed: requests that the canary answered until the end of its trial.")


def _asked(wanted: float | None, value: float) -> str:
    differs = wanted is not None and decimal(wanted) != decimal(value)
    return f" (asked: {decimal(wanted or 0.0)})" if differs else ""


def _ends(asked: Asked, outcomes: Sequence[Outcomes]) -> Table:
    table = _table()
    table.add_column("canary")
    for name in ("promoted", "rolled\nback", "no\nverdict"):
        _column(table, name)
    for name in ("time\nmedian", "labels\nmedian", "exposed\nmedian"):
        _column(table, name)
        _column(table, "\np90")
    for (effect, *_), found in zip(asked.canaries, outcomes, strict=True):
        table.add_row(
            effect.words,
            *(percent(found.share(end)) for end in (PROMOTED, ROLLED_BACK, INCONCLUSIVE)),
            *_pair(_of_ended(found, "seconds"), duration),
            *_pair(_of_ended(found, "labels"), _rows),
            *_pair(_of_ended(found, "exposed"), _rows),
        )
    return table


def _steps(asked: Asked, outcomes: Sequence[Outcomes]) -> Table:
    table = _table()
    table.add_column("canary")
    for name in asked.stable:
        _column(table, name)
    for step in asked.trial.spec.rollout.canary.steps:
        _column(table, f"{step.weight} %")
    for (effect, _, values), found in zip(asked.canaries, outcomes, strict=True):
        times = ("-" if math.isnan(each) else duration(each) for each in found.step_seconds())
        table.add_row(effect.words, *map(decimal, values.values()), *times)
    return table


def _curves(asked: Asked, outcomes: Sequence[Outcomes], console: Console) -> None:
    """Print the share of the trials that have a verdict over time, a line for each canary."""
    latest = max(float(each.seconds.max()) for each in outcomes)
    moments = latest * np.arange(1, WIDTH + 1) / WIDTH
    width = max(len(effect.words) for effect, *_ in asked.canaries)
    console.print(f"Share with a verdict, from 0 to {duration(latest)}", style="bold")
    for (effect, *_), found in zip(asked.canaries, outcomes, strict=True):
        shares = found.decided_by(moments, PROMOTED, ROLLED_BACK)
        line = "".join(_LEVELS[math.ceil(share * (len(_LEVELS) - 1))] for share in shares)
        console.print(f"{effect.words:>{width}} |{line}| {percent(float(shares[-1]))}")


def _table() -> Table:
    return Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)


def _column(table: Table, name: str) -> None:
    table.add_column(name, justify="right", no_wrap=True)


def _pair(found: Spread | None, words: Callable[[float], str]) -> tuple[str, str]:
    return ("-", "-") if found is None else (words(found.median), words(found.p90))


def _rows(rows: float) -> str:
    return count(float(f"{rows:.3g}"))
