"""Curves as SVG that stands inside a page: it takes the page's colours, light or dark.

matplotlib draws with stand-ins for colours, which become CSS variables. Text stays text, so it can
be searched, read aloud and enlarged.
"""

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from assay.judge.verdict import Average
from assay_workbench.document import Floats, thinned
from assay_workbench.evaluation import ArmEvaluation, ClassCurves, Evaluation
from assay_workbench.text import number

COLOURS = 8
"""Series that a plot can tell apart."""

POINTS = 400
"""Of a curve; more than the pixels that it has."""

INK, GRID, SOFT = "#0a0b0c", "#0a0b0d", "#0a0b0e"
SERIES = tuple(f"#0a0c{place:02x}" for place in range(COLOURS))
_VARIABLES = {
    INK: "var(--ink)",
    GRID: "var(--grid)",
    SOFT: "var(--soft)",
    **{colour: f"var(--series-{place})" for place, colour in enumerate(SERIES)},
}
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1)), (0, (6, 1.5, 1.5, 1.5)))
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "assay",
    "font.family": "sans-serif",
    "font.size": 10.0,
    "text.parse_math": False,  # names are shown as they are, with dollars too
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "lines.linewidth": 2.0,
}


@dataclass(frozen=True)
class Plot:
    """One picture.

    Attributes
    ----------
    title
        What it shows.
    svg
        An element with the alternative text inside.
    caption
        How to read it, and what it says here.
    """

    title: str
    svg: str
    caption: str


def plots(evaluation: Evaluation) -> Iterator[Plot]:
    """Yield the pictures of an evaluation."""
    curves = _chosen(evaluation, evaluation.model)
    if not curves:
        return
    with mpl.rc_context(STYLE):
        yield _roc(evaluation, curves)
        yield _precision_recall(evaluation, curves)
        if evaluation.model.calibration:
            yield _calibration(evaluation, [each.of for each in curves])
        if any(each.cost is not None and each.of == evaluation.positive for each in curves):
            yield _cost(evaluation, curves)


def _chosen(evaluation: Evaluation, arm: ArmEvaluation) -> list[ClassCurves]:
    """Return the curves to draw: of many classes those with the most rows."""
    rows = dict(zip(evaluation.classes, evaluation.rows, strict=True))
    whole = [each for each in arm.curves if 0 < rows[each.of] < evaluation.total]
    most = sorted(whole, key=lambda each: (each.of != evaluation.positive, -rows[each.of]))
    kept = {each.of for each in most[:COLOURS]}
    return [each for each in whole if each.of in kept]


def _roc(evaluation: Evaluation, curves: Sequence[ClassCurves]) -> Plot:
    canvas, axes = _axes("false positive rate", "true positive rate (recall)")
    axes.plot([0, 1], [0, 1], color=SOFT, linewidth=1.2, linestyle=(0, (1, 2)))
    for place, each in enumerate(curves):
        _draw(axes, each.roc, place, each.of, step=False)
    for each in _of_baseline(evaluation, curves):
        _draw_baseline(axes, each.roc, step=False)
    _legend(axes, "lower right")
    told = _values(evaluation, curves, "ROCAUC", "ROC AUC")
    return plot(
        canvas,
        "ROC curve",
        f"ROC curves of {_names(curves)}. {told}",
        f"{told} A curve through the upper left corner tells the class apart without error; the dotted "
        "line is chance.",
    )


def _precision_recall(evaluation: Evaluation, curves: Sequence[ClassCurves]) -> Plot:
    canvas, axes = _axes("recall", "precision")
    rows = dict(zip(evaluation.classes, evaluation.rows, strict=True))
    for place, each in enumerate(curves):
        _draw(axes, _from_zero(each.precision_recall), place, each.of, step=True)
        share = rows[each.of] / evaluation.total
        axes.axhline(share, color=SERIES[place], linewidth=1.0, linestyle=(0, (1, 3)))
    for each in _of_baseline(evaluation, curves):
        _draw_baseline(axes, _from_zero(each.precision_recall), step=True)
    _legend(axes, "lower left")
    told = _values(evaluation, curves, "AveragePrecision", "Average precision")
    return plot(
        canvas,
        "Precision and recall",
        f"Precision against recall of {_names(curves)}. {told}",
        f"{told} Dotted lines are the classes' shares of the rows: what a model would have that knows "
        "nothing.",
    )


def _calibration(evaluation: Evaluation, names: Sequence[str]) -> Plot:
    canvas, axes = _axes("mean probability of the bin", "share that is of the class")
    axes.plot([0, 1], [0, 1], color=SOFT, linewidth=1.2, linestyle=(0, (1, 2)))
    arm = evaluation.model
    for place, name in enumerate(names):
        points = arm.calibration.get(name, ())
        x = np.array([each.predicted for each in points])
        y = np.array([each.observed for each in points])
        low = np.array([each.interval.lower for each in points])
        high = np.array([each.interval.upper for each in points])
        axes.vlines(x, low, high, color=SERIES[place], linewidth=1.3)
        axes.plot(
            x, y, color=SERIES[place], label=name, linewidth=1.0,
            linestyle=DASHES[place % len(DASHES)],
        )  # fmt: skip
        rows = np.array([each.rows for each in points], dtype=np.float64)
        # Many bins hold few rows: the eye should follow those with many.
        axes.scatter(x, y, s=10.0 + 70.0 * rows / rows.max(), color=SERIES[place], zorder=3)
    _legend(axes, "upper left")
    found = [
        arm.figure("ECE", of=name) or arm.figure("ECE", Average.BINARY, name) for name in names
    ]
    told = " ".join(
        f"The calibration error of {each.of!r} is {number(each.value)}; {each.why}."
        for each in found
        if each is not None
    )
    return plot(
        canvas,
        "Calibration",
        f"Observed frequency against predicted probability in ten bins. {told}",
        f"{told} Points on the dotted line mean what they say; the larger a point, the more rows; vertical lines are Wilson intervals.",
    )


