"""The counts that a ledger exposes: cumulative, a pure function of the labels in the store.

Scores are counted by fine bin. Exposing all of these would be some ten thousand series for each
stratum and label, most of them worth nothing: a base bin with few rows hides little of AUC. So a
base bin is exposed as a whole unless it is *hot*, that is, holds more than 1 % of its rollout's
scores and more than 32; then it is exposed by its sub-bins. Hot is decided over both revisions and
all strata of a rollout together, so that they share one grid. A bin may become hot or cease to be
as labels come in. Either way nothing is lost: the sub-bins add up to their base bin.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from assay_server import exposition
from assay_server.ledger.bins import base_and_sub, sub_bin_name

# Strata that are exposed: the ones that served last. A rollout has at most some thirty; a label
# for an older one is still counted, it only is not scraped any more.
EXPOSED_STRATA = 64
# A base bin with more rows than both is hot. Less than 100 bins of a rollout can be.
HOT_ROWS = 32
HOT_PART = 100


class Cell(NamedTuple):
    """One cell of the evidence: all labels of a cell count alike.

    `positive` is the positive class of a binary model, else None; `score_bin` is the fine bin of
    its score, None without scores.
    """

    revision: str
    rollout: str
    step: int
    predicted: str
    label: str
    positive: str | None
    score_bin: int | None


class StratumKey(NamedTuple):
    """A revision under one step of a rollout."""

    revision: str
    rollout: str
    step: int


class ScoreKey(NamedTuple):
    """Scores of the rows of one true label in one base bin."""

    stratum: StratumKey
    positive: str
    label: str
    base: int


class Counts:
    """Confusion matrices, score histograms and totals per revision, rollout and step."""

    def __init__(self, deployment: str) -> None:
        self._deployment = deployment
        self.outcomes: Counter[tuple[StratumKey, str, str]] = Counter()
        self.scores: Counter[ScoreKey] = Counter()
        self.parts: defaultdict[ScoreKey, Counter[int]] = defaultdict(Counter)
        self.labelled: Counter[StratumKey] = Counter()
        self.newest: dict[StratumKey, int] = {}
        self.positive = (0, "")
        self._texts: dict[tuple[object, ...], str] = {}

    def add(self, cell: Cell, count: int, served_at: int) -> None:
        """Count labels of one cell, the newest of them served at `served_at` (Unix seconds)."""
        stratum = StratumKey(cell.revision, cell.rollout, cell.step)
        self.outcomes[stratum, cell.label, cell.predicted] += count
        self.labelled[stratum] += count
        self.newest[stratum] = max(served_at, self.newest.get(stratum, 0))
        if cell.positive is not None:
            self.positive = max(self.positive, (served_at, cell.positive))
            if cell.score_bin is not None:
                base, sub = base_and_sub(cell.score_bin)
                key = ScoreKey(stratum, cell.positive, cell.label, base)
                self.scores[key] += count
                self.parts[key][sub] += count

    def text(self, store: str, results: Mapping[str, int]) -> str:
        """Return all metrics of the ledger in the Prometheus text format."""
        newest = sorted(self.newest, key=lambda key: (self.newest[key], key), reverse=True)
        exposed = set(newest[:EXPOSED_STRATA])
        info = exposition.series(
            "assay_ledger_info",
            {"deployment": self._deployment, "store": store, "positive": self.positive[1]},
        )
        labels = {
            exposition.series(
                "assay_labels_total", {"deployment": self._deployment, "result": result}
            ): count
            for result, count in results.items()
        }
        return "".join(
            [
                exposition.family(
                    "assay_ledger_info", "gauge", "Identity of the ledger's store.", [f"{info}1"]
                ),
                exposition.counters("assay_labels_total", "Labels received, by result.", labels),
                self._family(
                    "assay_labelled_total",
                    "Predictions whose true label was counted.",
                    {(key,): count for key, count in self.labelled.items() if key in exposed},
                    (),
                ),
                self._family(
                    "assay_outcomes_total",
                    "Labelled predictions by true label and predicted class.",
                    {key: count for key, count in self.outcomes.items() if key[0] in exposed},
                    ("label", "predicted"),
                ),
                self._family(
                    "assay_scores_total",
                    "Labelled predictions by true label and bin of the class's score: 1024 bins"
                    " uniform in log-odds on [-12, 12]; of one that holds much, sub-bins b.k.",
                    self._exposed_scores(exposed),
                    ("class", "label", "bin"),
                ),
            ]
        )

    def _exposed_scores(
        self, exposed: set[StratumKey]
    ) -> Mapping[tuple[StratumKey, *tuple[str | int, ...]], int]:
        cells = [(key, count) for key, count in self.scores.items() if key.stratum in exposed]
        hot = hot_bins(cells)
        values: dict[tuple[StratumKey, *tuple[str | int, ...]], int] = {}
        for key, count in cells:
            if (key.stratum.rollout, key.base) in hot:
                for sub, rows in self.parts[key].items():
                    values[*key[:3], sub_bin_name(key.base, sub)] = rows
            else:
                values[key] = count
        return values

    def _family(
        self,
        name: str,
        help_text: str,
        values: Mapping[tuple[StratumKey, *tuple[str | int, ...]], int],
        labels: tuple[str, ...],
    ) -> str:
        texts = self._texts
        samples = []
        for key, count in values.items():
            text = texts.get((name, *key))
            if text is None:
                stratum = {"deployment": self._deployment, **key[0]._asdict()}
                own = dict(zip(labels, key[1:], strict=True))
                text = texts[(name, *key)] = exposition.series(name, {**stratum, **own})
            samples.append(f"{text}{count}")
        return exposition.family(name, "counter", help_text, samples)


def hot_bins(cells: Iterable[tuple[ScoreKey, int]]) -> set[tuple[str, int]]:
    """Return rollout and number of the base bins that are exposed by their sub-bins."""
    rows: Counter[tuple[str, int]] = Counter()
    totals: Counter[str] = Counter()
    for key, count in cells:
        rollout = key.stratum.rollout
        rows[rollout, key.base] += count
        totals[rollout] += count
    return {
        place
        for place, count in rows.items()
        if count > HOT_ROWS and count * HOT_PART > totals[place[0]]
    }
