"""`assay advise`: from labels or from a report to a block."""

import json

import pytest
import yaml
from click.testing import CliRunner

from assay.api.analysis import Analysis
from assay_workbench.commands.advise import advise_command


def run(*words, code=0):
    result = CliRunner().invoke(advise_command, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture(scope="module")
def report(binary, tmp_path_factory):
    from assay_workbench.commands.evaluate import evaluate_command

    words = [binary.model, binary.data, "--positive", "good", "--cost-fp", 1, "--cost-fn", 4]
    result = CliRunner().invoke(evaluate_command, [str(word) for word in words] + ["-o", "json"])
    path = tmp_path_factory.mktemp("report") / "report.json"
    path.write_text(result.stdout)
    return path


def test_from_labels(binary):
    text = run(binary.data, "--label-rate", 5)
    assert "Decide by F1" in text
    assert "assumed; give --value f1=VALUE" in " ".join(text.split())
    block = yaml.safe_load(text[text.index("analysis:") :])["analysis"]
    assert Analysis.model_validate(block).metrics[0].class_ == "good"


def test_from_a_report_values_are_measured_and_costs_taken_over(report):
    found = json.loads(run(report, "--label-rate", 5, "-o", "json"))
    assert found["metrics"] == ["cost"]
    assert [each["measured"] for each in found["margins"]] == [True]
    evaluated = {
        (each["metric"], each["average"]): each["value"]
        for each in json.loads(report.read_text())["metrics"]
    }
    assert found["margins"][0]["baseline"] == pytest.approx(evaluated["Cost", None])
    assert found["analysis"]["metrics"][0]["costs"] == {"falsePositive": "1", "falseNegative": "4"}


def test_the_cheapest_threshold_of_a_report_is_told_for_its_own_costs_only(report):
    expected = json.loads(report.read_text())["thresholds"][0]["cheapest"]["threshold"]
    words = [report, "--label-rate", 5]
    assert json.loads(run(*words, "-o", "json"))["threshold"] == expected
    assert f"model.decision.threshold {expected:g} is cheapest" in run(*words)
    other = json.loads(run(*words, "--cost-fp", 2, "--cost-fn", 3, "-o", "json"))
    assert other["threshold"] is None


def test_costs_of_the_option_go_before_those_of_the_report(report):
    found = json.loads(run(report, "--label-rate", 5, "--cost-fp", 2, "--cost-fn", 3, "-o", "json"))
    assert found["analysis"]["metrics"][0]["costs"] == {"falsePositive": "2", "falseNegative": "3"}


def test_ranking_and_probabilities(report):
    for use, metric in (("Ranking", "ROCAUC"), ("probabilities", "Brier")):
        found = json.loads(run(report, "--use", use, "--label-rate", 5, "-o", "json"))
        assert found["analysis"]["metrics"][0]["type"] == metric
        assert found["margins"][0]["measured"]


def test_several_classes(animals):
    found = json.loads(run(animals.data, "--label-rate", 5, "-o", "json"))
    assert found["analysis"]["metrics"][0]["average"] == "Macro"


def test_without_a_rate_it_asks_for_one(binary):
    assert "With --label-rate margins are told" in run(binary.data)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--label", "f0"], "is it the class"),
        (["--label", "none"], "has no column 'none'"),
        (["--positive", "best"], "'best' is not one of bad, good"),
        (["--cost-fn", 1], "go together"),
        (["--value", "f1"], "is not NAME=NUMBER"),
        (["--value", "f2=0.3"], "'f2' is not one of accuracy"),
    ],
    ids=["many values", "label", "positive", "one cost", "value", "name"],
)
def test_what_is_wrong_is_said(binary, options, message, monkeypatch):
    from assay_workbench import advice_input

    monkeypatch.setattr(advice_input, "_MOST_CLASSES", 100)
    assert message in run(binary.data, *options, code=2)


@pytest.mark.parametrize("text", ["{", "[]", '{"format": "other"}'])
def test_a_file_that_is_no_report(tmp_path, text):
    path = tmp_path / "report.json"
    path.write_text(text)
    assert "report.json: is" in run(path, code=2)


def test_the_page_has_every_rule():
    from assay_workbench.rules import RULES
    from assay_workbench.rules_page import page

    for rule in RULES:
        assert f"## {rule.name}" in page()
        assert rule.why in page()
