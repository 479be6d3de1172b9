"""All fifteen steps of the guide, run as they stand in examples/digits/README.md.

On the fleet that ASSAY_FLEET names; without it the guide makes its own, and removes it.
"""

import pathlib
import re
import subprocess
import sys
from dataclasses import dataclass

import pytest

from examples.digits.__main__ import HERE, sections

pytestmark = pytest.mark.e2e

ROOT = pathlib.Path(__file__).parents[2]
TITLES = [section.title for section in sections((HERE / "README.md").read_text()) if section.number]


@dataclass(frozen=True)
class Told:
    """What the guide left behind, and what it printed."""

    folder: pathlib.Path
    output: str


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    folder = tmp_path_factory.mktemp("guide")
    command = [sys.executable, "-m", "examples.digits", "--output", str(folder)]
    # Printed as it comes, because it takes minutes.
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    assert process.returncode == 0
    return Told(folder, "".join(lines))


def test_every_step_says_something(told: Told) -> None:
    # Nobody may read lines about a step that found nothing to say.
    parts = re.split(r"^== (\d+)/15 (\w+) \(\d+ s\) ==$", told.output, flags=re.MULTILINE)[1:]
    assert parts[1::3] == TITLES
    for title, text in zip(parts[1::3], parts[2::3], strict=True):
        said = [line for line in text.splitlines() if line and not line.startswith("$ ")]
        assert said or title == "Define", title
    assert "Decide by Cost" in told.output
    assert "country    ignore        has one value only" in told.output


def test_one_vs_one_and_the_retrained_version_are_promoted_on_macro_f1_and_auc(told: Told) -> None:
    verdicts = re.findall(r"^(Promote|Rollback|\w+): (.*macro-f1.*)$", told.output, re.MULTILINE)
    assert [verdict for verdict, _ in verdicts] == ["Promote", "Promote"]
    assert all("auc" in message for _, message in verdicts)


def test_drift_is_seen_in_inputs_and_labels(told: Told) -> None:
    conditions = re.findall(r"condition DriftDetected: (\w+)", told.output)
    assert conditions[0] == "False"
    assert "True" in conditions
    line = r"above 0.25 in (\d+) of \d+ columns .*\n.*, ([.\d]+) by labels"
    found = re.findall(line, told.output)
    assert int(found[0][0]) < 10 <= int(found[-1][0])
    assert float(found[-1][1]) < float(found[0][1])


def test_both_reports_were_written(told: Told) -> None:
    for name in ("ovo", "again"):
        assert (told.folder / f"rollout-{name}.html").read_text().count("<svg") >= 3


def test_no_request_failed(told: Told) -> None:
    ends = re.findall(r"(\w+)\.csv: \d+ requests, failed: (.*)", told.output)
    assert dict(ends) == {"live": "none", "moved": "none", "later": "none"}
