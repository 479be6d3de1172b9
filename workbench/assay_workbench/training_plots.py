"""Pictures of a training: the rows before it, the search, and what the model looks at."""

import textwrap
from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure as Canvas

from assay.judge.wording import count, percent
from assay_workbench.exploration import REACH
from assay_workbench.plots import DASHES, GRID, INK, SERIES, SOFT, STYLE, Plot, plot
from assay_workbench.training import Training
from assay_workbench.training_text import change

BARS = 20
"""Bars of a plot at the most; the longest ones."""

_ROW_INCHES = 0.27


def exploration_plots(training: Training) -> Iterator[Plot]:
    """Yield pictures of the training rows."""
    found = training.exploration
    with mpl.rc_context(STYLE):
        yield _balance(training)
        if found.missing:
            yield _missing(training)
        if len(found.correlated) > 1:
            yield _correlations(training)
        if any(each.outliers for each in found.numeric):
            yield _outliers(training)


def model_plots(training: Training) -> Iterator[Plot]:
    """Yield pictures of what the model looks at."""
    with mpl.rc_context(STYLE):
        yield _importance(training)
        if training.dependences:
            yield _dependence(training)
        if training.linear is not None:
            yield _weights(training)


def _balance(training: Training) -> Plot:
    found = training.exploration
    most = sorted(found.classes, key=lambda entry: -entry[1])[:BARS]
    shares = [rows / found.rows for _, rows in most]
    canvas, axes = _bars([name for name, _ in most], shares, "share of the training rows")
    for place, (_, rows) in enumerate(most):
        axes.annotate(f" {count(rows)}", (shares[place], place), va="center", color=INK, fontsize=9)
    axes.set_xlim(0.0, max(shares) * 1.15)
    rarest = min(found.classes, key=lambda entry: entry[1])
    told = f"The rarest class, {rarest[0]!r}, has {count(rarest[1])} of {count(found.rows)} rows ({percent(rarest[1] / found.rows)})."
    words = ", ".join(f"{name!r} {count(rows)}" for name, rows in most)
    return plot(canvas, "Class balance", f"Rows by class: {words}.", told)


def _missing(training: Training) -> Plot:
    found = training.exploration
    most = found.missing[:BARS]
    canvas, _ = _bars(
        [name for name, _ in most],
        [rows / found.rows for _, rows in most],
        "share of the rows without a value",
    )
    words = ", ".join(f"{name!r} {percent(rows / found.rows)}" for name, rows in most)
    told = f"{len(found.missing)} of {len(training.table.names)} columns have missing values."
    return plot(canvas, "Missing values", f"Missing values by column: {words}.", told)


def _correlations(training: Training) -> Plot:
    found = training.exploration
    names, values = found.correlated, found.correlations
    size = 1.6 + 0.34 * len(names)
    canvas = Canvas(figsize=(max(size, 3.6), max(size - 0.4, 3.0)), layout="constrained")
    axes = canvas.subplots()
    rows, columns = np.tril_indices(len(names), -1)
    known = values[rows, columns]
    for sign, colour, label in ((1.0, SERIES[0], "rise together"), (-1.0, SERIES[1], "opposite")):
        of_sign = np.nan_to_num(known * sign) > 0.0
        area = 170.0 * np.abs(known[of_sign])
        marker = "s" if sign > 0 else "o"
        axes.scatter(
            columns[of_sign],
            rows[of_sign],
            s=area,
            color=colour,
            marker=marker,
            linewidths=0,
            zorder=3,
        )
        # Marks are as large as what they show; those of the legend are to be seen.
        axes.scatter([], [], s=60.0, color=colour, label=label, marker=marker, linewidths=0)
    axes.set_xlim(-0.6, len(names) - 1.4)
    axes.set_ylim(len(names) - 0.4, 0.4)
    axes.set_xticks(range(len(names) - 1), [_short(name) for name in names[:-1]], rotation=90)
    axes.set_yticks(range(1, len(names)), [_short(name) for name in names[1:]])
    axes.legend(loc="upper right")
    order = np.argsort(-np.abs(np.nan_to_num(known)), kind="stable")[:3]
    told = ", ".join(
        f"{names[columns[each]]!r} and {names[rows[each]]!r} {known[each]:+.2f}" for each in order
    )
    return plot(
        canvas,
        "Correlations",
        f"Spearman's rank correlation of pairs of numeric columns; the strongest: {told}.",
        f"The larger a mark, the stronger two columns go together (squares) or against each other (circles). Strongest: {told}.",
    )


def _outliers(training: Training) -> Plot:
    found = training.exploration
    some = sorted((each for each in found.numeric if each.outliers), key=lambda one: -one.outliers)
    shares = [each.outliers / found.rows for each in some[:BARS]]
    canvas, _ = _bars(
        [each.name for each in some[:BARS]],
        shares,
        f"share beyond {REACH:g} interquartile ranges",
    )
    words = ", ".join(
        f"{each.name!r} {percent(share)}" for each, share in zip(some, shares, strict=False)
    )
    return plot(
        canvas,
        "Outliers",
        f"Values beyond Tukey's fences by column: {words}.",
        "Values that lie more than 1.5 interquartile ranges beyond the quartiles. Skewed columns have "
        "many without anything being wrong with them.",
    )


