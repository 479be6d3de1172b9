"""PNG plots of a story: the evidence of each trial, its ROC curves, and who answered when."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from demo.evidence import Look, MetricPoint, TrialRecord, roc_curve
from demo.log import Prediction

STABLE, CANARY = "#4c6a92", "#d1722e"
GOOD, BAD = "#3c8d5a", "#b83a3a"
VERSION_COLORS = ("#4c6a92", "#b83a3a", "#3c8d5a", "#8a6bb0", "#b0903a")
TITLES = {"f1": "F1", "auc": "ROC AUC"}

mpl.use("Agg")


def draw_evidence(trial: TrialRecord, path: Path) -> None:
    """Draw, for each metric, both arms and the band, and below both e-values with their limits.

    The band is that of the difference, drawn around stable's value: the canary's value is inside
    it by construction, and the trial is decided when it lies wholly on one side. Grey: too few
    labels to test at all.
    """
    looks = [item for item in trial.looks if item.metrics]
    names = list(looks[-1].metrics) if looks else ["f1"]
    figure = Figure(figsize=(5.6 * len(names), 7.2), layout="constrained")
    axes = figure.subplots(2, len(names), squeeze=False, sharex=True)
    for column, name in enumerate(names):
        _draw_values(axes[0, column], trial, looks, name)
        _draw_e_values(axes[1, column], trial, looks, name)
    verdict = f"{trial.decided[0]} ({trial.decided[1]})" if trial.decided else "undecided"
    figure.suptitle(
        f"version {trial.canary_version} against version {trial.stable_version}: {verdict}",
        fontsize=14,
    )
    figure.savefig(path, dpi=110)


def draw_roc(trial: TrialRecord, path: Path) -> None:
    """Draw the ROC curves of both arms from the counts that Prometheus held at the end."""
    figure = Figure(figsize=(5.4, 5.4), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.8", linewidth=1)
    arms = (
        ("stable", trial.stable_version, STABLE),
        ("canary", trial.canary_version, CANARY),
    )
    for arm, version, color in arms:
        positive, negative = trial.scores.get(arm, ([], []))
        false, true = roc_curve(positive, negative)
        area = float(np.trapezoid(true, false))
        rows = sum(positive) + sum(negative)
        label = f"{arm}, version {version}: AUC {area:.3f} ({rows:,} labels)"
        axes.plot(false, true, color=color, linewidth=2, label=label)
    axes.set(
        xlabel="false positive rate",
        ylabel="true positive rate",
        xlim=(-0.01, 1.01),
        ylim=(-0.01, 1.01),
        aspect="equal",
        title="ROC from the live counts",
    )
    axes.legend(loc="lower right", frameon=False)
    _tidy(axes)
    figure.savefig(path, dpi=110)


def draw_traffic(
    rows: Iterable[Prediction],
    path: Path,
    marks: Sequence[tuple[float, str]] = (),
    bucket_seconds: float = 1.0,
) -> None:
    """Draw which version answered which share of the rows, as the client saw it.

    Parameters
    ----------
    marks
        Moments (Unix seconds) with a few words each.
    """
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    axes = figure.subplots()
    items = list(rows)
    start = min((item.answered for item in items), default=0.0)
    by_bucket: dict[int, Counter[str]] = {}
    for item in items:
        bucket = int((item.answered - start) / bucket_seconds)
        by_bucket.setdefault(bucket, Counter())[item.version] += 1
    times = [bucket * bucket_seconds for bucket in sorted(by_bucket)]
    versions = sorted({item.version for item in items})
    shares = [
        [100 * counts[version] / counts.total() for _, counts in sorted(by_bucket.items())]
        for version in versions
    ]
    if times:
        axes.stackplot(
            times,
            *shares,
            labels=[f"version {version}" for version in versions],
            colors=[VERSION_COLORS[index % len(VERSION_COLORS)] for index in range(len(versions))],
            alpha=0.9,
        )
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=5, frameon=False)
    shown = [(at - start, text) for at, text in sorted(marks) if at >= start]
    for number, (at, text) in enumerate(shown):
        late = at > 0.85 * max(times, default=1.0)
        axes.axvline(at, color="black", linewidth=1, linestyle=":")
        axes.annotate(
            text,
            (at, 97 - 7 * (number % 3)),
            ha="right" if late else "left",
            xytext=(-3 if late else 3, 0),
            textcoords="offset points",
            fontsize=8,
            va="top",
            color="white",
        )
    axes.set(
        xlabel="seconds",
        ylabel="share of the answers, %",
        ylim=(0, 100),
        xlim=(0, max(times, default=1.0)),
        title="Which version answered",
    )
    _tidy(axes)
    figure.savefig(path, dpi=110)


def _draw_values(axes: Any, trial: TrialRecord, looks: Sequence[Look], name: str) -> None:
    title = TITLES.get(name, name)
    times, points = _series(trial, looks, name)
    stable = [_number(point.stable) for point in points]
    low = [base + _number(point.lower) for base, point in zip(stable, points, strict=True)]
    high = [base + _number(point.upper) for base, point in zip(stable, points, strict=True)]
    axes.fill_between(times, low, high, color=CANARY, alpha=0.18, label="band of the difference")
    label = f"stable (version {trial.stable_version})"
    axes.plot(times, stable, color=STABLE, linewidth=2, label=label)
    canary = [_number(point.canary) for point in points]
    label = f"canary (version {trial.canary_version})"
    axes.plot(times, canary, color=CANARY, linewidth=2, label=label)
    values = [value for value in [*stable, *canary] if np.isfinite(value)]
    if values:
        axes.set_ylim(max(0.0, min(values) - 0.12), min(1.03, max(values) + 0.12))
    _mark_steps(axes, trial, looks)
    _shade_burn_in(axes, times, points)
    axes.set(title=title, ylabel=title)
    axes.legend(loc="lower right", frameon=False, fontsize=9)
    _tidy(axes)


def _draw_e_values(axes: Any, trial: TrialRecord, looks: Sequence[Look], name: str) -> None:
    times, points = _series(trial, looks, name)
    for field, limit, color, what, side in (
        ("log_e_promote", "limit_promote", GOOD, "promote", "top"),
        ("log_e_rollback", "limit_rollback", BAD, "roll back", "bottom"),
    ):
        values = [_number(getattr(point, field)) for point in points]
        axes.plot(times, values, color=color, linewidth=2, label=f"evidence to {what}")
        bounds = [value for point in points if (value := getattr(point, limit)) is not None]
        if bounds:
            axes.axhline(bounds[-1], color=color, linewidth=1, linestyle="--")
            axes.annotate(
                f"{what} at {bounds[-1]:.1f}",
                (0.01, bounds[-1]),
                xycoords=("axes fraction", "data"),
                xytext=(0, 3 if side == "bottom" else -3),
                textcoords="offset points",
                color=color,
                fontsize=8,
                va=side,
            )
    axes.set_ylim(-8, 16)
    _mark_steps(axes, trial, looks)
    _shade_burn_in(axes, times, points)
    axes.set(xlabel="seconds since the canary's first request", ylabel="ln e")
    axes.legend(loc="lower right", frameon=False, fontsize=9)
    _tidy(axes)


def _series(
    trial: TrialRecord, looks: Sequence[Look], name: str
) -> tuple[list[float], list[MetricPoint]]:
    start = trial.looks[0].at if trial.looks else 0.0
    pairs = [(item.at - start, item.metrics[name]) for item in looks if name in item.metrics]
    return [at for at, _ in pairs], [point for _, point in pairs]


def _mark_steps(axes: Any, trial: TrialRecord, looks: Sequence[Look]) -> None:
    start = trial.looks[0].at if trial.looks else 0.0
    before = None
    for item in looks:
        if item.weight != before:
            axes.axvline(item.at - start, color="0.75", linewidth=1, linestyle=":")
            axes.annotate(
                f"{item.weight} %",
                (item.at - start, 0.97),
                xycoords=("data", "axes fraction"),
                xytext=(3, 0),
                textcoords="offset points",
                fontsize=8,
                va="top",
                color="0.35",
            )
            before = item.weight
    if trial.decided_at is not None:
        axes.axvline(trial.decided_at - start, color="black", linewidth=1)


def _shade_burn_in(axes: Any, times: Sequence[float], points: Sequence[MetricPoint]) -> None:
    """Grey out the start, where there are too few labels for the e-values to count."""
    early = [at for at, point in zip(times, points, strict=True) if not point.past_burn_in]
    if early:
        later = [at for at in times if at > early[-1]]
        axes.axvspan(times[0], later[0] if later else early[-1], color="0.5", alpha=0.18, lw=0)


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _tidy(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, color="0.92", linewidth=0.8)
    axes.set_axisbelow(True)
