"""The steps of the guide that need no cluster, run as they stand in its README."""

import pathlib
import re
import subprocess

from tests.unit.examples.test_guide import ROOT, STEPS, run


def test_the_steps_without_a_cluster_run(tmp_path: pathlib.Path) -> None:
    done = subprocess.run(
        run(tmp_path, "--step", "1..10"), cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    for number, name in enumerate(STEPS[:10], 1):
        assert f"== {number}/15 {name} (" in done.stdout
    for model in ("ovr", "ovo", "tuned"):
        assert (tmp_path / model / "model.skops").exists()
    assert "Decide by Cost" in done.stdout
    assert "country    ignore        has one value only" in done.stdout
    compared = re.findall(r"^macro F1 .*$", done.stdout, re.MULTILINE)
    assert len(compared) >= 2
    # Nobody may read lines about a step that found nothing to say.
    for section in done.stdout.split("\n== ")[1:]:
        shown = [line for line in section.splitlines()[1:] if line and not line.startswith("$ ")]
        assert shown, section
