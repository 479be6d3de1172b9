"""Handwritten digits in five files, of which no two share an image.

    python examples/digits/make.py FOLDER

The images (8 by 8 pixels from 0 to 16; Alpaydin, Kaynak, 1998) come with scikit-learn, which has 1 797 of them.
The outermost columns are left out: they are empty in nearly all images, and whether a column is of use, and so
what a model is asked with, would depend on which images it was trained on.
Nothing is missing in them and no class is rare: data with such faults are in examples/train/make.py.

train.csv    to train on
test.csv     to judge on before anything is deployed
live.csv     what users send at first
moved.csv    what they send once a new scanner is in use, which puts every digit one pixel to the right
later.csv    the same scanner, later
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

SHARES = {"train": 0.44, "test": 0.14, "live": 0.14, "moved": 0.14, "later": 0.14}
MOVED = ("moved", "later")
SIDE = 8
KEPT = range(1, SIDE - 1)
COLUMNS = [f"r{row}c{column}" for row in range(SIDE) for column in KEPT]


def make(folder: Path, seed: int = 0) -> None:
    """Write the five files. The same seed makes the same files."""
    folder.mkdir(parents=True, exist_ok=True)
    images, digits = load_digits(return_X_y=True)
    rest = np.arange(len(images))
    left = 1.0
    for name, share in SHARES.items():
        some = rest
        if share < left:
            some, rest = train_test_split(
                rest, train_size=share / left, stratify=digits[rest], random_state=seed
            )
        left -= share
        rows = cut(images[some], 1 if name in MOVED else 0)
        table = pd.DataFrame(rows.astype(int), columns=COLUMNS)
        table.assign(digit=digits[some]).to_csv(folder / f"{name}.csv", index=False)


def cut(images: np.ndarray, by: int) -> np.ndarray:
    """Return the middle columns of images of shape (n, 64) that lie so many pixels further right."""
    grid = images.reshape(-1, SIDE, SIDE)
    first, last = KEPT[0] - by, KEPT[-1] + 1 - by
    return grid[:, :, first:last].reshape(len(images), -1)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
