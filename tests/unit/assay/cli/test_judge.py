"""`assay judge`: the contract of its input and output, and errors that name the field."""

import copy
import json
from pathlib import Path

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
        "logERollback", "otherTests", "halfWidth", "labels",
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
        (
            changed((*CONFUSION, 1, 0), 1.5),
            "strata[0].canary.confusion[1][0]: 1.5 is not a whole number; sums of weights go into "
            "weighted",
        ),
        (
            changed((*CONFUSION, 1, 0), "x"),
            "strata[0].canary.confusion[1][0]: 'x' is not a number of rows",
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
        (changed(("metric", "margin"), 1e-300), "metric.margin: 1e-300 is less than 1e-09"),
        (changed(("metric", "floor"), "1.2"), "metric.floor: 1.2 is not between 0 and 1"),
        (changed(("metric", "type"), "Vibes"), "metric.type: 'Vibes' is not one of Accuracy, "),
        (changed(("metric", "average"), "mean"), "metric.average: 'mean' is not one of Binary, "),
        (changed(("metric", "positiveLabel"), "2"), "metric.positiveLabel: '2' is not in"),
        (changed(("metric", "marign"), "1"), "metric.marign: is not known here"),
        (changed(("rollbackOn",), "Bad"), "rollbackOn: 'Bad' is not one of Worse, WorseThanMargin"),
        (changed(("confidence",), "95"), "confidence: 95.0 is not between 0.5 and 1"),
        (changed(("growth",), 0.5), "growth: 0.5 is less than 1"),
        ("[]", "the input must be an object, not a list"),
        ("{", "is not JSON"),
        ({"strata": []}, "metric: is missing"),
        ({"metrics": []}, "strata: is missing"),
        ({**DOCUMENT, "metrics": []}, "metrics: goes in place of metric"),
        (changed(("promoteOn",), "Best"), "promoteOn: 'Best' is not one of NotWorse, Better"),
        (changed(("metric", "margin"), "1"), "metric.margin: 1.0 is not between 0 and 1"),
        (changed(("metric", "beta"), "2"), "metric.beta: is only for FBeta"),
        (changed(("metric", "costs"), {}), "metric.costs: is only for Cost"),
        (changed(("metric", "class"), "7"), "metric.class: '7' is not in ['0', '1']"),
        (
            changed(("metric", "multiClass"), "OneVsOne"),
            "metric.multiClass: is only for ROCAUC with average Macro or Weighted",
        ),
        (changed(("metric", "type"), "Cost"), "metric.costs: is missing"),
        (
            changed(("strata", 0, "canary", "servedAs"), {"1": -2}),
            "strata[0].canary.servedAs.1: -2 is negative",
        ),
        (
            changed(("strata", 0, "canary"), {**ARM, "served": 9, "servedAs": {"1": 2}}),
            "strata[0].canary.servedAs: adds up to 2, but served is 9",
        ),
        (changed(("strata", 0, "canary", "users"), 1.5), "strata[0].canary.users: 1.5 is not"),
        (
            changed(("strata", 0, "canary", "labels"), ["0", None]),
            "strata[0].canary.labels[1]: must be a label",
        ),
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


def of(metric, *arms, **top):
    """A document with one stratum of equal arms, or of a stable and a canary one."""
    stable, canary = arms if len(arms) == 2 else (*arms, *arms)
    strata = [{"name": "a/5", "stable": stable, "canary": canary}]
    return {"metric": {"margin": "0.1", **metric}, "strata": strata, **top}


def error_of(document):
    result = run(document)
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("assay judge: ")
    return result.stderr.removeprefix("assay judge: ").strip()


def values(document):
    result = run(document, "-o", "json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    return found["stable"], found["canary"]


OTHERS = {"a": "bc", "b": "ac", "c": "ab"}
THREE = {
    "labels": ["a", "b", "c"],
    "confusion": [[50, 5, 5], [10, 60, 10], [4, 6, 90]],
    "scores": {
        name: {
            "positive": [10, 20, 70],
            "negative": [90, 40, 20],
            "others": {other: [45, 20, 10] for other in others},
        }
        for name, others in OTHERS.items()
    },
}


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        ({"type": "accuracy"}, 200 / 240),
        ({"type": "Precision", "positiveLabel": "a"}, 50 / 64),
        ({"type": "RECALL", "class": "c", "positiveLabel": "a"}, 90 / 100),
        ({"type": "recall", "average": "MACRO", "positiveLabel": "a"}, (5 / 6 + 0.75 + 0.9) / 3),
        ({"type": "F1", "average": "micro"}, 200 / 240),
        ({"type": "FBeta", "beta": "2", "positiveLabel": "b"}, 5 * 60 / (4 * 80 + 71)),
        ({"type": "Cost", "class": "a", "costs": {"falsePositive": 1, "falseNegative": "5"}},
         (14 + 5 * 10) / 240),
        ({"type": "Cost", "costs": [[0, 1, 1], [2, 0, 2], ["0.5", 0, 0]]}, (10 + 40 + 2) / 240),
    ],
)  # fmt: skip
def test_every_metric_has_its_options(metric, value):
    stable, canary = values(of(metric, {**THREE, "scores": None}))
    assert stable == pytest.approx(value)
    assert canary == pytest.approx(value)


