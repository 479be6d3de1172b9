"""Pictures of a rollout: evidence over time, and the curves of both arms."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from assay.judge.wording import count
from assay_workbench.document import Floats, thinned
from assay_workbench.plots import DASHES, INK, POINTS, SERIES, SOFT, STYLE, Plot, plot

MOST_CLASSES = 4
"""Classes whose curves are drawn: those with the most rows."""

_ARMS = (("stable", 0), ("canary", 1))
_UNITS = (("seconds", 1.0, 300.0), ("minutes", 60.0, 10_800.0), ("hours", 3600.0, 172_800.0))
_CUT = 0.15
"""Part of the looks, the first ones, whose wide bands do not stretch a plot."""


def evidence(document: Mapping[str, Any]) -> Iterator[Plot]:
    """Yield a picture of each metric: the difference of the arms with its band, and the labels."""
    with mpl.rc_context(STYLE):
        for place, metric in enumerate(document["metrics"]):
            if (found := _metric(document, metric, f"metric-{place}")) is not None:
                yield found


def curves(document: Mapping[str, Any]) -> Iterator[Plot]:
    """Yield the ROC and the precision-recall curves of the classes with the most rows."""
    most = sorted(document["curves"], key=lambda each: -each["rows"])[:MOST_CLASSES]
    with mpl.rc_context(STYLE):
        for place, each in enumerate(sorted(most, key=lambda each: str(each["class"]))):
            yield _roc(each, f"roc-{place}")
            yield _precision_recall(each, f"precision-{place}")


def looks_at(document: Mapping[str, Any], name: str) -> list[tuple[float, dict[str, Any]]]:
    """Return seconds and what was said of one metric, at every look that said anything of it."""
    return [
        (look["seconds"], metric)
        for look in document["evidence"]
        for metric in look["metrics"]
        if metric["name"] == name
    ]


def _metric(document: Mapping[str, Any], metric: Mapping[str, Any], key: str) -> Plot | None:
    found = looks_at(document, metric["name"])
    known = [(seconds, each) for seconds, each in found if each["difference"] is not None]
    if not known:
        return None
    unit, size = _unit(document["evidence"][-1]["seconds"])
    canvas = Canvas(figsize=(10.0, 4.8), layout="constrained")
    upper, lower = canvas.subplots(2, 1, sharex=True, height_ratios=[3.2, 1.0])
    _band(upper, known, metric, size)
    _labels(lower, found, size)
    _marks(document, (upper, lower), size)
    lower.set_xlabel(f"{unit} since the trial began")
    upper.set_ylabel(f"{metric['name']}: canary less stable")
    lower.set_ylabel("labels")
    last = known[-1][1]
    told = (
        f"At the last look the difference is {last['difference']:+.4f}, with a band from "
        f"{last['lower']:+.4f} to {last['upper']:+.4f}, by {count(last['labels']['stable'])} labels of stable "
        f"and {count(last['labels']['canary'])} of the canary: {last['verdict']} ({last['reason']})."
    )
    title = f"Evidence over time: {metric['name']}"
    return plot(
        canvas,
        title,
        f"Difference of the canary and stable in {metric['name']} over time, with the band of the "
        f"tests. {told}",
        f"{told} {_reading(document, metric)} The band holds at all moments together, however often one "
        "looks. Early bands that are wider than the plot are cut.",
        key,
    )


def _reading(document: Mapping[str, Any], metric: Mapping[str, Any]) -> str:
    """Say what the band shows when it has left which line behind."""
    analysis = document["rollout"]["settings"]["analysis"]
    worse, good = ("below", "above") if metric["higherIsBetter"] else ("above", "below")
    by = f"the dashed margin ({metric['margin']:g})"
    strict = analysis["rollbackOn"] == "WorseThanMargin"
    better = analysis["promoteOn"] == "Better"
    return (
        f"When the band lies wholly {worse} {by if strict else 'the dotted zero line'}, the canary is "
        f"shown to be worse{' by more than that' if strict else ''}; when it lies wholly {good} "
        f"{'the dotted zero line, it is shown to be better' if better else by + ', it is shown not to be worse by that much'}."
    )


def _unit(seconds: float) -> tuple[str, float]:
    for name, size, most in _UNITS:
        if seconds <= most:
            return name, size
    return "days", 86_400.0


def _band(
    axes: Axes,
    known: Sequence[tuple[float, dict[str, Any]]],
    metric: Mapping[str, Any],
    size: float,
) -> None:
    x = np.array([seconds for seconds, _ in known]) / size
    difference, low, high = (
        np.array([each[name] for _, each in known]) for name in ("difference", "lower", "upper")
    )
    sign = -1.0 if metric["higherIsBetter"] else 1.0
    axes.axhline(0.0, color=INK, linewidth=1.2, linestyle=DASHES[2])
    axes.axhline(
        sign * metric["margin"], color=SERIES[3], linewidth=1.4, linestyle=DASHES[1], label="margin"
    )
    axes.fill_between(
        x, low, high, color=SERIES[0], alpha=0.18, linewidth=0.0, label="band of the tests"
    )
    for edge in (low, high):
        axes.plot(x, edge, color=SERIES[0], linewidth=0.8)
    axes.plot(x, difference, color=SERIES[0], marker=".", markersize=4, label="difference")
    axes.set_ylim(*_range(difference, low, high, metric["margin"]))
    axes.legend(loc="best", ncols=3)


def _range(difference: Floats, low: Floats, high: Floats, margin: float) -> tuple[float, float]:
    """Return what the axis shows: everything but the bands of the first looks."""
    kept = slice(int(_CUT * difference.size), None)
    edges = np.concatenate([difference, low[kept], high[kept], [0.0, margin, -margin]])
    # Half of what is left may still be wide: a few margins around the last band are enough.
    last = max(abs(low[-1]), abs(high[-1]), float(np.abs(difference).max()), margin)
    most = 4.0 * last
    bottom, top = max(float(edges.min()), -most), min(float(edges.max()), most)
    room = 0.06 * (top - bottom)
    return bottom - room, top + room


def _labels(axes: Axes, found: Sequence[tuple[float, dict[str, Any]]], size: float) -> None:
    x = np.array([seconds for seconds, _ in found]) / size
    for arm, place in _ARMS:
        rows = [each["labels"][arm] for _, each in found]
        axes.plot(x, rows, color=SERIES[place], linestyle=DASHES[place], label=arm)
    axes.set_ylim(bottom=0.0)
    axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    axes.legend(loc="upper left", ncols=2)


def _marks(document: Mapping[str, Any], both: tuple[Axes, Axes], size: float) -> None:
    """Mark steps and waves, named on top of the upper plot."""
    rollout = document["rollout"]
    marks = [(each["seconds"], f"{each['weight']} %", "-") for each in rollout["steps"]]
    marks += [(each["seconds"], each["name"], "--") for each in rollout["waves"][1:]]
    end = document["evidence"][-1]["seconds"]
    width = max(end, 1.0)
    free = -width
    for seconds, name, style in sorted(marks):
        if not 0.0 <= seconds <= end:
            continue
        for axes in both:
            axes.axvline(seconds / size, color=SOFT, linewidth=1.0, linestyle=style, zorder=1)
        if seconds - free >= 0.05 * width:  # names that would lie on each other are left to the log
            both[0].text(
                seconds / size, 1.01, name, transform=both[0].get_xaxis_transform(),
                color=SOFT, fontsize=9, ha="left", va="bottom",
            )  # fmt: skip
            free = seconds


def _roc(each: Mapping[str, Any], key: str) -> Plot:
    canvas, axes = _axes("false positive rate", "true positive rate (recall)")
    axes.plot([0, 1], [0, 1], color=SOFT, linewidth=1.2, linestyle=(0, (1, 2)))
    _draw(axes, each, "roc", ("falsePositiveRate", "truePositiveRate"))
    axes.legend(loc="lower right")
    told = (
        f"ROC AUC of {each['class']!r}: {each['stable']['rocAuc']:.4f} of stable, "
        f"{each['canary']['rocAuc']:.4f} of the canary."
    )
    return plot(
        canvas,
        f"ROC curves of {each['class']}",
        f"ROC curves of both versions. {told}",
        f"{told} Straight pieces are scores that were counted together; the dotted line is chance.",
        key,
    )


def _precision_recall(each: Mapping[str, Any], key: str) -> Plot:
    canvas, axes = _axes("recall", "precision")
    axes.axhline(each["share"], color=SOFT, linewidth=1.2, linestyle=(0, (1, 2)))
    _draw(axes, each, "precisionRecall", ("recall", "precision"))
    axes.legend(loc="lower left")
    told = (
        f"Average precision of {each['class']!r}: {each['stable']['averagePrecision']:.4f} of stable, "
        f"{each['canary']['averagePrecision']:.4f} of the canary."
    )
    return plot(
        canvas,
        f"Precision and recall of {each['class']}",
        f"Precision against recall of both versions. {told}",
        f"{told} The dotted line is the class's share of the rows: what a model would have that knows "
        "nothing.",
        key,
    )


def _axes(x: str, y: str) -> tuple[Canvas, Axes]:
    canvas = Canvas(figsize=(5.0, 4.2), layout="constrained")
    axes = canvas.subplots()
    axes.set(xlabel=x, ylabel=y, xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    return canvas, axes


def _draw(axes: Axes, each: Mapping[str, Any], curve: str, names: tuple[str, str]) -> None:
    for arm, place in _ARMS:
        x, y = thinned(*_points(each[arm][curve], names), POINTS)
        axes.plot(
            x, y, color=SERIES[place], linestyle=DASHES[place], label=arm, clip_on=False, zorder=3,
        )  # fmt: skip


def _points(curve: Mapping[str, Any], names: tuple[str, str]) -> tuple[Floats, Floats]:
    return np.array(curve[names[0]]), np.array(curve[names[1]])
