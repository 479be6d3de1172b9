"""Draw the pictures of docs/concepts.md: docs/img/*.svg.

``python tools/draw_concepts.py`` writes, ``python tools/draw_concepts.py --check`` says what is stale. What the
pictures of a verdict and of strata show is reckoned by the judge and from counts, not drawn by hand.
"""

import pathlib
import sys
from collections.abc import Iterable, Sequence
from xml.sax.saxutils import escape

import numpy as np

from assay.cli.counts_file import parse
from assay.judge import MetricJudgement, Verdict, judge

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "docs" / "img"
INK, PALE, STABLE, CANARY, BAD = "#263238", "#90a4ae", "#1565c0", "#ef6c00", "#c62828"
WIDTH = 760

Matrix = list[list[int]]


def picture(height: int, title: str, parts: Iterable[str]) -> str:
    """Return an SVG of our width on a white ground, legible on any page."""
    arrow = (
        f'<marker id="to" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0 8 4 0 8z" fill="{INK}"/></marker>'
    )
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" font-family="sans-serif" font-size="13" fill="{INK}">',
            f"<title>{escape(title)}</title>",
            f"<defs>{arrow}</defs>",
            f'<rect width="{WIDTH}" height="{height}" rx="8" fill="#fff"/>',
            *parts,
            "</svg>\n",
        ]
    )


def text(
    x: float, y: float, words: str, *, anchor: str = "middle", fill: str = INK, bold: bool = False
) -> str:
    """Return words at a place."""
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{fill}"{weight}>{escape(words)}</text>'


def box(x: float, y: float, lines: Sequence[str], *, width: float = 128, colour: str = INK) -> str:
    """Return a box around its middle, with the first line in bold."""
    height = 18 * len(lines) + 14
    top = y - height / 2
    words = [
        text(x, top + 20 + 18 * number, line, fill=colour, bold=number == 0)
        for number, line in enumerate(lines)
    ]
    rect = f'<rect x="{x - width / 2:.1f}" y="{top:.1f}" width="{width}" height="{height}" rx="6" fill="none" stroke="{colour}"/>'
    return rect + "".join(words)


def arrow(x1: float, y1: float, x2: float, y2: float, words: str = "", *, above: float = 7) -> str:
    """Return an arrow, with words over its middle."""
    line = f'<path d="M{x1} {y1}L{x2} {y2}" stroke="{INK}" marker-end="url(#to)"/>'
    return line + (text((x1 + x2) / 2, (y1 + y2) / 2 - above, words) if words else "")


def evidence() -> str:
    """Return how a label finds the prediction it belongs to, and both the operator."""
    return picture(
        330,
        "A request, its receipt, its label, and the counts that the operator reads",
        [
            box(80, 60, ["client"]),
            box(290, 60, ["gateway", "stamps the stratum"], width=150),
            box(530, 30, ["stable", "95 % of the traffic"], width=150, colour=STABLE),
            box(530, 100, ["canary", "5 %"], width=150, colour=CANARY),
            arrow(144, 52, 215, 52, "request"),
            arrow(365, 52, 455, 34),
            arrow(365, 68, 455, 96),
            text(612, 62, "each answer carries", anchor="start"),
            text(612, 80, "a signed receipt", anchor="start"),
            f'<path d="M530 130V152H80V88" fill="none" stroke="{INK}" marker-end="url(#to)"/>',
            text(
                305,
                146,
                "who predicted what, where, and in which step",
            ),
            box(80, 235, ["who learns", "the truth"]),
            f'<path d="M80 152V206" stroke="{INK}" stroke-dasharray="4" marker-end="url(#to)"/>',
            text(90, 186, "seconds or months later", anchor="start"),
            box(290, 235, ["ledger", "counts each once"], width=150),
            arrow(144, 235, 214, 235, "label,"),
            text(179, 250, "receipt"),
            box(490, 235, ["Prometheus", "of the member"]),
            arrow(365, 235, 425, 235, "counts"),
            box(670, 235, ["operator", "pools, judges"], width=140),
            arrow(554, 235, 599, 235),
            text(740, 290, "Promote, Rollback or Hold", anchor="end", bold=True),
            arrow(670, 261, 670, 274),
        ],
    )