@pytest.mark.parametrize(
    "metric",
    [
        {"type": "AUC", "positiveLabel": "a"},
        {"type": "roc_auc", "average": "macro"},
        {"type": "ROCAUC", "average": "weighted", "multiClass": "onevsone"},
        {"type": "AveragePrecision", "average": "Macro"},
        {"type": "logloss"},
        {"type": "brier"},
    ],
)
def test_scores_of_several_classes_are_judged(metric):
    stable, canary = values(of(metric, THREE))
    assert stable is not None
    assert stable == canary


def test_several_metrics_are_answered_in_a_list():
    document = {name: each for name, each in DOCUMENT.items() if name != "metric"}
    document["metrics"] = [
        DOCUMENT["metric"],
        {"type": "Accuracy", "margin": 0.03, "name": "right"},
    ]
    found = json.loads(run(document, "-o", "json").stdout)
    assert list(found) == ["verdict", "reason", "message", "metrics"]
    assert [each["name"] for each in found["metrics"]] == ["F1", "right"]
    assert found["metrics"][1]["stable"] == pytest.approx(0.826)
    alone = json.loads(run(DOCUMENT, "-o", "json").stdout)
    # Two metrics share the chance of a wrong rollback, so only that bound moves.
    shared = alone.keys() - {"verdict", "reason", "logERollback", "upper"}
    assert {name: found["metrics"][0][name] for name in shared} == {
        name: alone[name] for name in shared
    }
    document["metrics"][1]["name"] = "F1"
    assert error_of(document).startswith("metrics[1].name: 'F1' appears twice")
    document["metrics"] = []
    assert error_of(document) == "metrics: is empty: at least one metric is needed"


BINARY = {"labels": ["0", "1"], "confusion": [[400, 100], [100, 400]]}


@pytest.mark.parametrize(
    ("metric", "error"),
    [
        ({"type": "F1"}, "metric.positiveLabel: is needed with the labels ['a', 'b', 'c']"),
        ({"type": "Accuracy", "average": "macro"}, "metric.average: Accuracy knows no averages"),
        ({"type": "F1", "average": "macro", "class": "a"}, "metric.class: average Macro is over"),
        ({"type": "AUC", "average": "micro"}, "metric.average: Micro is not known for ROCAUC"),
        ({"type": "FBeta", "beta": 0, "class": "a"}, "metric.beta: 0.0 is not between 0 and 100"),
        ({"type": "Cost", "costs": {"falsePositive": 1}}, "metric.costs.falseNegative: is missing"),
        (
            {"type": "Cost", "costs": {"falsePositive": 1, "falseNegative": -5}, "class": "a"},
            "metric.costs.falseNegative: -5 is negative",
        ),
        (
            {"type": "Cost", "costs": {"falsePositive": 1, "falseNegative": 5}},
            "metric.costs: with the labels ['a', 'b', 'c'] a pair needs positiveLabel",
        ),
        ({"type": "Cost", "costs": [[0, 1]]}, "metric.costs: has 1 rows for 3 labels"),
        ({"type": "Cost", "costs": [[0], [1], [2]]}, "metric.costs[0]: has 1 costs for 3 labels"),
        (
            {"type": "Cost", "costs": [[0, 1, 1], [1, 0, -3], [1, 1, 0]]},
            "metric.costs[1][2]: -3 is negative",
        ),
        ({"type": "Cost", "costs": [[0] * 3] * 3}, "metric.costs: none is above 0"),
        (
            {"type": "Cost", "costs": [[0, 1, 1], [5, 0, 5], [1, 1, 0]], "margin": 5},
            "metric.margin: 5.0 is not between 0 and 5",
        ),
    ],
)
def test_options_that_mean_nothing_are_refused(metric, error):
    assert error_of(of(metric, {**THREE, "scores": None})).startswith(error)


