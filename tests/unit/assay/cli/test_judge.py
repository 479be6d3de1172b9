"""`assay judge`: the contract of its input and output, and errors that name the field."""

import copy
import json

import pytest
from click.testing import CliRunner

from assay.cli.judge import judge_command

ARM = {"labels": ["0", "1"], "confusion": [[416, 84], [90, 410]], "served": 0}
STABLE = {"labels": ["0", "1"], "confusion": [[1664, 336], [360, 1640]], "served": 0}
DOCUMENT = {
    "metric": {
        "type": "F1", "average": "binary", "positiveLabel": "1", "margin": "0.03", "floor": None,
    },
    "rollbackOn": "WorseThanMargin",
    "confidence": "0.95",
    "strata": [{"name": "a/5", "stable": STABLE, "canary": ARM}],
}  # fmt: skip


def run(document, *options, file="-"):
    text = document if isinstance(document, str) else json.dumps(document)
    return CliRunner().invoke(judge_command, [file, *options], input=text)


def changed(path, value):
    """The document with one field changed; the path as messages write it."""
    document = copy.deepcopy(DOCUMENT)
    *parents, last = path
    target = document
    for key in parents:
        target = target[key]
    target[last] = value
    return document


def test_json_output_is_the_contract():
    result = run(DOCUMENT, "-o", "json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert list(found) == [
        "verdict", "reason", "stable", "canary", "difference", "lower", "upper", "logEPromote",
        "logERollback", "halfWidth", "labels",
    ]  # fmt: skip
    assert (found["verdict"], found["reason"]) == ("Hold", "Undecided")
    assert found["logEPromote"] == pytest.approx(1.562822, abs=1e-6)
    assert found["logERollback"] == pytest.approx(-3.019845, abs=1e-6)
    assert found["labels"] == {"stable": 4000, "canary": 1000}


def test_text_output_says_verdict_and_why(tmp_path):
    path = tmp_path / "counts.json"
    path.write_text(json.dumps(DOCUMENT))
    result = run("", file=str(path))
    assert result.stdout.startswith("Hold (Undecided)\nF1 of the canary is .825 against .825")


def test_scores_are_judged_by_auc():
    def arm(factor):
        bins = [factor * rows for rows in (1, 3, 6, 14, 26, 50)]
        scores = {"1": {"positive": bins, "negative": bins[::-1]}}
        return {"labels": ["0", "1"], "scores": scores}

    document = {
        "metric": {"type": "ROCAUC", "margin": 0.02},
        "rollbackOn": "WorseThanMargin",
        "strata": [{"name": "a/5", "stable": arm(10), "canary": arm(1)}],
    }
    found = json.loads(run(document, "-o", "json").stdout)
    assert found["logEPromote"] == pytest.approx(0.534966, abs=1e-6)
    assert found["reason"] == "BinsTooCoarse"
    assert found["halfWidth"] == pytest.approx(0.0212)


def test_no_labels_are_null_and_never_nan():
    empty = {"labels": ["0", "1"], "confusion": [[0, 0], [0, 0]]}
    result = run(changed(("strata", 0, "canary"), empty), "-o", "json")
    found = json.loads(result.stdout)
    assert (found["verdict"], found["reason"], found["canary"]) == ("Hold", "NoLabels", None)


CONFUSION = ("strata", 0, "canary", "confusion")


@pytest.mark.parametrize(
    ("document", "error"),
    [
        (changed((*CONFUSION, 1, 0), -3), "strata[0].canary.confusion[1][0]: -3 is negative"),
        (changed((*CONFUSION, 1, 0), float("nan")), "strata[0].canary.confusion[1][0]: nan is not"),
        (changed((*CONFUSION, 1, 0), 1.5), "strata[0].canary.confusion[1][0]: 1.5 is not a whole"),
        (
            changed((*CONFUSION, 1, 0), "x"),
            "strata[0].canary.confusion: is not a rectangular array",
        ),
        (changed((*CONFUSION, 1), [3]), "strata[0].canary.confusion: is not a rectangular array"),
        (changed(CONFUSION, {}), "strata[0].canary.confusion: is not a rectangular array"),
        (
            changed(("strata", 0, "canary", "served"), -1),
            "strata[0].canary.served: -1 is negative",
        ),
        (changed(("strata", 0, "canary", "labels"), ["0", "2"]), "strata[0].canary.labels: "),
        (changed(("strata", 0, "canary"), {"labels": ["0", "1"]}), "strata[0].canary: has neither"),
        (changed(("strata", 0, "canary"), 3), "strata[0].canary: must be an object, not a number"),
        (changed(("strata", 0, "weight"), 5), "strata[0].weight: 5"),
        (changed(("strata",), []), "strata: is empty"),
        (changed(("strata",), None), "strata: must be a list, not null"),
        (changed(("strata", 0, "name"), ""), "strata[0].name: must be a text"),
        (changed(("metric", "margin"), "wide"), "metric.margin: 'wide' is not a number"),
        (changed(("metric", "margin"), True), "metric.margin: must be a number"),
        (changed(("metric", "margin"), 0), "metric.margin: 0.0 is not between 0 and 1"),
        (changed(("metric", "floor"), "1.2"), "metric.floor: 1.2 is not between 0 and 1"),
        (changed(("metric", "type"), "Vibes"), "metric.type: 'Vibes' is not one of F1, ROCAUC"),
        (changed(("metric", "average"), "macro"), "metric.average: 'macro' is not supported"),
        (changed(("metric", "positiveLabel"), "2"), "metric.positiveLabel: '2' is not in"),
        (changed(("metric", "marign"), "1"), "metric.marign: is not known here"),
        (changed(("rollbackOn",), "Bad"), "rollbackOn: 'Bad' is not one of Worse, WorseThanMargin"),
        (changed(("confidence",), "95"), "confidence: 95.0 is not between 0.5 and 1"),
        ("[]", "the input must be an object, not a list"),
        ("{", "is not JSON"),
        ({"strata": []}, "metric: is missing"),
    ],
)
def test_errors_name_the_field(document, error):
    result = run(document)
    assert result.exit_code == 2
    assert error in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_missing_file_is_named():
    result = run("", file="nowhere.json")
    assert (result.exit_code, result.stderr) == (
        2,
        "assay judge: nowhere.json: No such file or directory\n",
    )
