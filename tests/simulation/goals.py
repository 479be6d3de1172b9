"""What must hold: the goals of the specification, checked on results."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.simulation.catalogue import GRID, Task
from tests.simulation.ends import Tally, upper

Results = dict[str, dict[str, Any]]
"""By name of the task."""

MODES = ("Worse", "WorseThanMargin")
NOT_OURS = "(not what Assay does)"
LEAST_RUNS = 2000


@dataclass(frozen=True)
class Goal:
    """One goal and how it went.

    Attributes
    ----------
    text
        What must hold.
    worst
        The worst value and where, in words.
    holds
        Whether all cases keep it.
    """

    text: str
    worst: str
    holds: bool


@dataclass(frozen=True)
class Measure:
    """One number of one case, and its limit."""

    where: str
    value: float
    limit: float
    percent: bool = False
    at_least: bool = False

    @property
    def holds(self) -> bool:
        """Whether the limit is kept."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    @property
    def text(self) -> str:
        """For people."""
        shown = f"{100.0 * self.value:.1f} %" if self.percent else f"{self.value:.4g}"
        return f"{shown} ({self.where})"


def goals(results: Results) -> list[Goal]:
    """Check everything that the results have."""
    checks = {
        "Grid, every look, both modes: false rollback, upper 95 % limit <= 5 %": _grid_rates(
            results, "rolled_back"
        ),
        "Grid, every look, both modes: false promotion, upper 95 % limit <= 5 %": _grid_rates(
            results, "promoted"
        ),
        "Scaled grid, identical canary: median decision <= 1.15 x n80": _grid_medians(
            results, "identical", MODES, "n80", 1.15
        ),
        "Scaled grid, identical canary: median decision <= 0.65 x n95": _grid_medians(
            results, "identical", MODES, "n95", 0.65
        ),
        "Scaled grid, rollback on Worse, canary worse by 2d: median <= 0.55 x n80": _grid_medians(
            results, "worse by 2d", MODES[:1], "n80", 0.55
        ),
        "Threshold rules with W <= 1000 roll back an identical canary >= 4 x as often, prevalence <= 10 %": (
            _peers(results)
        ),
        "Collapse F1 .82 to .40 at 5 % share: median rollback <= 1 000 labels": _collapse(results),
        "Experiments: false rollback, upper 95 % limit <= 5 %": _case_rates(results, "rolled_back"),
        "Experiments: false promotion, upper 95 % limit <= 5 %": _case_rates(results, "promoted"),
        "Ramp, clusters, late labels: bias <= .002 (beyond two standard errors)": _bias(
            results, ("ramp", "clusters", "late labels")
        ),
        "Weighted labels: bias <= .002 (beyond two standard errors)": _bias(results, ("weights",)),
        "Sticky users: sample-ratio false alarms <= .1 % (of all trials)": _alarms(results),
        "Late failure, collapse: rolled back with restarts in <= 3/4 of the labels after it": (
            _late(results, " to 0", 0.75)
        ),
        "Late failure, worse by 2d: restarts cost <= 5 % of the median": (
            _late(results, "by 2d", 1.05)
        ),
    }
    found = []
    for text, measures in checks.items():
        known = list(measures)
        if known:
            worst = max(known, key=_badness)
            found.append(Goal(text, worst.text, all(each.holds for each in known)))
    return found


def false_verdicts(case: str, mode: str) -> tuple[str, ...]:
    """Which verdicts are wrong for a case, by what its name says of the canary."""
    if "better by d" in case:
        return ("rolled_back",)
    if " after " in case:
        return ()
    if "worse by 2d" in case or " to 0" in case:
        return ("promoted",)
    if "worse by d" in case:
        return ("promoted",) if mode == "Worse" else ("promoted", "rolled_back")
    return ("rolled_back",)


def _badness(measure: Measure) -> float:
    ratio = measure.value / measure.limit if measure.limit else measure.value
    return -ratio if measure.at_least else ratio


def _grid(results: Results) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, result in results.items():
        experiment, _, case = name.partition(": ")
        if experiment == GRID:
            yield case, result


def _rate(where: str, tally: Tally, verdict: str) -> Measure:
    count, runs = int(tally[verdict]), tally["runs"]  # type: ignore[literal-required]
    rate = f"{where}, {100.0 * count / runs:.1f} % of {runs}"
    return Measure(rate, upper(count, runs), 0.05, percent=True)


