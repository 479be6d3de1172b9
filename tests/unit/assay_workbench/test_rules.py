"""Every rule of the advice holds where it should, and nowhere else."""

import pytest

from assay.judge.verdict import Average
from assay_workbench.rules import RULES, chosen, that_hold
from assay_workbench.situation import Situation, Use
from assay_workbench.thresholds import Costs

EVEN = (("no", 60), ("yes", 40))
SKEWED = (("no", 75), ("yes", 25))
RARE = (("no", 97), ("yes", 3))
ALIKE = (("a", 30), ("b", 35), ("c", 35))
UNLIKE = (("a", 80), ("b", 15), ("c", 5))
RANKING, PROBABILITIES = {"use": Use.RANKING}, {"use": Use.PROBABILITIES}

CASES = {
    "costs-are-known": (
        [(RARE, {"costs": Costs(1, 5)}), (UNLIKE, {"costs": Costs(1, 5), "positive": "c"})],
        [(RARE, {}), (UNLIKE, {"costs": Costs(1, 5)}), (RARE, {"costs": Costs(1, 5), **RANKING})],
    ),
    "probabilities-are-used": ([(EVEN, PROBABILITIES)], [(EVEN, {}), (EVEN, RANKING)]),
    "ranking-of-rare-rows": ([(RARE, RANKING)], [(RARE, {}), (SKEWED, RANKING), (UNLIKE, RANKING)]),
    "ranking": ([(EVEN, RANKING), (RARE, {**RANKING, "positive": "no"})], [(RARE, RANKING)]),
    "ranking-of-several-classes": ([(ALIKE, RANKING)], [(EVEN, RANKING), (ALIKE, {})]),
    "two-classes-of-unlike-size": ([(SKEWED, {})], [(EVEN, {}), (SKEWED, RANKING), (UNLIKE, {})]),
    "two-classes-of-like-size": (
        [(EVEN, {})],
        [(SKEWED, {}), (ALIKE, {}), (EVEN, PROBABILITIES), (EVEN, {"costs": Costs(1, 1)})],
    ),
    "several-classes-of-unlike-size": ([(UNLIKE, {})], [(ALIKE, {}), (RARE, {})]),
    "several-classes-of-like-size": ([(ALIKE, {})], [(UNLIKE, {}), (EVEN, {})]),
    "accuracy-under-imbalance": ([(RARE, {}), (UNLIKE, {})], [(SKEWED, {}), (ALIKE, {})]),
    "roc-auc-under-imbalance": ([(RARE, {}), (RARE, RANKING)], [(SKEWED, {}), (UNLIKE, {})]),
    "f1-against-costs": (
        [(EVEN, {"costs": Costs(3, 1)}), (EVEN, {"costs": Costs(0, 1)})],
        [(EVEN, {"costs": Costs(2, 1)}), (EVEN, {})],
    ),
    "threshold-follows-costs": (
        [(EVEN, {"costs": Costs(1, 1)})],
        [(EVEN, {}), (UNLIKE, {"costs": Costs(1, 2), "positive": "a"})],
    ),
    "log-loss-has-no-bound": ([(EVEN, PROBABILITIES)], [(EVEN, {})]),
    "micro-is-accuracy": ([(ALIKE, {})], [(EVEN, {})]),
    "few-labels": (
        [(RARE, {"label_rate": 0.01})],
        [(RARE, {"label_rate": 10.0}), (RARE, {})],
    ),
}  # fmt: skip


def holds(rule, case):
    classes, known = case
    return rule.holds(Situation(classes, **known))


def test_every_rule_has_cases():
    assert list(CASES) == [rule.name for rule in RULES]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_holds_where_it_should_and_nowhere_else(rule):
    yes, no = CASES[rule.name]
    assert [holds(rule, case) for case in yes] == [True] * len(yes)
    assert [holds(rule, case) for case in no] == [False] * len(no)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_says_all_that_a_reader_needs(rule):
    for text in (rule.condition, rule.advice, rule.why, rule.source):
        assert len(text) > 10
    for text in (rule.condition, rule.advice, rule.why):
        assert text.endswith(".")


@pytest.mark.parametrize(
    ("classes", "known", "expected"),
    [
        (EVEN, {}, ["Accuracy"]),
        (SKEWED, {}, ["F1"]),
        (RARE, {}, ["F1"]),
        (RARE, {"costs": Costs(1, 40)}, ["Cost"]),
        (RARE, RANKING, ["AveragePrecision"]),
        (EVEN, RANKING, ["ROCAUC"]),
        (EVEN, PROBABILITIES, ["Brier", "LogLoss"]),
        (UNLIKE, {}, ["F1"]),
        (ALIKE, {}, ["Accuracy"]),
        (ALIKE, RANKING, ["ROCAUC"]),
    ],
)
def test_what_decides_and_what_is_watched(classes, known, expected):
    found = chosen(that_hold(Situation(classes, **known)))
    assert [choice.type for choice in found] == expected


def test_every_situation_has_a_metric_that_no_rule_speaks_against():
    for classes in (EVEN, SKEWED, RARE, ALIKE, UNLIKE):
        for use in Use:
            for costs in (None, Costs(1, 1), Costs(1, 50)):
                situation = Situation(classes, classes[0][0] if costs else None, use, costs)
                rules = that_hold(situation)
                first = chosen(rules)[0]
                against = {name for rule in rules for name in rule.against}
                name = first.type
                if first.average is not Average.BINARY:
                    name += f" {first.average}"
                assert name not in against, (classes, use, costs)
