"""`assay plan`: the contract of its input and output, and errors that name the field."""

import copy
import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from assay.cli.plan import plan_command
from assay.judge.wording import duration

EXAMPLES = Path(__file__).parents[4] / "examples"
QUESTION = {
    "metric": {"type": "F1", "margin": "0.05"},
    "prevalence": 0.1,
    "baseline": "0.56",
    "share": 0.2,
    "labelRate": 50,
}
MANIFEST = yaml.safe_load((EXAMPLES / "breast-cancer/modeldeployment.yaml").read_text())
OPTIONS = {
    "--prevalence": "0.37", "--baseline": ("f1=0.95", "auc=0.99"), "--label-rate": "100",
}  # fmt: skip


def run(document, *options, file="-"):
    text = document if isinstance(document, str) else json.dumps(document)
    return CliRunner().invoke(plan_command, [file, *options], input=text)


def read(document, *options):
    result = run(document, *options, "-o", "json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def without(*path, document=QUESTION):
    changed = copy.deepcopy(document)
    *parents, last = path
    target = changed
    for key in parents:
        target = target[key]
    del target[last]
    return changed


def having(document=QUESTION, **fields):
    """The question with fields replaced; `metric` is merged, `None` takes a field away."""
    changed = copy.deepcopy(document)
    changed["metric"].update(fields.pop("metric", {}))
    changed.update(fields)
    return {name: value for name, value in changed.items() if value is not None}


def manifest(changed=None, **options):
    """A manifest, and the words of its options; `None` takes an option away."""
    document = copy.deepcopy(MANIFEST)
    if changed is not None:
        changed(document["spec"])
    given = OPTIONS | {f"--{name.replace('_', '-')}": value for name, value in options.items()}
    words = []
    for name, value in given.items():
        for each in value if isinstance(value, tuple) else (value,):
            words += [] if each is None else [name, each]
    return document, words


def test_json_output_is_the_contract():
    found = read(QUESTION)
    assert list(found) == [
        "underpowered", "conclusion", "labelRate", "labelAgeSeconds", "maxSeconds", "confidence",
        "rollbackOn", "promoteOn", "steps", "promote", "metrics", "remedies", "cost",
    ]  # fmt: skip
    assert found["cost"] is None
    assert found["steps"] == [{"weight": 20.0, "minSeconds": 0.0, "labelsBefore": 0}]
    assert list(found["promote"]) == ["50", "80", "90", "95"]
    assert found["promote"]["50"] == {"labels": 26889, "seconds": 537.775}
    (metric,) = found["metrics"]
    assert list(metric) == [
        "name", "type", "margin", "baseline", "effect", "unitVariance", "burnIn", "promote",
        "rollback", "collapse",
    ]  # fmt: skip
    assert list(metric["rollback"]) == ["1", "2", "3", "5", "10"]
    assert list(metric["collapse"]) == ["value", "labels", "seconds"]
    assert (found["underpowered"], found["remedies"], found["maxSeconds"]) == (False, None, None)


def test_text_says_labels_time_and_what_they_mean():
    result = run("", file=str(EXAMPLES / "plan.json"))
    assert result.exit_code == 0
    rows = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert rows[0] == "F1: F1 .560, margin .05"
    assert "promoted in 50 % of the trials 26 900 9.0 min" in rows
    assert "rolled back if worse by .25 (5 x margin) 1 670 33 s" in rows
    assert rows[-1] == (
        "With 50 labels/s an equally good canary is promoted within about 9.0 min in half of all "
        "trials and within 22 min in 90 %. One that is worse by twice the margin is rolled back "
        "within about 2.9 min in half of all trials."
    )


def test_underpowered_comes_with_remedies_as_numbers():
    document = having(prevalence=0.01, baseline=0.27, share=0.05, labelRate=20, maxSeconds=3e4)
    found = read(document)
    assert found["underpowered"]
    assert list(found["remedies"]) == ["margins", "share", "labelRate", "maxSeconds"]
    assert 0.05 < found["remedies"]["share"] < 0.5
    text = run(document).stdout
    for words in (
        "Underpowered: an equally good canary takes about",
        f"  - a canary share of {100 * found['remedies']['share']:.0f} % from the start",
        f"  - {found['remedies']['labelRate']:g} labels/s",
        f"  - maxSeconds: {found['remedies']['maxSeconds']}",
        "  - a margin of .",
    ):
        assert words in text


def test_remedies_that_do_not_exist_are_null():
    document = having(
        steps=[{"weight": 1, "minSeconds": 2000}, {"weight": 50}], share=None,
        labelAgeSeconds=500, maxSeconds=1000, labelRate=1,
    )  # fmt: skip
    found = read(document)["remedies"]
    assert found["labelRate"] is None
    assert found["margins"] == {"F1": None}
    text = run(document).stdout
    assert "no margin of F1 is wide enough" in text
    assert "no label rate is enough" in text
    assert "no share of the canary is enough, not even 50 %" in text


def test_yaml_steps_pairs_and_classes_are_read():
    text = "metric: {type: auc, margin: 0.02}\nprevalence: 0.1\nbaseline: 0.9\nlabelRate: 50\n"
    assert read(text + "steps: [{weight: 5, minSeconds: 60}, {weight: 50}]")["steps"][1] == {
        "weight": 50.0, "minSeconds": 0.0, "labelsBefore": 4000,
    }  # fmt: skip
    shadow = read(text + "paired: {correlation: 0.9}\nmaxSeconds: 1")
    assert shadow["steps"] == []
    assert shadow["remedies"]["share"] is None
    assert "with shadow traffic" in shadow["conclusion"]
    measured = read(text + "paired: {variance: 0.1}")
    assert measured["metrics"][0]["unitVariance"] == 0.1
    classes = {"a": 0.5, "b": 0.3, "c": 0.2}
    macro = having(metric={"average": "macro"}, prevalence=classes)
    assert read(macro)["metrics"][0]["burnIn"]["labels"] == round(10 / (0.56 * 0.2) / 0.2 + 0.5)
    one = having(metric={"positiveLabel": "c"}, prevalence=classes)
    assert read(one)["promote"] == read(having(prevalence=0.2))["promote"]


def test_measured_variances_and_losses():
    measured = having(metric={"type": "ROC_AUC", "s10": 0.03, "s01": 0.01})
    found = read(measured)["metrics"][0]
    assert found["unitVariance"] == pytest.approx(0.03 / 0.1 + 0.01 / 0.9)
    loss = read(having(metric={"type": "LogLoss", "variance": 0.3}, baseline=0.4))
    assert loss["metrics"][0]["collapse"]["value"] == 0.8
    assert "rises to .8" in run(having(metric={"type": "Brier"}, baseline=0.4)).stdout


def test_other_expectations_are_said():
    better = having(promoteOn="Better", effect=0.02)
    assert "a canary better by .02 is promoted" in run(better).stdout
    assert "a canary worse by .02 is promoted" in run(having(effect=-0.02)).stdout
    strict = " ".join(run(having(rollbackOn="WorseThanMargin")).stdout.split())
    assert "worse by .05 (1 x margin) - never" in strict


def test_a_manifest_is_planned_with_what_it_does_not_say():
    document, words = manifest(label_age="5")
    found = read(yaml.safe_dump(document), *words)
    assert [each["name"] for each in found["metrics"]] == ["f1", "auc"]
    assert [each["margin"] for each in found["metrics"]] == [0.03, 0.01]
    assert [(each["weight"], each["minSeconds"]) for each in found["steps"]] == [(10, 20), (50, 0)]
    assert (found["maxSeconds"], found["labelAgeSeconds"]) == (600.0, 5.0)
    document["spec"]["rollout"]["canary"]["steps"].append({"pause": "Manual"})
    assert read(yaml.safe_dump(document), *words) == found  # as if approved at once
    text = run(document, *words).stdout
    assert "f1: F1 .950, margin .03" in text
    assert "auc: ROCAUC .990, margin .01" in text
    assert "worse by twice a margin" in text


def test_recall_and_variance_of_a_manifest_are_options():
    document, words = manifest(recall="f1=0.97", variance="auc=0.02")
    f1, auc = read(document, *words)["metrics"]
    assert auc["unitVariance"] == 0.02
    assert f1["unitVariance"] == pytest.approx(0.95**2 * 0.05 * 1.05 / (2 * 0.37 * 0.97))


@pytest.mark.parametrize(
    ("document", "error"),
    [
        (having(prevalence=1.2), "prevalence: 1.2 is not between 0 and 1"),
        (having(prevalence="much"), "prevalence: 'much' is not a number"),
        (having(prevalence={"a": 0.4, "b": 0.6}), "prevalence: has a, b, and F1 asks for no"),
        (having(metric={"average": "Macro"}), "prevalence: must be the share of every class"),
        (having(baseline=0), "baseline: 0 is not between 0 and 1"),
        (having(baseline=True), "baseline: must be a number"),
        (having(labelRate=-1), "labelRate: -1 is not above 0"),
        (having(labelRate=float("inf")), "labelRate: inf is not a number"),
        (having(labelAgeSeconds=-1), "labelAgeSeconds: -1 is negative"),
        (having(maxSeconds=0), "maxSeconds: 0 is not above 0"),
        (having(confidence=0.999), "confidence: 0.999 is not between 0.9 and 0.99"),
        (having(rollbackOn="Bad"), "rollbackOn: 'Bad' is not one of Worse, WorseThanMargin"),
        (having(promoteOn="Good"), "promoteOn: 'Good' is not one of NotWorse, Better"),
        (having(effect=-0.05), "effect: -0.05 is so bad"),
        (having(share=1), "share: 1 is not between 0 and 1"),
        (having(share=None), "share: exactly one of share, steps and paired is needed, not 0"),
        (having(steps=[{"weight": 5}]), "share: exactly one of share, steps and paired"),
        (having(share=None, steps=[]), "steps: must be a list of at least one step"),
        (having(share=None, steps=[{"weight": 100}]), "steps[0].weight: 100 is not between 0"),
        (having(share=None, steps=[{"minSeconds": 1}]), "steps[0].weight: is missing"),
        (
            having(share=None, steps=[{"weight": 5, "minSeconds": -1}]),
            "steps[0].minSeconds: -1 is negative",
        ),
        (having(share=None, steps=[5]), "steps[0]: must be an object"),
        (having(share=None, paired={}), "paired: exactly one of correlation and variance"),
        (having(share=None, paired={"correlation": 1}), "paired.correlation: 1 is not between"),
        (having(share=None, paired={"variance": 0}), "paired.variance: 0 is not above 0"),
        (having(share=None, paired={"rho": 1}), "paired.rho: is not known here"),
        (having(metric={"type": "Vibes"}), "metric.type: 'Vibes' is not one of F1, ROCAUC, "),
        (having(metric={"type": ""}), "metric.type: must be a text"),
        (having(metric={"margin": 0}), "metric.margin: 0.0 is not between 0 and 1"),
        (having(metric={"margin": 0.6}), "metric.margin: 0.6 is not below the baseline"),
        (having(metric={"recall": 0.1}), "metric.recall: 0.1 is too low for a baseline of 0.56"),
        (having(metric={"average": "Mean"}), "metric.average: 'Mean' is not one of Binary"),
        (having(metric={"beta": 0}), "metric.beta: 0.0 is not between 0 and 100"),
        (having(metric={"type": "LogLoss"}), "metric.variance: is needed for LogLoss"),
        (having(metric={"marign": 1}), "metric.marign: is not known here"),
        (having(shares=1), "shares: is not known here"),
        (having() | {"metric": "F1"}, "metric: must be an object"),
        (without("metric", "margin"), "metric.margin: is missing"),
        (without("labelRate"), "labelRate: is missing"),
        (without("prevalence"), "prevalence: is missing"),
        ({"kind": "Pod"}, "kind: 'Pod' is not ModelDeployment"),
        ("[]", "the input must be an object"),
        ("", "the input must be an object"),
        ("{", "-: is neither JSON nor YAML: "),
    ],
)
def test_bad_input_is_named(document, error):
    result = run(document)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"assay plan: {error}"), result.stderr
    assert result.stderr.count("\n") == 1


