"""The planner: the published medians come out, and the answers move the way they must."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import average_precision_score, f1_score, fbeta_score, roc_auc_score

from assay.judge.planner import (
    POWERS,
    TYPES,
    Baseline,
    PlanError,
    Question,
    Step,
    Target,
    paired_variance,
    plan,
    remedies,
)
from assay.judge.planner.information import kappa, rollback_need
from assay.judge.planner.schedule import schedule
from assay.judge.planner.unit_variance import unit_variance
from assay.judge.verdict import Average, MetricSpec, PromoteOn, RollbackOn

SHARES = (0.5, 0.2, 0.05)
# statistics.md 3 and 4: prevalence, stable's value, margin; labels at shares 50/20/5 %: predicted
# median to promotion, simulated one (final rule, zone, scaled looks), simulated rollback at -2d.
PUBLISHED = [
    ("F1", 0.5, 0.82, 0.03, (4700, 7700, 27e3), (4400, 7200, 25.6e3), (1700, 3000, 10.3e3)),
    ("F1", 0.1, 0.56, 0.05, (17e3, 27e3, 93e3), (15.5e3, 25.7e3, 86.5e3), (5500, 10e3, 33.6e3)),
    ("F1", 0.01, 0.27, 0.05, (148e3, 231e3, 780e3), (149e3, 233e3, 785e3), (52.6e3, 82.3e3, 277e3)),
    ("ROCAUC", 0.5, 0.9, 0.02, (5700, 9300, 32e3), (5400, 8900, 31.6e3), (2100, 3800, 14.2e3)),
    ("ROCAUC", 0.1, 0.9, 0.02, (16e3, 26e3, 89e3), (16.7e3, 24.8e3, 87.9e3), (5800, 10.4e3, 39.5e3)),
    ("ROCAUC", 0.01, 0.9, 0.02, (143e3, 235e3, 809e3), (144e3, 225e3, 799e3), (53.1e3, 94.9e3, 359e3)),
]  # fmt: skip
CELLS = [
    (kind, prevalence, value, margin, share, *(column[place] for column in columns))
    for kind, prevalence, value, margin, *columns in PUBLISHED
    for place, share in enumerate(SHARES)
]


def target(kind="F1", value=0.56, prevalence=0.1, margin=0.05, effect=None, **known):
    shares = prevalence if isinstance(prevalence, tuple) else (prevalence,)
    average = Average.MACRO if len(shares) > 1 else Average.BINARY
    spec = MetricSpec(kind.lower(), kind, margin, average=average)
    return Target(spec, Baseline(value, shares, **known), effect)


def question(*targets, share=0.2, rate=50.0, **rest):
    rest.setdefault("steps", (Step(share),))
    return Question(targets or (target(),), rate, **rest)


def labels(asked, power=0.5):
    return plan(asked).promote[power].labels


@pytest.mark.parametrize(
    ("kind", "prevalence", "value", "margin", "share", "predicted", "simulated", "rolled_back"),
    CELLS,
)
def test_published_medians_come_out(
    kind, prevalence, value, margin, share, predicted, simulated, rolled_back
):
    asked = question(target(kind, value, prevalence, margin), share=share)
    metric = plan(asked).metrics[0]
    assert metric.promote[0.5].labels == pytest.approx(predicted, rel=0.15)
    assert metric.promote[0.5].labels == pytest.approx(simulated, rel=0.15)
    # Looks were 7 % of the median apart there, which delays a rollback by some.
    assert metric.rollback[2.0].labels == pytest.approx(rolled_back, rel=0.2)


def test_the_published_example():
    found = plan(question()).promote
    assert found[0.5].labels == pytest.approx(27.4e3, rel=0.03)
    assert found[0.5].seconds / 60 == pytest.approx(9.1, rel=0.03)
    assert found[0.9].labels == pytest.approx(67.9e3, rel=0.03)
    assert found[0.9].seconds / 60 == pytest.approx(22.6, rel=0.03)


def test_a_collapse_is_found_as_soon_as_simulated():
    # F1 .82 -> .40 at 5 % share: median 1000, p95 1500.
    found = plan(question(target("F1", 0.82, 0.5, 0.03), share=0.05)).metrics[0].collapse
    assert found.labels == pytest.approx(1000, rel=0.1)


def test_wall_time_adds_the_age_of_labels_and_waits_for_the_steps():
    asked = question(label_age=600.0, steps=(Step(0.2, 3600.0),))
    assert plan(asked).promote[0.5].seconds == 3600.0 + 600.0
    late = plan(asked).promote[0.95]
    assert late.seconds == max(3600.0, late.labels / 50.0) + 600.0
    assert plan(asked).metrics[0].rollback[5.0].seconds < 3600.0


@given(
    margin=st.floats(0.005, 0.2),
    share=st.floats(0.01, 0.5),
    value=st.floats(0.55, 0.98),
    prevalence=st.floats(0.01, 0.5),
    kind=st.sampled_from(["F1", "ROCAUC", "Accuracy", "Precision", "Recall", "FBeta"]),
)
@settings(max_examples=40, deadline=None)
def test_more_is_asked_more_is_needed(margin, share, value, prevalence, kind):
    base = target(kind, value, prevalence, margin)
    needed = plan(question(base, share=share)).promote
    for power, more in itertools.pairwise(POWERS):
        assert needed[power].labels <= needed[more].labels
    smaller = target(kind, value, prevalence, margin * 0.9)
    assert labels(question(smaller, share=share)) >= needed[0.5].labels
    assert labels(question(base, share=min(0.5, share * 1.1))) <= needed[0.5].labels
    assert labels(question(base, share=share, confidence=0.99)) >= needed[0.5].labels
    found = plan(question(base, share=share)).metrics[0].rollback.values()
    losses = [need.labels for need in found if need is not None]
    assert losses == sorted(losses, reverse=True)


@pytest.mark.parametrize("share", [0.03, 0.2, 0.5, 0.8])
def test_one_step_is_the_formula_of_a_fixed_share(share):
    unit = 0.56**2 * 0.44 * 1.44 / (2 * 0.1 * 0.56)
    floor = 0.51 * 0.49 * 1.49 / (0.56 * 0.44 * 1.44)
    expected = 1.08 * 5.4 * unit * (floor / share + 1 / (1 - share)) / 0.05**2
    assert labels(question(share=share)) == math.ceil(expected)


@pytest.mark.parametrize("power", POWERS)
@pytest.mark.parametrize("weights", [(0.05, 0.2, 0.5), (0.5, 0.99), (0.2, 0.2), (0.01, 0.02)])
def test_a_ramp_has_the_variance_that_the_judge_will_see(weights, power):
    steps = tuple(Step(weight, 60.0) for weight in weights)
    answer = plan(question(steps=steps))
    rows = answer.promote[power].labels
    unit, floor = answer.metrics[0].unit_variance, 0.51 * 0.49 * 1.49 / (0.56 * 0.44 * 1.44)
    variance = sum(
        (min(rows, each.end) - each.start)
        / rows**2
        * unit
        * (floor / each.canary + 1 / each.stable)
        for each in answer.segments
        if rows > each.start
    )
    assert 0.05**2 / variance == pytest.approx(1.08 * kappa(0.05, power), rel=1e-3)


def test_steps_of_equal_weight_are_one_step():
    ramp = question(steps=(Step(0.2, 10.0), Step(0.2, 20.0), Step(0.2)))
    assert plan(ramp).promote == plan(question()).promote


def test_a_step_lasts_until_its_time_and_the_burn_in_are_over():
    first, second, last = schedule(
        [Step(0.1, 10.0), Step(0.5, 10.0), Step(0.5)], 100.0, 5.0, [(300.0, 30.0), (200.0, 200.0)]
    )
    assert (first.start, first.end) == (0.0, 3000.0 + 500.0)
    assert (second.start, second.end) == (3500.0, 4500.0)
    assert (last.canary_before, last.stable_before, last.end) == (850.0, 3650.0, math.inf)


def test_promotion_waits_for_the_last_step_and_rollback_does_not():
    answer = plan(question(steps=(Step(0.2, 7200.0), Step(0.5))))
    assert answer.promote[0.5].labels == 7200 * 50
    assert answer.metrics[0].rollback[1.0].labels == pytest.approx(26.5e3, rel=0.01)


def test_all_metrics_must_promote_and_share_the_chance_of_rollback():
    f1, auc = target(), target("ROCAUC", 0.9, 0.1, 0.01)
    both, alone = plan(question(f1, auc)), [plan(question(each)) for each in (f1, auc)]
    for power in POWERS:
        assert both.promote[power].labels == max(each.promote[power].labels for each in alone)
    for together, single in zip(both.metrics, alone, strict=True):
        assert together.rollback[1.0].labels > single.metrics[0].rollback[1.0].labels


def test_one_percent_prevalence_is_underpowered_within_20k_labels():
    for each in (target("F1", 0.27, 0.01, 0.05), target("ROCAUC", 0.9, 0.01, 0.02)):
        answer = plan(question(each, share=0.5, rate=20.0, max_seconds=1000.0))
        assert answer.underpowered
        helps = remedies(answer)
        assert helps.share is None
        # Every remedy is enough, and little less is not.
        for rate, enough in ((helps.label_rate, True), (helps.label_rate * 0.98, False)):
            again = question(each, share=0.5, rate=rate, max_seconds=1000.0)
            assert plan(again).underpowered != enough
        longer = question(each, share=0.5, rate=20.0, max_seconds=helps.max_seconds)
        assert not plan(longer).underpowered
        margin = helps.margins[each.spec.name]
        wider = target(each.spec.type, each.baseline.value, 0.01, margin)
        answer = plan(question(wider, share=0.5, rate=20.0, max_seconds=1000.0))
        assert not answer.underpowered


def test_remedies_find_the_smallest_share():
    tight = question(share=0.05, max_seconds=1200.0)
    share = remedies(plan(tight)).share
    assert not plan(question(share=share, max_seconds=1200.0)).underpowered
    assert plan(question(share=share - 0.01, max_seconds=1200.0)).underpowered
    assert remedies(plan(question(max_seconds=1e6))) is None
    assert remedies(plan(question())) is None
    slow_labels = question(max_seconds=1200.0, label_age=1200.0)
    assert remedies(plan(slow_labels)).label_rate is None


def test_kappa_is_the_table_and_lies_between_its_neighbours():
    table = {
        0.1: (3.9, 8.2, 11.3, 14.5), 0.05: (5.4, 10.2, 13.4, 16.7),
        0.025: (6.7, 12.1, 15.7, 19.5), 0.01: (8.4, 14.6, 18.6, 22.1),
    }  # fmt: skip
    for alpha, row in table.items():
        assert [kappa(alpha, power) for power in POWERS] == pytest.approx(row)
    assert kappa(0.05, 0.5) < kappa(0.04, 0.5) < kappa(0.04, 0.6) < kappa(0.025, 0.6)
    for alpha, power in ((0.001, 0.5), (0.2, 0.5), (0.05, 0.4), (0.05, 0.99)):
        with pytest.raises(PlanError):
            kappa(alpha, power)


def test_rollback_constants_hold_at_five_percent():
    constants = {1: 5.75, 2: 1.85, 3: 0.95, 5: 0.37, 10: 0.11}
    for loss, constant in constants.items():
        assert rollback_need(loss, 0.05) == pytest.approx(constant)
    # 3000 simulated paths of the ideal problem with an eighth of the chance.
    for loss, simulated in {1: 10.09, 2: 2.946, 3: 1.467, 5: 0.568, 10: 0.152, 20: 0.0486}.items():
        assert rollback_need(loss, 0.00625) == pytest.approx(simulated, rel=0.11)
    assert rollback_need(0.5, 0.05) > rollback_need(1.0, 0.05)
    assert rollback_need(50.0, 0.05) <= rollback_need(20.0, 0.05)


def test_a_strict_rollback_never_finds_a_loss_of_the_margin():
    zone = plan(question()).metrics[0].rollback
    strict = plan(question(rollback_on=RollbackOn.WORSE_THAN_MARGIN)).metrics[0].rollback
    assert strict[1.0] is None
    assert strict[2.0].labels > zone[2.0].labels
    assert plan(question(target(value=0.2, margin=0.03))).metrics[0].rollback[10.0] is None


def test_a_better_canary_is_promoted_sooner():
    worse, same, better = (labels(question(target(effect=x))) for x in (-0.025, None, 0.05))
    assert worse > 2 * same > 4 * better
    superior = plan(question(promote_on=PromoteOn.BETTER))
    assert superior.metrics[0].effect == 0.05


def test_shadow_traffic_needs_as_many_times_fewer_labels_as_measured():
    for kind, value, ratios in (("F1", 0.82, (3.6, 8.0, 14.5)), ("ROCAUC", 0.9, (3.5, 15.0, 49.0))):
        single = target(kind, value, 0.5, 0.02)
        unit = unit_variance(single.spec, single.baseline)
        for correlation, ratio in zip((0.5, 0.9, 0.97), ratios, strict=True):
            found = paired_variance(single.spec, single.baseline, correlation)
            assert 4 * unit / found == pytest.approx(ratio)
        shadow = Target(single.spec, single.baseline, None, found)
        assert labels(question(shadow)) < labels(question(single, share=0.5)) / 10
    with pytest.raises(PlanError, match=r"paired\.correlation: 0\.99"):
        paired_variance(single.spec, single.baseline, 0.99)
    with pytest.raises(PlanError, match=r"is known for binary F1 and ROCAUC"):
        paired_variance(target("Recall").spec, single.baseline, 0.9)


def rows_of(rng, prevalence, distance, rows):
    truth = rng.random(rows) < prevalence
    return truth, rng.standard_normal(rows) + distance * truth


@pytest.mark.parametrize(
    ("kind", "score", "distance", "cut"),
    [
        ("F1", lambda y, s: f1_score(y, s > 1.1), 2.0, 1.1),
        ("FBeta", lambda y, s: fbeta_score(y, s > 1.1, beta=2), 2.0, 1.1),
        ("ROCAUC", roc_auc_score, 1.8, None),
        ("AveragePrecision", average_precision_score, 1.8, None),
    ],
)
def test_unit_variances_are_those_of_scikit_learn(kind, score, distance, cut):
    rng = np.random.default_rng(7)
    rows, draws = 3000, 200
    found = [score(*rows_of(rng, 0.2, distance, rows)) for _ in range(draws)]
    recall = None if cut is None else float(norm.sf(cut - distance))
    spec = MetricSpec("x", kind, 0.02, beta=2.0)
    predicted = unit_variance(spec, Baseline(float(np.mean(found)), (0.2,), recall))
    # 200 draws know a standard deviation to 5 %.
    assert math.sqrt(predicted / rows) == pytest.approx(np.std(found), rel=0.15)


@pytest.mark.parametrize(
    ("kind", "part"), [("F1", 0.5), ("FBeta", 0.8), ("Precision", 0.0), ("Recall", 1.0)]
)
def test_the_macro_variance_is_that_of_its_gradient(kind, part):
    # Classes of one size: only then can all have the same value and errors in these proportions.
    shares, value = (1 / 3,) * 3, 0.8
    matrix = np.full((3, 3), (1 - value) / 6)
    np.fill_diagonal(matrix, value / 3)

    def macro(cells):
        hits, truly, predicted = np.diag(cells), cells.sum(axis=1), cells.sum(axis=0)
        return float(np.mean(hits / (part * truly + (1 - part) * predicted)))

    step = 1e-6
    gradient = np.zeros((3, 3))
    for place in np.ndindex(3, 3):
        moved = matrix.copy()
        moved[place] += step
        gradient[place] = (macro(moved) - macro(matrix)) / step
    expected = (matrix * gradient**2).sum() - (matrix * gradient).sum() ** 2
    spec = MetricSpec("x", kind, 0.02, average=Average.MACRO, beta=2.0)
    assert unit_variance(spec, Baseline(value, shares)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("average", list(Average))
def test_every_type_can_be_planned(kind, average):
    several = average in (Average.MACRO, Average.WEIGHTED)
    spec = MetricSpec("x", kind, 0.02, average=average)
    base = Baseline(0.8, (0.5, 0.3, 0.2) if several else (0.2,), largest=2.0)
    answer = plan(question(Target(spec, base)))
    needs = [*answer.promote.values(), *answer.metrics[0].rollback.values()]
    assert all(need is None or 0 < need.labels < 1e8 for need in needs)


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        (question(target(prevalence=1.2)), "prevalence: 1.2 is not between 0 and 1"),
        (question(target(prevalence=())), "prevalence: is missing"),
        (question(target(prevalence=(0.5, 0.2))), "prevalence: adds up to 0.7, not to 1"),
        (question(target(value=0.0)), "baseline: 0 is not between 0 and 1"),
        (question(target("LogLoss", value=-1.0)), "baseline: -1 is not above 0"),
        (question(target("LogLoss")), "variance: is needed for LogLoss"),
        (question(target("Brier", value=1.5)), "baseline: 1.5 is not below 1, the largest loss"),
        (question(target("Vibes")), "type: 'Vibes' is not one of F1, "),
        (question(target(margin=0.6)), "margin: 0.6 is not below the baseline of 0.56"),
        (question(target(recall=1.5)), "recall: 1.5 is not between 0 and 1"),
        (question(target(recall=0.2)), "recall: 0.2 is too low for a baseline of 0.56"),
        (question(target(prevalence=0.9, value=0.3)), "baseline: 0.3 with recall 0.3 would need"),
        (question(target(variance=0.0)), "variance: 0 is not above 0"),
        (question(target("ROCAUC", s10=0.1)), "s01: is needed with the other one"),
        (question(target("AveragePrecision", value=0.09)), "baseline: 0.09 is not above 0.1"),
        (question(target(effect=-0.05)), "effect: -0.05 is so bad"),
        (question(target(effect=0.5)), "effect: no canary is better by 0.5 than 0.56"),
        (question(rate=0.0), "labelRate: 0 is not above 0"),
        (question(label_age=-1.0), "labelAgeSeconds: -1 is negative"),
        (question(max_seconds=0.0), "maxSeconds: 0 is not above 0"),
        (question(confidence=0.999), "confidence: 0.999 is not between 0.9 and 0.99"),
        (question(steps=()), "steps: is empty"),
        (Question((), 1.0), "metrics: is empty"),
        (
            question(target(), Target(target().spec, target().baseline, None, 1.0)),
            "paired: is needed for all metrics or for none",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_name(asked, error):
    with pytest.raises(PlanError) as found:
        plan(asked)
    assert str(found.value).startswith(error)
