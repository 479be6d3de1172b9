"""What is left between an AUC from score bins and scikit-learn's, of the same rows: bias and tie noise.

Run: python -m bench.judge.ties [rows, default 20000]   (half a minute)

Rows in one bin count as tied. Where the share of positives has a slope inside a bin that is a bias,
which the population has too. The rest is chance: which of a bin's positives happen to lie above which
of its negatives the counts do not know. Without a slope U_b, the part of a bin's pairs that is in
order, has mean 1/2 and variance (P_b + N_b + 1) / (12 P_b N_b) (Mann and Whitney), so the error of AUC
has the variance

    sum_b P_b N_b (P_b + N_b + 1) / 12 / (P N)^2.

One line per map of the scores and prevalence, over AUCs of .6 to .99, on the grid that ledgers expose:
the largest bias of the population; of samples the tie noise as the formula has it, the largest error, and
the spread of errors (less the bias) in units of the formula, 1 if it is right; the rows from which
|bias| + 3 noise <= 1e-4, as the noise falls with the root of the rows. The last two columns are
with a correction for the slope, from the neighbouring bins: it takes the bias away and leaves the noise.
"""

import sys

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table
from scipy.special import logit
from scipy.stats import norm

from assay.judge.wording import count
from assay_server.ledger.bins import FINE_BINS
from bench.judge.bins import MAPS, Cells, counted, exact, population, starts_of, value

Floats = npt.NDArray[np.float64]
GOAL = 1e-4
AREAS = (0.6, 0.75, 0.9, 0.99)
PREVALENCES = (0.5, 0.1, 0.01)
SHOWN = ("calibrated", "over x3", "under x.1, prevalence", "under x.01", "64 leaves")
SAMPLES = 30


def exposed(scores: tuple[Floats, Floats], rows: int, prevalence: float) -> Cells:
    """Count the scores of positives and of negatives as a ledger shows them."""
    fine = np.array([[counted(each) for each in scores]])
    starts = starts_of("exposed", fine, rows, prevalence)
    return Cells(fine, np.zeros((1, 1), bool)).merged(starts, np.full(FINE_BINS, 2.0))


def noise(cells: Cells) -> float:
    """Standard error of AUC by what bins do not know, if all scores in them differ."""
    positives, negatives = cells.counts[0]
    pairs = positives.sum() * negatives.sum()
    each = positives * negatives * (positives + negatives + 1.0)
    return float(np.sqrt(each.sum() / 12.0) / pairs)


def slope(cells: Cells) -> float:
    """Bias that straight lines through the neighbouring bins show."""
    positives, negatives = cells.counts[0] / cells.counts[0].sum(axis=-1, keepdims=True)
    return float(
        (positives * np.gradient(negatives) - negatives * np.gradient(positives)).sum() / 12.0
    )


def drawn(
    dice: np.random.Generator, area: float, prevalence: float, rows: int
) -> tuple[Floats, Floats]:
    """Draw log-odds of positives and of negatives, calibrated."""
    spread, center = np.sqrt(2.0) * norm.ppf(area), logit(prevalence)
    positives = max(1, round(prevalence * rows))
    above, below = dice.normal(size=positives), dice.normal(size=rows - positives)
    half = 0.5 * spread**2
    return center + half + spread * above, center - half + spread * below


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    dice = np.random.default_rng(3)
    table = Table(title=f"{count(rows)} rows, {SAMPLES} samples for each AUC", box=None)
    for name in (
        "scores", "prevalence", "bias", "noise", "largest error", "spread / noise",
        "rows for 1e-4", "bias corrected", "largest error",
    ):  # fmt: skip
        table.add_column(name, no_wrap=True, justify="left" if name == "scores" else "right")
    for name in SHOWN:
        for prevalence in PREVALENCES:
            lines = []
            for area in AREAS:
                center = float(logit(prevalence))

                def scored(
                    arms: tuple[Floats, Floats], name: str = name, center: float = center
                ) -> tuple[Floats, Floats]:
                    return MAPS[name](arms[0], center), MAPS[name](arms[1], center)

                whole = scored(population(area, prevalence))
                cells = exposed(whole, 0, prevalence)
                bias = float(value(cells)[0]) - exact(*whole)
                errors, noises, slopes = [], [], []
                for _ in range(SAMPLES):
                    sample = scored(drawn(dice, area, prevalence, rows))
                    cells_drawn = exposed(sample, rows, prevalence)
                    errors.append(float(value(cells_drawn)[0]) - exact(*sample))
                    noises.append(noise(cells_drawn))
                    slopes.append(slope(cells_drawn))
                typical = float(np.mean(noises))
                left = GOAL - abs(bias)
                lines.append(
                    (
                        abs(bias),
                        typical,
                        np.abs(errors).max(),
                        np.std(errors) / typical,
                        rows * (3.0 * typical / left) ** 2 if left > 0.0 else np.inf,
                        abs(bias - slope(cells)),
                        np.abs(np.subtract(errors, slopes)).max(),
                    )
                )
            worst = np.max(lines, axis=0)
            tied = worst[2] < 1e-12  # scores that share a bin are equal: nothing is hidden
            enough = "any" if tied else count(worst[4]) if np.isfinite(worst[4]) else "never"
            table.add_row(
                name, f"{100 * prevalence:g} %", f"{worst[0]:.1e}", f"{worst[1]:.1e}",
                f"{worst[2]:.1e}", f"{np.mean([line[3] for line in lines]):.2f}", enough,
                f"{worst[5]:.1e}", f"{worst[6]:.1e}",
            )  # fmt: skip
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
