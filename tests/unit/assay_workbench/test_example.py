"""The examples of the docs run as they say."""

import runpy
from pathlib import Path

import pytest
from click.testing import CliRunner

from assay_workbench.commands.advise import advise_command
from assay_workbench.commands.evaluate import evaluate_command

EXAMPLES = Path(__file__).parents[3] / "examples"


def test_the_example(tmp_path, monkeypatch):
    runpy.run_path(str(EXAMPLES / "evaluate/make.py"))["make"](tmp_path)
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


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_one_vs_rest_against_one_vs_one(monkeypatch, capsys):
    module = runpy.run_path(str(EXAMPLES / "ovr-ovo/compare.py"))
    (data, *_) = module["datasets"]([], 0)
    results = {each.strategy: each for each in module["compare"](data, runs=1)}
    assert {name: each.models for name, each in results.items()} == {
        "multinomial": 1,
        "one-vs-rest": 10,
        "one-vs-one": 45,
        "one-vs-one, calibrated": 135,
    }
    assert all(each.f1 > 0.95 for each in results.values())
    assert results["one-vs-one"].auc is None
    assert results["one-vs-one, calibrated"].auc > 0.99