def _cost(evaluation: Evaluation, curves: Sequence[ClassCurves]) -> Plot:
    canvas, axes = _axes("decision threshold", "mean cost of a row", unit=False)
    told = []
    for place, each in enumerate(curves):
        if each.cost is None or each.of != evaluation.positive:
            continue
        x, y = (values[np.isfinite(each.cost[0])] for values in each.cost)
        _draw(axes, (x, y), place, each.of, step=True)
        table = next(item for item in evaluation.model.thresholds if item.of == each.of)
        if table.cheapest is not None and evaluation.settings.costs is not None:
            cost = table.cheapest.cost(evaluation.settings.costs)
            axes.plot([table.cheapest.threshold], [cost], "o", color=SERIES[place], markersize=7)
            told.append(
                f"Predicting {each.of!r} is cheapest from {table.cheapest.threshold:g} on, at {cost:.4g} a row."
            )
    axes.set_ylim(bottom=0.0)
    if evaluation.model.calibration:
        axes.set_xlim(-0.01, 1.01)
    words = " ".join(told)
    return plot(
        canvas,
        "Cost against threshold",
        f"Mean cost of a row at every decision threshold. {words}",
        f"{words} A flat valley means that the exact threshold matters little.",
    )


def _from_zero(curve: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    """Let the first precision count from recall 0 on, as average precision does."""
    recall, precision = curve
    return np.concatenate([[0.0], recall]), np.concatenate([precision[:1], precision])


def _axes(x: str, y: str, *, unit: bool = True) -> tuple[Canvas, Axes]:
    canvas = Canvas(figsize=(5.0, 4.2), layout="constrained")
    axes = canvas.subplots()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    if unit:
        axes.set_xlim(-0.01, 1.01)
        axes.set_ylim(-0.01, 1.01)
    return canvas, axes


def _draw(axes: Axes, curve: tuple[Floats, Floats], place: int, name: str, *, step: bool) -> None:
    x, y = thinned(*curve, POINTS)
    axes.plot(
        x, y, color=SERIES[place], label=name, linestyle=DASHES[place % len(DASHES)],
        drawstyle="steps-pre" if step else "default", clip_on=False, zorder=3,
    )  # fmt: skip


def _draw_baseline(axes: Axes, curve: tuple[Floats, Floats], *, step: bool) -> None:
    x, y = thinned(*curve, POINTS)
    axes.plot(
        x, y, color=INK, label="baseline", linewidth=1.1, linestyle=(0, (4, 2)),
        drawstyle="steps-pre" if step else "default", zorder=2,
    )  # fmt: skip


def _of_baseline(evaluation: Evaluation, curves: Sequence[ClassCurves]) -> list[ClassCurves]:
    """Return the baseline's curve where there is one class to draw; more would be a tangle."""
    if evaluation.baseline is None or len(curves) != 1:
        return []
    return [each for each in evaluation.baseline.curves if each.of == curves[0].of]


def _legend(axes: Axes, where: Literal["lower right", "lower left", "upper left"]) -> None:
    if len(axes.get_legend_handles_labels()[1]) > 1:
        axes.legend(loc=where)


def _names(curves: Sequence[ClassCurves]) -> str:
    return ", ".join(repr(each.of) for each in curves)


def _values(evaluation: Evaluation, curves: Sequence[ClassCurves], metric: str, words: str) -> str:
    arm = evaluation.model
    found = [
        arm.figure(metric, of=each.of) or arm.figure(metric, Average.BINARY, each.of)
        for each in curves
    ]
    values = ", ".join(f"{number(each.value)} of {each.of!r}" for each in found if each is not None)
    return f"{words}: {values}."


def plot(canvas: Canvas, title: str, alternative: str, caption: str, key: str = "") -> Plot:
    """Return a picture whose colours are those above; `key` as of `svg`."""
    return Plot(title, svg(canvas, title, alternative, key), caption)


def svg(canvas: Canvas, title: str, alternative: str, key: str = "") -> str:
    """Return the drawing as an element that takes the page's colours and can be read aloud.

    `key` keeps its ids apart from those of other drawings on the page, where titles may not.
    """
    buffer = io.StringIO()
    canvas.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, variable)
    prefix = re.sub(r"[^a-z0-9]+", "-", (key or title).lower())
    text = re.sub(r'\bid="', f'id="{prefix}-', text)
    text = re.sub(r'(url\(#|href="#)', rf"\1{prefix}-", text)
    head = f'<svg role="img" aria-labelledby="{prefix}-title {prefix}-desc"'
    text = text.replace("<svg", head, 1)
    place = text.index(">") + 1
    words = (
        f'<title id="{prefix}-title">{_escaped(title)}</title>'
        f'<desc id="{prefix}-desc">{_escaped(alternative)}</desc>'
    )
    return text[:place] + words + text[place:]


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