WEIGHTED = {
    **BINARY,
    "weighted": {
        "confusion": [[800.0, 200.0], [100.5, 400.0]],
        "confusionSquares": [[1600.0, 400.0], [101.0, 400.0]],
    },
}


def test_chosen_labels_are_judged_by_their_weights():
    stable, _ = values(of({"type": "Accuracy"}, WEIGHTED))
    assert stable == pytest.approx(1200.0 / 1500.5)


def test_counts_by_bucket_are_read():
    half = [[200, 50], [50, 200]]
    document = of({"type": "Accuracy"}, {**BINARY, "buckets": {"confusion": [half, half]}})
    assert values(document) == (pytest.approx(0.8), pytest.approx(0.8))


def with_weights(**fields):
    return {**WEIGHTED, "weighted": {**WEIGHTED["weighted"], **fields}}


PAIR = {"positive": [1, 2], "negative": [2, 1]}
SCORED = {"labels": ["0", "1"], "scores": {"1": PAIR}}


@pytest.mark.parametrize(
    ("arm", "error"),
    [
        (
            with_weights(confusion=[[800.0, -1.0], [100.5, 400.0]]),
            "strata[0].stable.weighted.confusion[0][1]: -1 is negative",
        ),
        (
            with_weights(confusionSquares=[[1600.0, 400.0], [99.0, 400.0]]),
            "strata[0].stable.weighted.confusionSquares[1][0]: is smaller than",
        ),
        (
            with_weights(scores={"1": PAIR}),
            "strata[0].stable.weighted.scoreSquares: has other classes than scores",
        ),
        (
            with_weights(scores={"1": {"positive": [1], "negative": [1, 2]}}),
            "strata[0].stable.weighted.scores.1.negative: has 2 bins, but positive has 1",
        ),
        (
            {**BINARY, "buckets": {"confusion": BINARY["confusion"]}},
            "strata[0].stable.buckets.confusion: has 2 dimensions instead of 3",
        ),
        (
            {**BINARY, "buckets": {"confusion": [[[999, 0], [0, 0]]]}},
            "strata[0].stable.buckets.confusion: has more rows than confusion",
        ),
        (
            with_weights(confusion=[[7.0, 200.0], [100.5, 400.0]]),
            "strata[0].stable.weighted.confusion[0][0]: is smaller than the number of rows",
        ),
        ({**BINARY, "served": True}, "strata[0].stable.served: True is not a number of rows"),
        ({**BINARY, "labelled": 3}, "strata[0].stable.labelled: is 3, but confusion has "),
        (
            {**BINARY, "servedAs": {"2": 1000}},
            "strata[0].stable.servedAs.2: is none of the labels",
        ),
        (
            {**SCORED, "scores": {"1": {"positive": [1, "2"], "negative": [1, 2]}}},
            "strata[0].stable.scores.1.positive[1]: '2' is not a number of rows",
        ),
        (
            {**SCORED, "scores": {"1": {"positive": [1, 2], "negative": [1]}}},
            "strata[0].stable.scores.1.negative: 1 bins, but positive has 2",
        ),
        (
            {**SCORED, "scores": {"1": {**PAIR, "others": {"0": [2, 0]}}}},
            "strata[0].stable.scores.1.others: do not add up to negative",
        ),
        (
            {**SCORED, "scores": {"1": {**PAIR, "others": {"0": [2, -1]}}}},
            "strata[0].stable.scores.1.others.0[1]: -1 is negative",
        ),
    ],
)
def test_parts_of_an_arm_that_do_not_fit_are_named(arm, error):
    assert error_of(of({"type": "Accuracy"}, arm)).startswith(error)