def trial(sensitivity: float, looks: Sequence[int], *, seed: int) -> list[MetricJudgement]:
    """Return what the judge says of a canary at each look, by F1.

    Parameters
    ----------
    sensitivity
        Of the canary; that of stable is .80. Both have a specificity of .95, and a tenth of the rows
        is positive.
    looks
        Labels of the canary at each; stable has four times as many.
    seed
        Of the labels, which are drawn.
    """
    draw = np.random.default_rng(seed)
    rows = max(looks)
    arms = {}
    for arm, times, found in (("stable", 4, 0.80), ("canary", 1, sensitivity)):
        labels = draw.random(rows * times) < 0.1
        predicted = np.where(
            labels, draw.random(rows * times) < found, draw.random(rows * times) < 0.05
        )
        arms[arm] = (times, labels, predicted)
    judged = []
    for look in looks:
        stratum: dict[str, object] = {"name": "all"}
        for arm, (times, labels, predicted) in arms.items():
            matrix = _matrix(labels[: look * times], predicted[: look * times])
            stratum[arm] = {"labels": ["0", "1"], "confusion": matrix, "served": look * times}
        metric = {"type": "F1", "positiveLabel": "1", "margin": "0.03"}
        question = parse({"metric": metric, "confidence": "0.95", "strata": [stratum]})
        judged.append(judge(question.metrics, question.policy, question.evidence).metrics[0])
    return judged


def _matrix(labels: np.ndarray, predicted: np.ndarray) -> Matrix:
    return [
        [int(((labels == true) & (predicted == said)).sum()) for said in (False, True)]
        for true in (False, True)
    ]


def verdict() -> str:
    """Return the band of three canaries over the labels that have come back."""
    looks = [round(value) for value in np.geomspace(200, 40000, 60)]
    parts = []
    for number, (title, sensitivity, seed) in enumerate(
        (
            ("as good as stable", 0.80, 5),
            ("worse by .06", 0.70, 2),
            ("as good, but few labels", 0.80, 5),
        )
    ):
        shown = looks if number < 2 else [look for look in looks if look <= 1500]
        parts += _band(20 + number * 248, 232, title, trial(sensitivity, shown, seed=seed), shown)
    height = 330
    parts.append(
        text(
            20,
            height - 16,
            "Canary minus stable in F1, with its band over all looks together (95 %). Dashed: minus the margin.",
            anchor="start",
            fill="#546e7a",
        )
    )
    return picture(height, "The band narrows until it is clear of the margin or of zero", parts)


def _band(
    left: float, width: float, title: str, judged: Sequence[MetricJudgement], looks: Sequence[int]
) -> list[str]:
    low, high, first, last = -0.2, 0.2, 200, 40000
    top, bottom = 50, 270

    def x(look: float) -> float:
        return left + width * float(np.log(look / first) / np.log(last / first))

    def y(value: float | None) -> float:
        inside = min(max(0.0 if value is None else value, low), high)
        return bottom - (bottom - top) * (inside - low) / (high - low)

    ends = next(
        (number for number, item in enumerate(judged) if item.verdict is not Verdict.HOLD), None
    )
    shown = judged if ends is None else judged[: ends + 1]
    known = [
        (look, item)
        for look, item in zip(looks, shown, strict=False)
        if item.lower is not None and item.upper is not None and item.difference is not None
    ]
    upper = [f"{x(look):.1f} {y(item.upper):.1f}" for look, item in known]
    lower = [f"{x(look):.1f} {y(item.lower):.1f}" for look, item in reversed(known)]
    middle = [f"{x(look):.1f} {y(item.difference):.1f}" for look, item in known]
    end = shown[-1]
    colour = {Verdict.PROMOTE: STABLE, Verdict.ROLLBACK: BAD, Verdict.HOLD: PALE}[end.verdict]
    last_look = looks[len(shown) - 1]
    return [
        text(left + width / 2, 24, title, bold=True),
        f'<rect x="{left}" y="{top}" width="{width}" height="{bottom - top}" fill="none" stroke="{PALE}"/>',
        f'<path d="M{left} {y(0):.1f}h{width}" stroke="{PALE}"/>',
        f'<path d="M{left} {y(-0.03):.1f}h{width}" stroke="{INK}" stroke-dasharray="5 4"/>',
        f'<path d="M{"L".join([*upper, *lower])}Z" fill="{CANARY}" fill-opacity=".18"/>',
        f'<path d="M{"L".join(middle)}" fill="none" stroke="{CANARY}" stroke-width="2"/>',
        f'<circle cx="{x(last_look):.1f}" cy="{y(end.difference):.1f}" r="5" fill="{colour}"/>',
        text(
            left + width / 2,
            42,
            f"{end.verdict.value} with {last_look:,} labels".replace(",", " "),
            fill=colour if end.verdict is not Verdict.HOLD else INK,
        ),
        text(left, 286, "200", anchor="start", fill=PALE),
        text(left + width, 286, "40 000 labels of the canary", anchor="end", fill=PALE),
    ]


