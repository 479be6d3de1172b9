"""`assay simulate`: the contract of its options and output, and errors that name the field."""

import copy
import json
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from assay.cli import simulate_plot
from assay.cli.simulate import simulate_command
from assay.rollout.simulation import Simulation

EXAMPLE = Path(__file__).parents[4] / "examples/breast-cancer/modeldeployment.yaml"
MANIFEST = yaml.safe_load(EXAMPLE.read_text())
MANIFEST["spec"]["rollout"] = {
    "canary": {"steps": [{"weight": 20, "minSeconds": 30}, {"weight": 50}]},
    "maxSeconds": 900,
    "analysis": {
        "intervalSeconds": 10,
        "metrics": [
            {"name": "f1", "type": "F1", "margin": "0.05"},
            {"name": "recall", "type": "Recall", "margin": "0.05"},
        ],
    },
}
OPTIONS = {
    "--prevalence": "0.3", "--baseline": ("f1=0.8", "recall=0.8"), "--label-rate": "20",
    "--runs": "8", "--effect": ("0", "-5x"),
}  # fmt: skip


def run(*more, document=MANIFEST, **changed):
    options = {**OPTIONS, **{f"--{name.replace('_', '-')}": each for name, each in changed.items()}}
    words = []
    for name, each in options.items():
        for value in () if each is None else (each,) if isinstance(each, str) else each:
            words += [name, value]
    text = document if isinstance(document, str) else yaml.safe_dump(document)
    return CliRunner().invoke(simulate_command, ["-", *words, *more], input=text)


def read(*more, **changed):
    result = run(*more, "-o", "json", **changed)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_json_has_the_documented_shape():
    found = read()
    assert list(found) == [
        "complete", "runs", "seed", "prevalence", "labelRate", "labelDelaySeconds",
        "labelCoverage", "members", "maxSeconds", "intervalSeconds", "lookSeconds", "looks",
        "steps", "model", "notes", "effects",
    ]  # fmt: skip
    assert found["complete"] is True
    assert found["looks"] == 90
    assert found["members"] == {"member-1": 1.0}
    assert found["steps"][0] == {"weight": 20, "minSeconds": 30}
    assert [each["asked"] for each in found["model"]["metrics"]] == [0.8, 0.8]
    same, worse = found["effects"]
    assert (same["effect"], worse["effect"]) == ("0x", "-5x")
    assert list(same) == [
        "effect", "metrics", "runs", "promoted", "rolledBack", "inconclusive", "open", "seconds",
        "labels", "canaryRequests", "stepSeconds", "decided",
    ]  # fmt: skip
    for each in (same, worse):
        ends = ("promoted", "rolledBack", "inconclusive", "open")
        assert sum(each[end] for end in ends) == pytest.approx(1.0)
        assert each["seconds"]["median"] <= each["seconds"]["p90"] <= 900.0
    assert worse["rolledBack"] == 1.0
    assert worse["decided"]["rolledBack"][-1] == 1.0
    assert worse["canaryRequests"]["median"] < same["canaryRequests"]["median"]


def test_manual_pauses_are_approved_at_once():
    paused = copy.deepcopy(MANIFEST)
    paused["spec"]["paused"] = "All"
    paused["spec"]["rollout"]["canary"]["steps"].insert(1, {"pause": "Manual"})
    assert run(document=paused).stdout == run().stdout


def test_the_same_seed_prints_the_same():
    assert read() == read()
    assert read("--seed", "2")["effects"] != read()["effects"]


def test_text_says_what_was_used_and_what_came_of_it():
    result = run("--max-looks", "40", label_delay="25", members="a=0.6,b=0.4")
    assert result.exit_code == 0, result.output
    text = " ".join(result.stdout.split())
    assert "Stable: f1 .800, recall .800 with 30 % positive rows" in text
    assert "one every 40 s instead of every 10 s, 23 in all" in text
    assert "Labels come 40 s after the request" in text
    assert "8 rollouts of each canary" in text
    assert "█" in text


def test_default_effects_that_cannot_be_are_left_out():
    found = read("--max-looks", "10", effect=None, baseline=("f1=0.97", "recall=0.97"), runs="1")
    assert [each["effect"] for each in found["effects"]] == ["0x", "-1x", "-2x", "-5x"]
    assert "Effect 1x is left out" in found["notes"][-1]


def test_one_baseline_is_enough():
    found = read("--max-looks", "10", baseline="f1=0.8", runs="1")
    assert [each["asked"] for each in found["model"]["metrics"]] == [0.8, None]


def test_other_objects_of_the_file_are_ignored():
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}}
    text = yaml.safe_dump_all([service, MANIFEST])
    assert read("--max-looks", "10", document=text, runs="1")["runs"] == 1