def _importance(training: Training) -> Plot:
    most = training.importances[:BARS]
    means = [each.mean for each in most]
    canvas, axes = _bars(
        [each.name for each in most], means, f"{change(training.metric)} when shuffled"
    )
    axes.hlines(
        range(len(most)),
        [each.mean - each.deviation for each in most],
        [each.mean + each.deviation for each in most],
        color=INK,
        linewidth=1.4,
    )
    words = ", ".join(f"{each.name!r} {each.mean:.3g}" for each in most[:8])
    return plot(
        canvas,
        "Permutation importance",
        f"When a column is shuffled, {change(training.metric)} on held-out rows: {words}.",
        "How much worse the model is on held-out rows when the values of one column are shuffled; lines are "
        "one standard deviation over ten times. Of columns that say the same each seems unimportant.",
    )


def _dependence(training: Training) -> Plot:
    found = training.dependences
    wide = min(len(found), 3)
    high = -(-len(found) // wide)
    canvas = Canvas(figsize=(3.0 * wide, 2.6 * high), layout="constrained")
    panels = canvas.subplots(high, wide, squeeze=False, sharey=True).ravel()
    for panel in panels[len(found) :]:
        panel.set_visible(False)
    for panel, each in zip(panels, found, strict=False):
        names = isinstance(each.values[0], str)
        x: Any = np.arange(len(each.values)) if names else np.array(each.values, dtype=np.float64)
        for place, (of, curve) in enumerate(each.curves):
            panel.plot(
                x, curve, color=SERIES[place], label=of, linestyle=DASHES[place % len(DASHES)],
                marker="o" if names else "", markersize=4,
            )  # fmt: skip
        panel.set_xlabel(_short(each.name, 30))
        if names:
            panel.set_xticks(
                x, [_short(str(value), 12) for value in each.values], rotation=45, ha="right"
            )
    score = "probability" if hasattr(training.model, "predict_proba") else "score"
    canvas.supylabel(f"mean {score}", fontsize=10)
    of = ", ".join(repr(name) for name, _ in found[0].curves)
    if len(found[0].curves) > 1:
        panels[0].legend(fontsize=8)
    words = "; ".join(
        f"{each.name!r}: {each.curves[0][1].min():.3g} to {each.curves[0][1].max():.3g}"
        for each in found
    )
    return plot(
        canvas,
        "Partial dependence",
        f"Mean {score} of {of} when a column has one value in all rows. {words}.",
        f"Mean {score} of {of} over held-out rows in which one column is set to the value below. It says what the model "
        "does, not what causes what, and not what columns do together.",
    )


def _weights(training: Training) -> Plot:
    assert training.linear is not None
    linear = training.linear
    size = np.abs(linear.weights).max(axis=0)
    order = np.argsort(-size, kind="stable")[:BARS]
    height = 1.1 + _ROW_INCHES * len(order)
    canvas = Canvas(figsize=(6.0, height), layout="constrained")
    axes = canvas.subplots()
    axes.axvline(0.0, color=SOFT, linewidth=1.0)
    shown = min(len(linear.classes), len(SERIES))
    for place in range(shown):
        axes.scatter(
            linear.weights[place, order], np.arange(len(order)), s=30, color=SERIES[place],
            marker=("o", "s", "^", "D", "v", "P", "X", "*")[place], label=linear.classes[place],
            zorder=3,
        )  # fmt: skip
    axes.set_yticks(range(len(order)), [_short(linear.outputs[each], 36) for each in order])
    axes.set_ylim(len(order) - 0.5, -0.5)
    axes.set_xlabel("weight of the prepared column")
    if shown > 1:
        axes.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4)
    words = ", ".join(
        f"{linear.outputs[each]!r} {linear.weights[0, each]:+.3g}" for each in order[:8]
    )
    return plot(
        canvas,
        "Weights",
        f"Weights of the linear model for {linear.classes[0]!r}: {words}.",
        "Weights of columns as the pipeline prepared them: numbers scaled, one column for each category. To the right: "
        f"more of it speaks for the class{'es' if shown > 1 else ' ' + repr(linear.classes[0])}.",
    )


def _bars(names: list[str], values: list[float], label: str) -> tuple[Canvas, Any]:
    canvas = Canvas(figsize=(5.0, 0.9 + _ROW_INCHES * max(len(names), 3)), layout="constrained")
    axes = canvas.subplots()
    axes.barh(range(len(names)), values, color=SERIES[0], height=0.62)
    axes.set_yticks(range(len(names)), [_short(name) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlabel(label)
    axes.grid(visible=False, axis="y")
    axes.set_axisbelow(True)
    axes.spines["bottom"].set_color(GRID)
    return canvas, axes


def _short(name: str, most: int = 24) -> str:
    return textwrap.shorten(name, most, placeholder="…") if " " in name else _cut(name, most)


def _cut(name: str, most: int) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"
