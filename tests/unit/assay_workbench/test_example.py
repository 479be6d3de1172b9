"""The example of the docs runs as they say."""

import runpy
from pathlib import Path

from click.testing import CliRunner

from assay_workbench.commands.advise import advise_command
from assay_workbench.commands.evaluate import evaluate_command

EXAMPLE = Path(__file__).parents[3] / "examples/evaluate/make.py"


def test_the_example(tmp_path, monkeypatch):
    runpy.run_path(str(EXAMPLE))["make"](tmp_path)
    monkeypatch.chdir(tmp_path)
    words = [
        "new.skops",
        "rows.csv",
        "--positive",
        "malignant",
        "--cost-fp",
        "1",
        "--cost-fn",
        "10",
    ]
    shown = CliRunner().invoke(
        evaluate_command, [*words, "--baseline", "old.skops", "--html", "report.html"]
    )
    assert shown.exit_code == 0, shown.output
    assert "Against old.skops, on the same rows" in shown.output
    assert (tmp_path / "report.html").exists()
    report = CliRunner().invoke(evaluate_command, [*words, "-o", "json"])
    (tmp_path / "report.json").write_text(report.stdout)
    advice = CliRunner().invoke(advise_command, ["report.json", "--label-rate", "0.5"])
    assert advice.exit_code == 0, advice.output
    assert "falseNegative: '10'" in advice.stdout
