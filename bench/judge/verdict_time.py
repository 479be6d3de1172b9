"""CPU time of one verdict: F1 and AUC with 1 024 score bins, for 1 and 10 strata.

Run: .venv/bin/python bench/judge/verdict_time.py
"""

import statistics
import time

import numpy as np

from assay.evidence.counts import ArmCounts, Evidence, Stratum
from assay.evidence.histogram import ScoreHistogram
from assay.judge import MetricSpec, Policy, judge

BINS = 1024
ROWS = {"stable": 4000, "canary": 1000}
METRICS = [MetricSpec("f1", "F1", 0.02), MetricSpec("auc", "ROCAUC", 0.01)]


def arm(rng: np.random.Generator, rows: int) -> ArmCounts:
    """Binormal scores, prevalence one half, AUC .9, counted on the log-odds grid."""
    truth = rng.random(rows) < 0.5
    log_odds = 1.64 * (rng.normal(size=rows) * 1.105 + np.where(truth, 1.0, -1.0))
    bins = np.clip(((log_odds + 12.0) / 24.0 * BINS).astype(int), 0, BINS - 1)
    histogram = ScoreHistogram(
        np.bincount(bins[truth], minlength=BINS), np.bincount(bins[~truth], minlength=BINS)
    )
    confusion = np.zeros((2, 2), np.int64)
    np.add.at(confusion, (truth.astype(int), (log_odds > 0.0).astype(int)), 1)
    return ArmCounts.counted(("0", "1"), confusion, {"1": histogram}, served=rows)


def main() -> None:
    rng = np.random.default_rng(1)
    for strata in (1, 10):
        evidence = Evidence(
            tuple(
                Stratum(f"m/{index}", arm(rng, ROWS["stable"]), arm(rng, ROWS["canary"]), 0.2)
                for index in range(strata)
            )
        )
        for title, metrics in (("F1", METRICS[:1]), ("AUC", METRICS[1:]), ("F1 + AUC", METRICS)):
            policy = Policy(min_label_coverage=0.2)
            times = []
            for _ in range(300):
                start = time.process_time()
                judge(metrics, policy, evidence)
                times.append(1e3 * (time.process_time() - start))
            times.sort()
            print(
                f"{strata:2d} strata, {title:8s}: fastest {times[0]:.3f} ms, "
                f"median {statistics.median(times):.3f} ms, "
                f"p95 {times[int(0.95 * len(times))]:.3f} ms"
            )


if __name__ == "__main__":
    main()
