"""Error rates and waiting times of the judge in corners that the published grid leaves out.

Run: .venv/bin/python bench/judge/border_errors.py [trials, default 300]   (300: about 6 minutes of one core)

Each line: a scenario; promoted %, rolled back %, median labels of the decisions, for both values of
`rollbackOn`. "worse by d" is the border: there a promotion is an error, and so is a strict rollback.
"""

import sys
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from assay.evidence.counts import ArmCounts, Evidence, ScoreHistogram, Stratum
from assay.judge import MetricSpec, Policy, RollbackOn, Verdict, judge

if TYPE_CHECKING:
    from collections.abc import Callable

Cells = npt.NDArray[np.float64]
BINS = 256


def f1_cells(value: float, relevant: float = 0.55) -> Cells:
    """Chances of (tn, fp, fn, tp) for an F1; `relevant` rows are positive or predicted so."""
    hit = relevant * value / (2 - value)
    return np.array([1 - relevant, (relevant - hit) / 2, (relevant - hit) / 2, hit])


def f1_arm(cells: npt.NDArray[np.int64]) -> ArmCounts:
    return ArmCounts.counted(("0", "1"), cells.reshape(2, 2))


def auc_cells(value: float) -> Cells:
    edges = np.concatenate([[-np.inf], np.linspace(-4, 8, BINS - 1), [np.inf]])
    gap = np.sqrt(2) * norm.ppf(value)
    return 0.5 * np.concatenate([np.diff(norm.cdf(edges - gap)), np.diff(norm.cdf(edges))])


def auc_arm(cells: npt.NDArray[np.int64]) -> ArmCounts:
    return ArmCounts.counted(("0", "1"), None, {"1": ScoreHistogram(cells[:BINS], cells[BINS:])})


def show(
    title: str,
    kind: str,
    stable: float,
    canary: float,
    margin: float,
    trials: int,
    *,
    shares: tuple[float, ...] = (0.2,),
    batch: int = 100,
    looks: int = 60,
) -> None:
    """Simulate trials whose steps are the shares; every look adds a batch of labels."""
    cells: Callable[[float], Cells] = f1_cells if kind == "F1" else auc_cells
    arm = f1_arm if kind == "F1" else auc_arm
    chances = cells(stable), cells(canary)
    rng = np.random.default_rng(5)
    report = []
    for rollback_on in RollbackOn:
        ends: dict[Verdict, list[int]] = {verdict: [] for verdict in Verdict}
        for _ in range(trials):
            totals = np.zeros((2, len(shares), len(chances[0])), np.int64)
            verdict, labels = Verdict.HOLD, 0
            for look in range(looks):
                step = look * len(shares) // looks
                rows = rng.binomial(batch, shares[step])
                totals[0, step] += rng.multinomial(batch - rows, chances[0])
                totals[1, step] += rng.multinomial(rows, chances[1])
                strata = tuple(
                    Stratum(f"a/{index}", arm(totals[0, index]), arm(totals[1, index]))
                    for index in range(step + 1)
                )
                labels += batch
                verdict = judge(
                    [MetricSpec("m", kind, margin)],
                    Policy(rollback_on=rollback_on),
                    Evidence(strata),
                ).verdict
                if verdict is not Verdict.HOLD:
                    break
            ends[verdict].append(labels)
        promoted, back = ends[Verdict.PROMOTE], ends[Verdict.ROLLBACK]
        median = np.median(promoted + back) if promoted or back else float("nan")
        report.append(
            f"{rollback_on.value}: {100 * len(promoted) / trials:.1f} / "
            f"{100 * len(back) / trials:.1f} %, {median:.0f}"
        )
    print(f"{title:52s}", "   ".join(report), flush=True)


def main() -> None:
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    for stable, margin in ((0.999, 0.02), (0.99, 0.02), (0.97, 0.05)):
        show(f"F1 {stable}, worse by d = {margin}", "F1", stable, stable - margin, margin, trials)
        show(f"F1 {stable}, identical, d = {margin}", "F1", stable, stable, margin, trials)
    for stable in (0.9999, 0.995):
        show(f"AUC {stable}, worse by d = .02", "ROCAUC", stable, stable - 0.02, 0.02, trials)
        show(f"AUC {stable}, identical, d = .02", "ROCAUC", stable, stable, 0.02, trials)
    small = {"shares": (0.05, 0.05, 0.1, 0.1, 0.2, 0.5), "looks": 60}
    show(
        "F1 .82 in 6 steps, shares 5-50 %, worse by d = .05",
        "F1",
        0.82,
        0.77,
        0.05,
        trials,
        **small,
    )
    show(
        "F1 .82 in 6 steps, shares 5-50 %, identical, d = .05",
        "F1",
        0.82,
        0.82,
        0.05,
        trials,
        **small,
    )
    thin = {"shares": (0.05,), "batch": 50}
    show("F1 .82 -> .40 at a share of 5 %", "F1", 0.82, 0.40, 0.03, trials, **thin)
    show("F1 .82 -> .02 at a share of 5 %", "F1", 0.82, 0.02, 0.03, trials, **thin)


if __name__ == "__main__":
    main()
