"""The guide's trial and its monitoring, by the commands of examples/digits/README.md.

Models are fitted here, because `assay train` measures for minutes what a trial does not need. All fifteen
steps run in tests/guide.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pandas as pd
import pytest
import skops.io
from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from demo.stage import Stage
from examples.digits import make, place
from examples.digits.stream import LABEL, NAME
from fleet import Fleet

pytestmark = pytest.mark.e2e

ROOT = pathlib.Path(__file__).parents[2]
MODELS: dict[str, type[BaseEstimator]] = {"ovr": OneVsRestClassifier, "ovo": OneVsOneClassifier}


def prepare(folder: pathlib.Path) -> None:
    """Leave in the folder what steps 1, 2 and 7 do, as far as steps 11 and 12 ask for it."""
    make.make(folder)
    shutil.copy(ROOT / "examples/digits/rollout.yaml", folder)
    table = pd.read_csv(folder / "train.csv")
    for name, kind in MODELS.items():
        model = make_pipeline(StandardScaler(), kind(LogisticRegression(max_iter=500)))
        calibrated = CalibratedClassifierCV(model, method="sigmoid", cv=2)
        calibrated.fit(table.drop(columns=LABEL).to_numpy(float), table[LABEL].astype(str))
        (folder / name).mkdir()
        skops.io.dump(calibrated, folder / name / "model.skops")


def test_one_vs_one_is_promoted_and_the_new_scanner_is_seen(
    stage: Stage, local_fleet: Fleet, tmp_path: pathlib.Path
) -> None:
    prepare(tmp_path)
    place.write(local_fleet, tmp_path)
    command = [sys.executable, "-m", "examples.digits", "--step", "11,12"]
    environment = {**os.environ, "ASSAY_FLEET": local_fleet.name, "KEEP": "1"}
    try:
        done = subprocess.run(
            [*command, "--output", str(tmp_path)],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
        after = stage.read(NAME)
    finally:
        stage.delete(NAME)

    assert after is not None
    assert [(item.version, item.verdict.value) for item in after.status.history] == [
        ("ovo", "Promote")
    ]
    conditions = re.findall(r"condition DriftDetected: (\w+)", done.stdout)
    assert conditions[0] == "False"
    assert "True" in conditions
    assert "a request failed" not in done.stderr