def _grid_rates(results: Results, verdict: str) -> Iterator[Measure]:
    for case, result in _grid(results):
        for truth, found in result["truths"].items():
            for mode in MODES:
                if verdict in false_verdicts(truth, mode):
                    yield _rate(f"{case}, {truth}, {mode}", found["ours"][mode], verdict)


def _grid_medians(
    results: Results, truth: str, modes: tuple[str, ...], needs: str, limit: float
) -> Iterator[Measure]:
    for case, result in _grid(results):
        if not case.endswith("scaled"):
            continue
        for mode in modes:
            median = result["truths"][truth]["ours"][mode]["median"]
            ratio = float("inf") if median is None else median / result[needs]
            yield Measure(f"{case}, {mode}", ratio, limit)


def _peers(results: Results) -> Iterator[Measure]:
    for case, result in _grid(results):
        if not case.endswith("short") or " 50%/" in case:
            continue
        found = result["truths"]["identical"]
        ours = max(
            found["ours"][mode]["rolled_back"] / found["ours"][mode]["runs"] for mode in MODES
        )
        for rule, tally in found["peers"].items():
            if rule.startswith(("Flagger", "Argo")) and "2000" not in rule:
                theirs = tally["rolled_back"] / tally["runs"]
                ratio = theirs / ours if ours else float("inf")
                yield Measure(
                    f"{case}, {rule}: {theirs:.1%} to {ours:.1%}", ratio, 4.0, at_least=True
                )


def _cases(results: Results, *experiments: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, result in results.items():
        experiment = name.partition(": ")[0]
        chosen = experiment in experiments if experiments else experiment != GRID
        if chosen and NOT_OURS not in name:
            yield name, result


def _case_rates(results: Results, verdict: str) -> Iterator[Measure]:
    for name, result in _cases(results):
        for mode, tally in result["ours"].items():
            wrong = false_verdicts(name, mode)
            if name.startswith("promoteOn Better") and "identical" in name:
                wrong = ("promoted", "rolled_back")
            if verdict in wrong:
                yield _rate(f"{name}, {mode}", tally, verdict)


def _collapse(results: Results) -> Iterator[Measure]:
    for name, result in _cases(results, "collapse"):
        if name.endswith("0.40"):
            for mode, tally in result["ours"].items():
                median = tally["median_rolled_back"]
                yield Measure(f"{mode}", median or float("inf"), 1000.0)


def _bias(results: Results, experiments: tuple[str, ...]) -> Iterator[Measure]:
    for name, result in _cases(results, *experiments):
        for bias in result["bias"]:
            beyond = max(0.0, abs(bias["mean"]) - 2.0 * bias["standard error"])
            where = f"{name}: {bias['mean']:+.4f} at {bias['labels']:.0f} labels"
            yield Measure(where, beyond, 0.002)


def _alarms(results: Results) -> Iterator[Measure]:
    trials = alarms = 0
    for name, result in _cases(results, "sticky users"):
        del name
        trials += result["ours"]["Worse"]["runs"]
        alarms += result["sample ratio alarms"]["users"]
    if trials:
        # The goal is for the true rate: what is seen may be two standard errors above it.
        limit = 0.001 + 2.0 * (0.001 / trials) ** 0.5
        yield Measure(f"{alarms} of {trials} trials", alarms / trials, limit, percent=True)


def _late(results: Results, kind: str, limit: float) -> Iterator[Measure]:
    """Compare medians with and without restarts; of a collapse what comes after the failure."""
    for name, result in _cases(results, "late failure"):
        other = results.get(name.replace("with restarts", "without restarts"))
        if "with restarts" not in name or kind not in name or other is None:
            continue
        since = result["failed at"] if limit < 1.0 else 0.0
        for mode, tally in result["ours"].items():
            mine, theirs = (each["median"] for each in (tally, other["ours"][mode]))
            if theirs is not None:
                ratio = (float("inf") if mine is None else mine - since) / (theirs - since)
                yield Measure(f"{name}, {mode}: {mine} to {theirs}", ratio, limit)


def runs_of(results: Results) -> int:
    """Fewest runs of any cell of the grid."""
    return min(
        tally["runs"]
        for _, result in _grid(results)
        for found in result["truths"].values()
        for tally in found["ours"].values()
    )


def missing(results: Results, expected: list[Task]) -> list[str]:
    """Names of tasks without a result."""
    return [task.name for task in expected if task.name not in results]
