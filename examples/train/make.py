"""Customers of a provider who stay or leave: invented, with all that real tables have.

    python examples/train/make.py /tmp/churn                # or FOLDER ROWS SEED
    assay train /tmp/churn/churn.yaml

Missing values (income more often where it is low), categories with a long tail, outliers (minutes that
were typed with two zeros too many), one in eleven rows of the class that matters, two columns that say nearly the same, a column that
numbers customers, and one that never changes. The same seed makes the same file.
"""

import csv
import shutil
import sys
from pathlib import Path

import numpy as np

ROWS = 2400
HERE = Path(__file__).parent


def make(folder: Path, rows: int = ROWS, seed: int = 3) -> None:
    """Write customers.csv, and the recipe beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(seed)
    months = draw.integers(1, 73, rows)
    income = np.exp(draw.normal(10.3, 0.4, rows))
    minutes = draw.gamma(3.0, 90.0, rows)
    bill = 9.0 + 0.06 * minutes + draw.normal(0.0, 4.0, rows)
    calls = draw.poisson(1.1, rows)
    plan = draw.choice(["basic", "plus", "family", "senior", "student", "trial"], rows,
                       p=[0.42, 0.3, 0.17, 0.07, 0.03, 0.01])  # fmt: skip
    region = draw.choice([f"region {name}" for name in "ABCDEFGH"], rows)
    odds = (
        -2.5 - 0.035 * months + 0.75 * calls - 0.002 * (minutes - 270.0)
        + np.select([plan == "basic", plan == "family", plan == "trial"], [0.5, -0.6, 1.5], 0.0)
        - 0.5 * (np.log(income) - 10.3)
    )  # fmt: skip
    leaves = draw.random(rows) < 1.0 / (1.0 + np.exp(-odds))
    typed = np.where(draw.random(rows) < 0.01, 100.0 * minutes, minutes)
    unknown = draw.random(rows) < np.where(income < np.median(income), 0.25, 0.08)
    no_plan = draw.random(rows) < 0.04
    with (folder / "customers.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(
            [
                "customer",
                "months",
                "income",
                "minutes",
                "bill",
                "calls",
                "plan",
                "region",
                "country",
                "outcome",
            ]
        )
        for row in range(rows):
            writer.writerow(
                [
                    f"C{row:05d}",
                    months[row],
                    "" if unknown[row] else f"{income[row]:.0f}",
                    f"{typed[row]:.1f}",
                    f"{bill[row]:.2f}",
                    calls[row],
                    "" if no_plan[row] else plan[row],
                    region[row],
                    "Freedonia",
                    "leave" if leaves[row] else "stay",
                ]
            )
    if folder.resolve() != HERE.resolve():
        shutil.copy(HERE / "churn.yaml", folder / "churn.yaml")


if __name__ == "__main__":
    make(Path(sys.argv[1]), *map(int, sys.argv[2:4]))