def margin_of_f1(value):
    def change(spec):
        spec["rollout"]["analysis"]["metrics"][0]["margin"] = value

    return change


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (manifest(prevalence=None), "--prevalence: is missing"),
        (manifest(prevalence="2"), "--prevalence: 2 is not between 0 and 1"),
        (manifest(prevalence=("0.1", "0.2")), "--prevalence: 0.2 is given twice"),
        (manifest(prevalence="benign=0.6"), "--prevalence: has benign, and f1 asks for 'mali"),
        (manifest(baseline="f1=0.9"), "--baseline: auc is missing; give auc=VALUE"),
        (manifest(baseline="0.9"), "--baseline: '0.9' is not NAME=VALUE; names are f1, auc"),
        (manifest(baseline="f2=0.9"), "--baseline: 'f2=0.9' is not NAME=VALUE"),
        (manifest(baseline=("f1=1.5", "auc=0.9")), "--baseline f1: 1.5 is not between 0 and 1"),
        (manifest(recall="f1=0.5"), "--recall f1: 0.5 is too low"),
        (manifest(variance="auc=0"), "--variance auc: 0 is not above 0"),
        (manifest(label_rate=None), "--label-rate: is missing"),
        (manifest(label_rate="many"), "--label-rate: 'many' is not a number"),
        (manifest(label_rate="0"), "--label-rate: 0 is not above 0"),
        (manifest(label_age="-1"), "--label-age: -1 is negative"),
        (manifest(margin_of_f1("0.0")), "spec.rollout.analysis"),
        (manifest(margin_of_f1("wide")), "spec.rollout.analysis.metrics[0].margin: "),
        (manifest(margin_of_f1("0.96")), "spec.rollout.analysis.metrics[f1].margin: 0.96 is not"),
        (
            manifest(lambda spec: spec["rollout"]["analysis"].update(confidence="0.9999")),
            "spec.rollout.analysis.confidence: 0.9999 is not between 0.9 and 0.99",
        ),
        (manifest(lambda spec: spec.pop("model")), "spec.model: "),
        ((QUESTION, ["--label-rate", "5"]), "--label-rate: goes with a ModelDeployment"),
        (({"kind": "ModelDeployment"}, []), "spec: "),
    ],
)
def test_bad_manifests_and_options_are_named(given, error):
    document, words = given
    result = run(document, *words)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"assay plan: {error}"), result.stderr


def test_a_file_that_is_not_there_is_named():
    result = run("", file="/nowhere/plan.json")
    assert (result.exit_code, result.stderr) == (
        2, "assay plan: /nowhere/plan.json: No such file or directory\n",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(4.25, "4.2 s"), (42, "42 s"), (546, "9.1 min"), (11520, "3.2 h"), (1e6, "12 d")],
)
def test_durations_are_for_people(seconds, words):
    assert duration(seconds) == words
