"""The guide's commands run as they stand in examples/digits/README.md, from training to the second model.

The steps about data and tuning need no cluster; tests/unit/examples runs them.
"""

import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from demo.stage import Observed, Stage
from examples.digits import place
from examples.digits.stream import NAME
from fleet import Fleet

pytestmark = pytest.mark.e2e

ROOT = pathlib.Path(__file__).parents[2]
STEPS = "2,7,11..15"


@dataclass(frozen=True)
class Told:
    """What the guide left behind, and what it printed."""

    folder: pathlib.Path
    output: str
    after: Observed


@pytest.fixture(scope="module")
def told(
    stage: Stage, local_fleet: Fleet, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Told]:
    folder = tmp_path_factory.mktemp("guide")
    place.write(local_fleet, folder)
    command = [sys.executable, "-m", "examples.digits", "--step", STEPS, "--output", str(folder)]
    environment = {**os.environ, "ASSAY_FLEET": local_fleet.name, "KEEP": "1"}
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
        after = stage.read(NAME)
        assert after is not None
        yield Told(folder, done.stdout, after)
    finally:
        stage.delete(NAME)


def test_one_vs_one_and_the_retrained_version_are_promoted_on_macro_f1_and_auc(told: Told) -> None:
    history = [(item.version, item.verdict.value) for item in told.after.status.history]
    assert [entry for entry in history if entry[0] in {"ovo", "again"}] == [
        ("again", "Promote"),
        ("ovo", "Promote"),
    ]
    assert told.after.status.stable is not None
    assert told.after.status.stable.version == "again"


def test_drift_is_seen_in_inputs_estimate_and_labels(told: Told) -> None:
    line = r"above 0.25 in (\d+) of \d+ columns .*\n.*: ([.\d]+) before deployment, ([.\d]+) estimated .*, ([.\d]+) by labels"
    found = re.findall(line, told.output)
    before, after = found[0], found[-1]
    assert int(before[0]) < 10 <= int(after[0])
    assert float(before[3]) > 0.85
    assert float(after[3]) < float(before[3])


def test_both_reports_were_written(told: Told) -> None:
    for name in ("ovo", "again"):
        assert (told.folder / f"rollout-{name}.html").read_text().count("<svg") >= 3


def test_no_request_failed(told: Told) -> None:
    ends = re.findall(r"(\w+)\.csv: (\d+) requests, failed: (.*)", told.output)
    assert {name for name, _, _ in ends} == {"live", "moved", "later"}
    assert {failed for _, _, failed in ends} == {"none"}
