"""Simulated rollouts that the decision alone judges in a minute of one core.

Run: .venv/bin/python bench/judge/batch_rate.py [rollouts, default 200]

A rollout is at most 100 looks of 400 labels, at an identical canary with a fifth of the traffic.
Beside it, in the same run: the same looks one by one through `judge`, words and all; and the rule
of Argo Rollouts (a threshold on the counts of the last look) on the same arrays.
"""

import sys
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table
from scipy.stats import norm

from assay.evidence.counts import ArmCounts, Evidence, Stratum
from assay.evidence.histogram import ScoreHistogram
from assay.judge import MetricSpec, Policy, judge
from assay.judge.decision import decide
from assay.judge.looks import ArmCells, Looks, Part
from assay.judge.metrics import Reading, metric_of

Counts = npt.NDArray[np.int64]
LOOKS, BINS, ROWS, BLOCK = 100, 256, (320, 80), 10
SINGLE = 300


def confusion(cells: Counts) -> ArmCounts:
    return ArmCounts.counted(("0", "1"), cells.reshape(2, 2), served=int(cells.sum()))


def scores(cells: Counts) -> ArmCounts:
    histogram = ScoreHistogram(cells[:BINS], cells[BINS:])
    return ArmCounts.counted(("0", "1"), None, {"1": histogram}, served=int(cells.sum()))


def chances() -> npt.NDArray[np.float64]:
    edges = np.concatenate([[-np.inf], np.linspace(-3, 5, BINS - 1), [np.inf]])
    gap = np.sqrt(2) * norm.ppf(0.9)
    return 0.5 * np.concatenate([np.diff(norm.cdf(edges - gap)), np.diff(norm.cdf(edges))])


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def argo(canary: Counts) -> npt.NDArray[np.int64]:
    """Failures so far of accuracy over the last look, per rollout and look."""
    fresh = np.diff(canary, axis=1, prepend=0)
    right = fresh[..., 0] + fresh[..., 3]
    return np.cumsum(right < 0.8 * fresh.sum(axis=-1), axis=1)


def main() -> None:
    rollouts = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    rng = np.random.default_rng(1)
    table = Table(
        "metric", "decision, batched", "one by one", "ratio", "Argo-like", title="us per look"
    )
    rates = []
    for name, kind, cells, arm in (
        ("F1", "F1", np.array([0.41, 0.09, 0.09, 0.41]), confusion),
        (f"AUC, {BINS} bins", "ROCAUC", chances(), scores),
    ):
        spec = MetricSpec("m", kind, 0.02)
        stable, canary = (
            np.cumsum(rng.multinomial(rows, cells, (rollouts, LOOKS)), axis=1).astype(np.float64)
            for rows in ROWS
        )
        (reading,) = metric_of(spec).read([arm(stable[0, -1].astype(np.int64))])

        looked = [0]

        def batched(
            arms: tuple[Counts, Counts] = (stable, canary),
            spec: MetricSpec = spec,
            reading: Reading = reading,
            looked: list[int] = looked,
        ) -> None:
            """Ten looks of ten rollouts a call; what is decided is looked at no more."""
            looked[0] = 0
            open_ones = np.arange(rollouts)
            for first in range(0, LOOKS, BLOCK):
                still = []
                for some in np.array_split(open_ones, max(1, len(open_ones) // BLOCK)):
                    cells = [
                        each[some, first : first + BLOCK].reshape(-1, 1, each.shape[-1])
                        for each in arms
                    ]
                    looked[0] += len(cells[0])
                    parts = (Part.of(reading.component, 1.0, *map(ArmCells, cells)),)
                    verdicts = decide(spec, Policy(), Looks(parts)).verdict
                    held = verdicts.reshape(len(some), BLOCK) == 0
                    still.append(some[held.all(axis=1)])
                open_ones = np.concatenate(still)

        places = rng.integers(0, LOOKS, (SINGLE, 1))
        evidence = [
            Evidence(
                (
                    Stratum(
                        "m/0",
                        arm(stable[0, look].astype(np.int64)),
                        arm(canary[0, look].astype(np.int64)),
                    ),
                )
            )
            for (look,) in places
        ]

        def single(spec: MetricSpec = spec, evidence: list[Evidence] = evidence) -> None:
            for each in evidence:
                judge([spec], Policy(), each)

        spent = min(seconds(batched) for _ in range(3))
        own = spent / looked[0]
        alone = min(seconds(single) for _ in range(3)) / SINGLE
        peer = f"{1e6 * seconds(lambda c=canary: argo(c)) / (rollouts * LOOKS):.2f}"
        table.add_row(
            name, f"{1e6 * own:.1f}", f"{1e6 * alone:.0f}", f"{alone / own:.0f}",
            peer if kind == "F1" else "",
        )  # fmt: skip
        rates.append(
            f"{name}: {60 * rollouts / spent:,.0f} rollouts a core-minute, each until it is decided, "
            f"{looked[0] / rollouts:.0f} of {LOOKS} looks on average"
        )
    console = Console()
    console.print(table)
    for rate in rates:
        console.print(rate)


if __name__ == "__main__":
    main()
