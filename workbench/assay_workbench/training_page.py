"""A training as one page, in the look of `evaluate`."""

import math

from assay.judge.wording import count, percent
from assay_workbench import training_text as text
from assay_workbench.html import judged, rendered
from assay_workbench.training import Explained, Training
from assay_workbench.training_plots import exploration_plots, model_plots


def page(training: Training, name: str) -> str:
    """Return the page; `name` is that of the recipe."""
    recipe, found = training.recipe, training.exploration
    values = judged(training.evaluation)
    rows = dict(found.classes)
    held = dict(zip(training.evaluation.classes, training.evaluation.rows, strict=True))
    return rendered(
        "training.html.j2",
        **values,
        training=training,
        name=name,
        headline=text.summary(training),
        notes=text.notes(training),
        held_out=count(training.held_out.size),
        classes=[
            (each, recipe.classes[each], count(rows[each]), count(held[each]))
            for each in training.classes
        ],
        exploration=list(exploration_plots(training)),
        numeric=[
            (
                each.name,
                percent(each.missing / found.rows),
                *("-" if math.isnan(value) else f"{value:.6g}" for value in each.quantiles),
                percent(each.outliers / found.rows),
            )
            for each in found.numeric
        ],
        categorical=[
            (
                each.name,
                percent(each.missing / found.rows),
                count(each.distinct),
                ", ".join(f"{value} ({count(rows)})" for value, rows in each.commonest),
            )
            for each in found.categorical
        ],
        ignored=[(each.name, each.why) for each in training.table.columns if each.role == "ignore"],
        steps=list(text.steps(training)),
        search="" if training.found is None else text.searched(training.found, recipe),
        tried_heads=[
            (head, place >= len(recipe.search.grid))
            for place, head in enumerate(
                [] if training.found is None else text.tried_heads(training.found)
            )
        ],
        tried=[] if training.found is None else list(text.tried_lines(training.found)),
        looks=list(model_plots(training)),
        explained=[_taken_apart(training, each) for each in training.explained],
        origins=[
            ("model", training.digest),
            *(
                (each.name, f"{count(each.rows)} rows, {each.digest}")
                for each in training.table.files
            ),
            *training.versions,
        ],
    )


def _taken_apart(training: Training, each: Explained) -> tuple[str, list[tuple[str, str, str]]]:
    title = (
        f"Row {each.row}, of class {each.label!r}: score {each.score:+.3f} for {each.of!r}, from "
        f"{each.start:+.3f} of the mean row"
    )
    order = sorted(range(len(each.added)), key=lambda place: -abs(each.added[place]))
    names = training.table.names
    lines = [(names[place], each.values[place], f"{each.added[place]:+.3f}") for place in order[:8]]
    rest = math.fsum(each.added[place] for place in order[8:])
    if order[8:]:
        lines.append((f"{len(order) - 8} others", "", f"{rest:+.3f}"))
    return title, lines