def test_a_stopped_simulation_prints_what_is_known(monkeypatch):
    advance = Simulation.advance

    def until(simulation):
        if simulation.seconds >= 60.0:
            raise KeyboardInterrupt
        return advance(simulation)

    monkeypatch.setattr(Simulation, "advance", until)
    result = run("-o", "json")
    assert result.exit_code == 130
    found = json.loads(result.stdout)
    assert found["complete"] is False
    assert found["effects"][0]["open"] > 0.0
    text = run()
    assert text.exit_code == 130
    assert "were still open" in text.stdout


@pytest.mark.parametrize("name", ["ends.png", "ends.svg"])
def test_a_picture_is_drawn(tmp_path, name):
    pytest.importorskip("matplotlib")
    result = run("--plot", str(tmp_path / name), "--max-looks", "10", runs="1")
    assert result.exit_code == 0, result.output
    assert (tmp_path / name).stat().st_size > 1000


def test_a_picture_needs_matplotlib(monkeypatch, tmp_path):
    monkeypatch.setattr(simulate_plot.importlib.util, "find_spec", lambda _: None)
    refused(run("--plot", str(tmp_path / "a.png")), "--plot: needs matplotlib")


def test_importing_the_command_does_not_import_matplotlib():
    assert not any(
        "matplotlib" in line and "import " in line and "importlib" not in line
        for line in Path(simulate_plot.__file__).read_text().splitlines()
    )
    assert "assay.cli.simulate" in sys.modules


def refused(result, message):
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.startswith("assay simulate: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"prevalence": "1.5"}, "--prevalence: 1.5 is not between 0 and 1"),
        ({"prevalence": "often"}, "--prevalence: 'often' is not a number"),
        ({"baseline": None}, "--baseline: is missing: stable's value of at least one of f1, recall"),
        ({"baseline": "auc=0.9"}, "--baseline: 'auc=0.9' is not NAME=VALUE; names are f1, recall"),
        ({"baseline": "f1=2"}, "--baseline f1: 2 is not between 0 and 1"),
        ({"baseline": ("f1=.8", "f1=.9")}, "--baseline: f1 is given twice"),
        ({"baseline": "f1=0.2"}, "--baseline f1: 0.2 is not what a binormal model with 30 %"),
        ({"effect": "bad"}, "--effect: 'bad' is neither a number of margins"),
        ({"effect": "auc=-1"}, "--effect: 'auc' is not one of f1, recall"),
        ({"effect": "9x"}, "--effect 9x: no canary with the same threshold differs by 9 margins"),
        ({"label_rate": "0"}, "--label-rate: 0 is not above 0"),
        ({"label_delay": "-1"}, "--label-delay: -1 is negative"),
        ({"label_coverage": "1.2"}, "--label-coverage: 1.2 is not above 0 and at most 1"),
        ({"members": "0"}, "--members: 0 is not between 1 and 50"),
        ({"members": "a=0.5,b=0.4"}, "--members: the shares sum to 0.9, not to 1"),
        ({"members": "a=0.5,a=0.5"}, "--members: a is given twice"),
        ({"members": "A=1"}, "--members: 'A=1' is neither a number nor NAME=SHARE"),
        ({"plot": "a.gif"}, "--plot: a.gif must end in .png or .svg"),
        ({"plot": "/nowhere/a.png"}, "--plot: /nowhere is not a directory"),
        ({"document": "kind: Pod"}, "-: must hold one ModelDeployment, not 0 (it holds: Pod)"),
        ({"document": "a: [1"}, "-: is not YAML: "),
    ],
)  # fmt: skip
def test_wrong_input_is_named(changed, message):
    document = changed.pop("document", MANIFEST)
    refused(run(document=document, **changed), message)


def test_a_wrong_manifest_is_named():
    wrong = copy.deepcopy(MANIFEST)
    wrong["spec"]["rollout"]["canary"]["steps"][1]["weight"] = 100
    refused(run(document=wrong), "spec.rollout.canary.steps[1].weight: ")
    wrong = copy.deepcopy(MANIFEST)
    wrong["spec"]["rollout"]["analysis"]["metrics"][0] |= {"type": "Brier", "class": "0"}
    message = "spec.rollout.analysis.metrics: f1: Brier of class '0' is not simulated: only "
    refused(run(document=wrong), message)


def test_a_missing_file_is_named():
    result = CliRunner().invoke(
        simulate_command, ["/nowhere.yaml", "--prevalence", "0.3", "--label-rate", "1"]
    )
    refused(result, "/nowhere.yaml: No such file or directory")