def test_arms_that_were_counted_in_different_ways_are_refused():
    metric = {"type": "Accuracy"}
    assert error_of(of(metric, WEIGHTED, BINARY)) == (
        "strata[0].canary.weighted: is missing, but strata[0].stable has it"
    )
    finer = {**SCORED, "scores": {"1": {"positive": [1, 2, 3], "negative": [2, 1, 1]}}}
    assert error_of(of({"type": "AUC"}, SCORED, finer)) == (
        "strata[0].canary.scores.1.positive: 3 bins, but the other has 2"
    )


def past(*seconds_and_arms):
    return [
        {"seconds": seconds, "strata": [{"name": "a/5", "stable": arm, "canary": arm}]}
        for seconds, arm in seconds_and_arms
    ]


def grown(rows):
    return {"labels": ["0", "1"], "confusion": [[rows, 10], [10, rows]]}


def test_history_is_judged_too():
    moments = past(*[(10 * n, grown(20 * n)) for n in range(1, 33)])
    document = of({"type": "Accuracy"}, grown(20 * 33), history=moments)
    assert values(document)[0] == pytest.approx(660 / 670)


@pytest.mark.parametrize(
    ("history", "error"),
    [
        (past((10, grown(50)), (20, grown(40))),
         "history[1].strata[0].stable.confusion[0][0]: fell from 50 to 40 since history[0]"),
        (past((10, grown(101))),
         "strata[0].stable.confusion[0][0]: fell from 101 to 100 since history[0]"),
        (past((10, grown(5)), (10, grown(5))), "history[1].seconds: 10 is not later than"),
        (past((0, grown(5))), "history[0].seconds: 0 is not later than"),
        (past((10, {**BINARY, "labels": ["0", "2"]})), "strata[0].stable.labels: "),
        (past((10, {**BINARY, "confusion": [[1, 1], [1, -1]]})),
         "history[0].strata[0].stable.confusion[1][1]: -1 is negative"),
        ([{"seconds": 5, "strata": [{"name": "b/1", "stable": grown(1), "canary": grown(1)}]}],
         "history[0].strata[0].name: 'b/1' is not in strata any more"),
        ({}, "history: must be a list, not an object"),
        (past((10, {**grown(9), "users": 3})), "strata[0].stable.users: fell from 3 to 0"),
        (past((10, {**grown(9), "servedAs": {"0": 30, "1": 9}})),
         "strata[0].stable.served: fell from 39 to 0"),
        (past((10, {**grown(9), "scores": {"1": PAIR}}),
              (20, {**grown(9), "scores": {"1": {"positive": [1] * 4, "negative": [2] * 4}}})),
         "strata[0].stable.scores.1: was there before and is gone"),
        ([{"strata": []}], "history[0].seconds: is missing"),
        ([{"seconds": 5, "strata": [{"name": "a/5", "stable": grown(1), "canary": grown(1), "weight": 0.5}]}],
         "history[0].strata[0].weight: 0.5 is not the None of the same stratum in strata"),
    ],
)  # fmt: skip
def test_history_that_contradicts_the_counts_is_refused(history, error):
    document = of({"type": "Accuracy"}, grown(100), history=history)
    assert error_of(document).startswith(error)


def test_a_count_too_large_to_be_one_is_refused():
    assert error_of(changed((*CONFUSION, 1, 0), 1e19)).startswith(
        "strata[0].canary.confusion[1][0]: 1e+19 is"
    )


def test_the_example_is_understood_and_judged():
    example = Path(__file__).parents[4] / "examples" / "counts.json"
    found = json.loads(run("", "-o", "json", file=str(example)).output)
    assert found["verdict"] == "Promote"
    assert [each["name"] for each in found["metrics"]] == ["f1", "cost"]


@pytest.mark.parametrize(("growth", "reason"), [(1, "Underpowered"), (1000, "Undecided")])
def test_a_trial_that_cannot_end_in_time_says_so(growth, reason):
    document = changed(("metric", "margin"), "0.01")
    result = run({**document, "growth": growth}, "-o", "json")
    assert json.loads(result.stdout)["reason"] == reason