def f1(matrix: Matrix) -> float:
    """Return the F1 of the second class."""
    (_, false_positive), (false_negative, true_positive) = matrix
    return 2 * true_positive / (2 * true_positive + false_positive + false_negative)


def expected(rows: int, prevalence: float) -> Matrix:
    """Return what a model with sensitivity .8 and specificity .9 does on average."""
    positive = round(rows * prevalence)
    negative = rows - positive
    found, false_alarms = round(0.8 * positive), round(0.1 * negative)
    return [[negative - false_alarms, false_alarms], [positive - found, found]]


def strata() -> str:
    """Return why raw counts of two members are never added up."""
    members = (
        ("east: half are positive", 0.5, 9000, 500),
        ("west: one in 25 is", 0.04, 1000, 2500),
    )
    arms: dict[str, list[Matrix]] = {"stable": [], "canary": []}
    parts = [
        text(
            WIDTH / 2,
            28,
            "One and the same model in both arms; the canary has another share in each member",
            bold=True,
        )
    ]
    groups = []
    for title, prevalence, stable_rows, canary_rows in members:
        matrices = {
            "stable": expected(stable_rows, prevalence),
            "canary": expected(canary_rows, prevalence),
        }
        for arm, matrix in matrices.items():
            arms[arm].append(matrix)
        note = f"{stable_rows:,} and {canary_rows:,} rows".replace(",", " ")
        groups.append((title, note, f1(matrices["stable"]), f1(matrices["canary"])))
    pooled = {
        arm: f1(
            [[sum(cells) for cells in zip(*rows, strict=True)] for rows in zip(*found, strict=True)]
        )
        for arm, found in arms.items()
    }
    gap = f"{pooled['stable'] - pooled['canary']:.3f}".removeprefix("0")
    groups.append(
        (
            "raw counts added up",
            f"a difference of {gap} that is not there",
            pooled["stable"],
            pooled["canary"],
        )
    )
    for number, (title, note, stable, canary) in enumerate(groups):
        left = 60 + number * 240
        for offset, value, colour in ((20, stable, STABLE), (90, canary, CANARY)):
            height = 170 * value
            parts.append(
                f'<rect x="{left + offset}" y="{230 - height:.1f}" width="56" height="{height:.1f}" fill="{colour}"/>'
            )
            parts.append(text(left + offset + 28, 224 - height, f"{value:.3f}".removeprefix("0")))
        parts.append(
            text(left + 83, 252, title, bold=True, fill=BAD if number == len(groups) - 1 else INK)
        )
        parts.append(text(left + 83, 270, note, fill="#546e7a"))
    parts.append(
        text(
            60,
            302,
            "F1 of stable (blue) and canary (orange). Assay compares within each member and step, never the sums.",
            anchor="start",
            fill="#546e7a",
        )
    )
    return picture(
        320,
        "The same model in both arms, with equal F1 in each member and another one in raw sums",
        parts,
    )


def drawings() -> dict[str, str]:
    """Return the text of every picture by its file name."""
    return {"evidence.svg": evidence(), "verdict.svg": verdict(), "strata.svg": strata()}


def main() -> int:
    """Write or check; return the exit code."""
    stale = [
        name
        for name, drawn in drawings().items()
        if not (FOLDER / name).exists() or (FOLDER / name).read_text() != drawn
    ]
    for name in stale:
        if "--check" in sys.argv:
            sys.stderr.write(f"stale: docs/img/{name} (run python tools/draw_concepts.py)\n")
        else:
            FOLDER.mkdir(exist_ok=True)
            (FOLDER / name).write_text(drawings()[name])
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    raise SystemExit(main())
