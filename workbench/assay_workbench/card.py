"""The model card: what the model is for, how it came to be, and what it must not be used for.

After Mitchell et al., Model Cards for Model Reporting (2019).
"""

from collections.abc import Iterator, Sequence

from assay.judge.wording import count, percent
from assay_workbench import training_text as text
from assay_workbench.text import interval_words, name_of, number, shown
from assay_workbench.training import Training


def card(training: Training, name: str) -> str:
    """Return the card in Markdown; `name` is that of the recipe."""
    return "\n".join(_lines(training, name)) + "\n"


def _lines(training: Training, name: str) -> Iterator[str]:
    recipe = training.recipe
    yield f"# {name}"
    yield ""
    yield recipe.problem.strip()
    yield ""
    yield text.summary(training)
    yield ""
    yield f"Artifact `model.skops`, `{training.digest}`."
    for note in text.notes(training):
        yield ""
        yield f"> {note}"
    yield from _section("Classes")
    held = dict(zip(training.evaluation.classes, training.evaluation.rows, strict=True))
    yield from _table(
        ("class", "meaning", "training rows", "held-out rows"),
        [
            (each, recipe.classes[each], count(rows), count(held[each]))
            for each, rows in training.exploration.classes
        ],
    )
    yield from _section("Data")
    yield from _table(
        ("file", "rows", "digest"),
        [(each.name, count(each.rows), f"`{each.digest}`") for each in training.table.files],
    )
    yield ""
    yield from _table(
        ("column", "role", "why", "missing"),
        [
            (each.name, each.role, each.why, _missing(training, each.name))
            for each in training.table.columns
        ],
    )
    yield from _section("Preprocessing and estimator")
    yield "Everything below learned from the training rows alone, inside one pipeline."
    yield ""
    yield from _table(("step", "what"), list(text.steps(training)))
    if training.found is not None:
        yield from _section("Search")
        yield text.searched(training.found, recipe)
        yield ""
        yield from _table(
            text.tried_heads(training.found)[:-1],
            [each[:-1] for each in text.tried_lines(training.found)],
        )
    yield from _section("On held-out rows")
    confidence = percent(training.evaluation.settings.confidence)
    yield from _table(
        ("metric", "value", f"{confidence} interval", "how"),
        [
            (name_of(each), number(each.value), *interval_words(each))
            for each in shown(training.evaluation.model)
        ],
    )
    yield from _section("What it looks at")
    yield (
        "When one column is shuffled on the held-out rows: mean and standard deviation over ten times."
    )
    yield ""
    yield from _table(
        ("column", text.change(training.metric), "deviation"),
        [
            (each.name, f"{each.mean:.4f}", f"{each.deviation:.4f}")
            for each in training.importances[:20]
        ],
    )
    yield ""
    for each in training.dependences:
        of, curve = each.curves[0]
        low, high = int(curve.argmin()), int(curve.argmax())
        yield (
            f"- {each.name}: the mean score of {of!r} is {curve[low]:.3f} at {_value(each.values[low])} and "
            f"{curve[high]:.3f} at {_value(each.values[high])}."
        )
    yield from _section("Limits of use")
    yield recipe.limits.strip() or "The recipe names none."
    yield ""
    yield (
        f"It was judged on rows like those of {training.table.files[0].name}: where others come in, these "
        "figures do not hold. The artifact has a summary of the training rows, so that a server sees that."
    )
    yield from _section("Versions")
    yield from _table(("library", "version"), list(training.versions))


def _section(title: str) -> Iterator[str]:
    yield from ("", f"## {title}", "")


def _table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(map(_cell, heads))} |"
    yield "|" + "---|" * len(heads)
    for line in lines:
        yield f"| {' | '.join(map(_cell, line))} |"


def _cell(value: object) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")


def _missing(training: Training, name: str) -> str:
    found = training.exploration
    missing = found.missing_by_column.get(name)
    return "" if missing is None else percent(missing / found.rows)


def _value(value: float | str) -> str:
    return repr(value) if isinstance(value, str) else f"{value:.6g}"
