"""A million rows of digits on one core: `assay score`, and what a person would write instead.

taskset -c 0 .venv/bin/python bench/workbench/score.py [--rows 1000000]

The peers read the whole table (pandas with pyarrow), ask scikit-learn once and write Parquet. All are
processes of their own, from the start of Python to its end, on the same files and the same core; their
outputs are compared, so nobody is fast by leaving something out.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet
import skops.io
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

PEER = """
import sys, pandas as pd, skops.io
model = skops.io.load(sys.argv[1])
rows = pd.{read}(sys.argv[2])
out = pd.DataFrame(model.predict_proba(rows), columns=[f"score_{{c}}" for c in model.classes_])
out.insert(0, "prediction", model.predict(rows))
out.to_parquet(sys.argv[3])
"""
ASSAY = "from assay.cli import main; main()"


# The most memory of a process counts that of whoever starts it, so somebody small does.
MEASURE = """
import os, sys, time
begun = time.perf_counter()
process = os.spawnv(os.P_NOWAIT, sys.executable, [sys.executable, *sys.argv[1:]])
_, status, usage = os.wait4(process, 0)
assert status == 0
print(time.perf_counter() - begun, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
"""


def spent(words: list[str]) -> list[float]:
    """Return seconds, seconds of CPU and the most MiB of memory of a process."""
    command = [sys.executable, "-S", "-c", MEASURE, *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    return [float(word) for word in done.stdout.split()[-3:]]


def digits(folder: Path, rows: int) -> list[Path]:
    """Write a model, and rows of digits with noise, so that none is twice the same, in both formats."""
    data = load_digits(as_frame=True)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    skops.io.dump(model.fit(data.data, data.target), folder / "digits.skops")
    random = np.random.default_rng(0)
    table = data.data.sample(rows, replace=True, random_state=0).reset_index(drop=True)
    table = (table + random.normal(0.0, 0.5, table.shape)).round(3)
    table.to_parquet(folder / "rows.parquet", row_group_size=100_000)
    table.to_csv(folder / "rows.csv", index=False)
    return [folder / "rows.parquet", folder / "rows.csv"]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="where the files go; a temporary one without")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as place:
        folder = Path(place)
        files = digits(folder, options.rows)
        cores = len(os.sched_getaffinity(0))
        print(
            f"{options.rows:,} rows x 64 features, 10 classes, {cores} core(s), load {os.getloadavg()[0]:.1f}"
        )
        print(f"{'':52s}{'seconds':>9s}{'CPU s':>8s}{'MiB':>7s}")
        for file in files:
            kind, size = file.suffix[1:], file.stat().st_size / 2**20
            read = f"read_{kind}"
            model = str(folder / "digits.skops")
            out, peer = folder / f"out-{kind}", folder / f"peer-{kind}.parquet"
            for name, words in (
                ("assay score", ["-c", ASSAY, "score", model, str(file), "-o", str(out)]),
                (
                    f"pandas {read}, predict_proba",
                    ["-c", PEER.format(read=read), model, str(file), str(peer)],
                ),
            ):
                seconds, cpu, memory = spent(words)
                what = f"{kind} ({size:.0f} MiB): {name}"
                print(f"{what:52s}{seconds:9.1f}{cpu:8.1f}{memory:7.0f}")
            ours = pyarrow.parquet.read_table(out).to_pandas()
            theirs = pd.read_parquet(peer)
            columns = [f"score_{digit}" for digit in range(10)]
            assert (ours["row"] == np.arange(1, options.rows + 1)).all()
            assert np.abs(ours[columns].to_numpy() - theirs[columns].to_numpy()).max() < 1e-9
            assert (ours["prediction"].astype(int) == theirs["prediction"]).all()


if __name__ == "__main__":
    main()
