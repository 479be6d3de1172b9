"""What score bins hide of the difference of two AUCs, and which bound of it holds.

Run: .venv/bin/python bench/judge/bins.py [rows per arm]   (without: the population; 1 to 2 minutes)

Two normal distributions of log-odds give calibrated scores of any AUC and prevalence; maps spoil
them. The canary's AUC is .01 below stable's. Populations are quantiles, so the exact AUC (ties
counted half) and the binned one are of the same scores. Grids: the 1024 base bins; the one that
ledgers expose, where a base bin with more than 1 % of the rows is counted by its sub-bins; and, to
show why the end bins need more of these, the same with 16 at the ends.

One line per map (stable's / canary's), over 7 values of AUC and 4 of prevalence, and at the end one for
all maps: the largest real bias of the difference; the largest w/2; B: in how many of the cases the judge
believes no bound (it is blind there, and holds); per bound (both arms' added up) its largest value, F: in how
many of the others it is below the bias by more than 1e-5, and by how much at worst; S: in how many of all
it is above d/4 (margin d = .01), which holds. With rows the bounds are means over 5 samples, the bias and B the population's.

The values of AUC and the first three bounds are those of the judge's own component, `Area`:

hard            w/2, its `half_width`
pairs           its `resolution` as if the ends had an end: the change of AUC when bins are merged in pairs
pairs + ends    its `resolution`: the same plus the hard bound of base bins 0 and 1023 where these are not split
pairs + spikes  pairs plus the hard bound of what a cell holds above twice its neighbours
spikes, ties    the same if it were known in which cells all scores are equal: nothing is hidden there
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table
from scipy.special import expit, logit
from scipy.stats import norm, rankdata

from assay.judge.measurement import matters
from assay.judge.metrics.roc_auc import Area
from assay_server.ledger.bins import BINS, FINE_BINS, base_and_sub, fine_bin_of
from assay_server.ledger.counts import HOT_PART, HOT_ROWS

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Map = Callable[[Floats, float], Floats]
AREAS = (0.55, 0.6, 0.75, 0.9, 0.97, 0.99, 0.999)
PREVALENCES = (0.001, 0.01, 0.1, 0.5)
MARGIN = 0.01
POINTS = 50_000
SAMPLES = 5

PLACES = np.array([base_and_sub(fine) for fine in range(FINE_BINS)])
STARTS = np.flatnonzero(PLACES[:, 1] == 0)
"""The first fine bin of each base bin."""


def leaves(count: int) -> Map:
    """Scores of a tree: one per leaf, leaves cut at fixed log-odds around the prevalence."""

    def tree(scores: Floats, center: float) -> Floats:
        cuts = center + np.linspace(-3.0, 3.0, count - 1)
        middles = np.concatenate([cuts - 0.2, [cuts[-1] + 0.2]])
        found: Floats = expit(middles[np.searchsorted(cuts, scores)])
        return found

    return tree


MAPS: dict[str, Map] = {
    "calibrated": lambda scores, _: expit(scores),
    "over x3": lambda scores, _: expit(3.0 * scores),
    "over x10": lambda scores, _: expit(10.0 * scores),
    "under x.1, prevalence": lambda scores, center: expit(center + 0.1 * (scores - center)),
    "under x.1, one half": lambda scores, _: expit(0.1 * scores),
    "under x.01": lambda scores, center: expit(center + 0.01 * (scores - center)),
    "under x.001": lambda scores, center: expit(center + 0.001 * (scores - center)),
    "shifted +1": lambda scores, _: expit(scores + 1.0),
    "float32": lambda scores, _: expit(scores).astype(np.float32).astype(np.float64),
    "over x10, float32": lambda scores, _: expit(10.0 * scores).astype(np.float32).astype(float),
    "8 leaves": leaves(8),
    "64 leaves": leaves(64),
    "forest of 100": lambda scores, _: np.round(expit(scores) * 100.0) / 100.0,
}
PAIRS = [
    *((name, name) for name in MAPS),
    *(("calibrated", name) for name in MAPS if name != "calibrated"),
    *((name, "calibrated") for name in MAPS if name != "calibrated"),
]


@dataclass
class Cells:
    """Counts by (arm, class, cell), and in which cells of an arm all scores are equal."""

    counts: Floats
    tied: Bools
    whole_ends: tuple[bool, bool] = (True, True)

    @property
    def flat(self) -> Floats:
        """Counts by arm as the judge has them: positives by cell, then negatives by cell."""
        return self.counts.reshape(len(self.counts), -1)

    def area(self, whole_ends: tuple[bool, bool] | None = None) -> Area:
        """Return what the judge measures AUC with on this grid."""
        ends = self.whole_ends if whole_ends is None else whole_ends
        return Area("AUC", whole_ends=ends, refined=self.counts.shape[-1] > BINS)

    def merged(self, starts: npt.NDArray[np.intp], distinct: Floats) -> "Cells":
        return Cells(
            np.add.reduceat(self.counts, starts, axis=-1),
            np.add.reduceat(distinct, starts, axis=-1) <= 1,
            (bool(starts[1] == STARTS[1]), bool(starts[-1] == STARTS[-1])),
        )


def population(area: float, prevalence: float) -> tuple[Floats, Floats]:
    """Log-odds of positives and of negatives, calibrated."""
    spread = np.sqrt(2.0) * norm.ppf(area)
    quantiles = spread * norm.ppf((np.arange(POINTS) + 0.5) / POINTS)
    center = logit(prevalence)
    return center + 0.5 * spread**2 + quantiles, center - 0.5 * spread**2 + quantiles


def exact(positive: Floats, negative: Floats) -> float:
    """Mann-Whitney, ties counted half."""
    ranks = rankdata(np.concatenate([positive, negative]))[: len(positive)]
    return float((ranks.mean() - (len(positive) + 1) / 2) / len(negative))


def counted(scores: Floats) -> Floats:
    return np.bincount(fine_bin_of(scores), minlength=FINE_BINS).astype(float)


def starts_of(grid: str, counts: Floats, rows: int, prevalence: float) -> npt.NDArray[np.intp]:
    """Return where the cells of a grid begin among the fine bins."""
    if grid == "uniform":
        return STARTS
    weights = np.ones(2) if rows else np.array([prevalence, 1.0 - prevalence])
    by_base = np.add.reduceat(np.einsum("acf,c->f", counts, weights), STARTS)
    hot = by_base > max(HOT_ROWS if rows else 0.0, by_base.sum() / HOT_PART)
    chosen = hot[PLACES[:, 0]] | (PLACES[:, 1] == 0)
    if grid == "ends of 16":
        end = np.isin(PLACES[:, 0], (0, BINS - 1))
        chosen &= ~end | (PLACES[:, 1] % 64 == 0)
    return np.flatnonzero(chosen)


def shares(cells: Cells) -> tuple[Floats, Floats]:
    parts = cells.counts / cells.counts.sum(-1, keepdims=True)
    return parts[:, 0], parts[:, 1]


def value(cells: Cells) -> Floats:
    return cells.area().value(cells.flat)


def is_blind(cells: Cells) -> bool:
    """Whether the judge believes no bound of one of the arms."""
    return bool(cells.area().is_blind(cells.flat, hard(cells)).any())


def hard(cells: Cells) -> Floats:
    return cells.area().half_width(cells.flat)


def pairs(cells: Cells) -> Floats:
    return cells.area((False, False)).resolution(cells.flat)


def pairs_and_ends(cells: Cells) -> Floats:
    """Merging says nothing of a cell without end: the hard bound of the end bins that are whole."""
    return cells.area().resolution(cells.flat)


def spikes(cells: Cells) -> Floats:
    return _spikes(cells, np.zeros_like(cells.tied))


def spikes_but_ties(cells: Cells) -> Floats:
    return _spikes(cells, cells.tied)


def _spikes(cells: Cells, tied: Bools) -> Floats:
    positives, negatives = shares(cells)
    inside = positives * negatives
    padded = np.pad(inside, ((0, 0), (1, 1)))
    around = np.maximum(padded[:, :-2], padded[:, 2:])
    alone = np.maximum(0.0, inside - 2.0 * around)
    open_ = ~tied
    limit = 0.5 * (inside * open_).sum(-1)
    return np.minimum(pairs(cells) + 0.5 * (alone * open_).sum(-1), limit)


BOUNDS: dict[str, Callable[[Cells], Floats]] = {
    "hard": hard,
    "pairs": pairs,
    "pairs + ends": pairs_and_ends,
    "pairs + spikes": spikes,
    "spikes, ties": spikes_but_ties,
}
GRIDS = ("uniform", "ends of 16", "exposed")


def cases() -> Iterator[tuple[str, str, float, list[list[Floats]]]]:
    """Yield both maps, prevalence, scores by (arm, class)."""
    for area in AREAS:
        for prevalence in PREVALENCES:
            center = float(logit(prevalence))
            arms = population(area, prevalence), population(area - MARGIN, prevalence)
            for kinds in PAIRS:
                scores = [
                    [MAPS[kind](part, center) for part in arm]
                    for kind, arm in zip(kinds, arms, strict=True)
                ]
                yield *kinds, prevalence, scores


def bounds(cells: Cells) -> list[float]:
    return [float(bound(cells).sum()) for bound in BOUNDS.values()]


def sampled(
    dice: np.random.Generator, fine: Floats, distinct: Floats, grid: str, rows: int, share: float
) -> tuple[list[float], int]:
    """Return the bounds of one sample, and how many series show it in one stratum."""
    sizes = [max(1, round(rows * part)) for part in (share, 1.0 - share)]
    drawn = np.zeros_like(fine)
    for arm in range(2):
        for kind, size in enumerate(sizes):
            held = np.flatnonzero(fine[arm, kind])
            chances = fine[arm, kind, held] / fine[arm, kind].sum()
            drawn[arm, kind, held] = dice.multinomial(size, chances)
    cells = Cells(drawn, np.zeros((2, 1), bool)).merged(
        starts_of(grid, drawn, rows, share), distinct
    )
    return bounds(cells), int((cells.counts > 0).sum())


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    dice = np.random.default_rng(7)
    found: dict[tuple[str, str], list[tuple[float, ...]]] = {}
    most = 0
    for first, second, prevalence, arms in cases():
        fine = np.array([[counted(part) for part in arm] for arm in arms])
        distinct = np.array([counted(np.unique(np.concatenate(arm))) for arm in arms])
        areas = [exact(*arm) for arm in arms]
        whole = Cells(fine, np.zeros((2, 1), bool))
        for grid in GRIDS:
            cells = whole.merged(starts_of(grid, fine, 0, prevalence), distinct)
            binned = value(cells)
            bias = float((binned[1] - binned[0]) - (areas[1] - areas[0]))
            limits = bounds(cells)
            if rows:
                samples = [
                    sampled(dice, fine, distinct, grid, rows, prevalence) for _ in range(SAMPLES)
                ]
                limits = np.mean([each for each, _ in samples], axis=0).tolist()
                if grid == "exposed":
                    most = max(most, *(series for _, series in samples))
            pair = first if first == second else f"{first} / {second}"
            found.setdefault((pair, grid), []).append(
                (abs(bias), float(hard(cells).max()), is_blind(cells), *limits)
            )
    for grid in GRIDS:
        found["all", grid] = [
            line for (_, each), lines in found.items() if each == grid for line in lines
        ]
    title = f"{rows} rows per arm, at most {most} series in a stratum" if rows else "population"
    report(found, title)


def report(found: dict[tuple[str, str], list[tuple[float, ...]]], title: str) -> None:
    table = Table(title=title, box=None)
    for name in ("stable / canary", "grid", "bias", "w/2", "B", *BOUNDS):
        table.add_column(name, no_wrap=True)
    for (pair, grid), lines in found.items():
        data = np.array(lines)
        bias, believed = data[:, 0], data[:, 2] == 0.0
        verdicts = []
        for limit in data[:, 3:].T:
            short = (bias - limit)[believed]
            fails, stalls = int((short > 1e-5).sum()), int(matters(limit, MARGIN).sum())
            by = f" by {short.max():.5f}" if fails else ""
            verdicts.append(f"{limit.max():.5f} F{fails}{by} S{stalls}")
        table.add_row(
            pair,
            grid,
            f"{bias.max():.5f}",
            f"{data[:, 1].max():.4f}",
            str(int((~believed).sum())),
            *verdicts,
        )
    Console(width=230).print(table)


if __name__ == "__main__":
    main()
