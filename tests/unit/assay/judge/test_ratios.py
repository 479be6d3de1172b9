"""Metrics of the confusion matrix: scikit-learn's values, exact links, guards, what is undefined."""

import warnings

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, fbeta_score, precision_score, recall_score

from assay.evidence.counts import ArmCounts
from assay.evidence.groups import GroupCounts
from assay.evidence.weighted import WeightedCounts
from assay.judge import MetricSpec, reasons
from assay.judge.metrics import NoValue, metric_of
from assay.judge.metrics.binary_ratio import BinaryRatio
from assay.judge.metrics.cost import CostComponent
from assay.judge.verdict import Average

from .builders import LABELS, confusion

CLASSES = ("a", "b", "c", "d")
RATES = {"Precision": precision_score, "Recall": recall_score}

rows_of_several = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=80)


def matrix_of(rows, size):
    matrix = np.zeros((size, size), np.int64)
    for truth, predicted in rows:
        matrix[truth, predicted] += 1
    return matrix


def score(kind, truth, predicted, beta, **options):
    if kind in RATES:
        return RATES[kind](truth, predicted, zero_division=np.nan, **options)
    chosen = beta if kind == "FBeta" else 1.0
    return fbeta_score(truth, predicted, beta=chosen, zero_division=np.nan, **options)


@np.errstate(all="ignore")
def value(spec, arm):
    """The value of one arm, NaN where it has none."""
    readings = metric_of(spec).read([arm])
    return sum(each.weight * each.component.value(each.cells)[0] for each in readings)


@given(
    st.sampled_from(["Precision", "Recall", "F1", "FBeta"]),
    st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60),
    st.floats(0.2, 5),
)
def test_binary_ratios_equal_scikit_learn(kind, rows, beta):
    truth, predicted = (np.array(column, dtype=int) for column in zip(*rows, strict=True))
    arm = ArmCounts.counted(LABELS, matrix_of(np.array(rows, dtype=int), 2))
    found = value(MetricSpec("m", kind, 0.02, beta=beta), arm)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = score(kind, truth, predicted, beta)
    assert found == pytest.approx(expected, abs=1e-12, nan_ok=True)


@given(
    st.sampled_from(["Precision", "Recall", "F1", "FBeta"]),
    st.sampled_from([Average.MACRO, Average.WEIGHTED, Average.MICRO]),
    rows_of_several,
    st.floats(0.2, 5),
)
def test_averages_over_classes_equal_scikit_learn(kind, average, rows, beta):
    truth, predicted = zip(*rows, strict=True)
    # A class without predictions has no precision: scikit-learn leaves it out, here it is asked for.
    assume(average is Average.MICRO or kind != "Precision" or set(truth) <= set(predicted))
    # Of a class that is only predicted there is no recall, in scikit-learn's mean neither.
    arm = ArmCounts.counted(CLASSES, matrix_of(rows, 4))
    found = value(MetricSpec("m", kind, 0.02, average=average, beta=beta), arm)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = score(kind, truth, predicted, beta, average=average.value.lower())
    assert found == pytest.approx(expected, abs=1e-12)


@given(rows_of_several)
def test_accuracy_equals_scikit_learn(rows):
    arm = ArmCounts.counted(CLASSES, matrix_of(rows, 4))
    expected = accuracy_score(*zip(*rows, strict=True))
    assert value(MetricSpec("m", "Accuracy", 0.02), arm) == pytest.approx(expected, abs=1e-12)


@given(rows_of_several, st.lists(st.floats(0, 9), min_size=16, max_size=16))
def test_cost_is_the_mean_over_rows(rows, costs):
    assume(max(costs) > 0)
    table = np.array(costs).reshape(4, 4)
    named = tuple((CLASSES[i], CLASSES[j], table[i, j]) for i in range(4) for j in range(4))
    arm = ArmCounts.counted(CLASSES, matrix_of(rows, 4))
    expected = np.mean([table[pair] for pair in rows])
    found = value(MetricSpec("m", "Cost", 0.02, costs=named), arm)
    assert found == pytest.approx(expected, abs=1e-12)


def test_costs_of_classes_that_nobody_has_seen_change_nothing():
    arm = confusion(tp=10, fp=4, fn=6, tn=80)
    some = (("1", "0", 5.0), ("0", "1", 1.0))
    spec = MetricSpec("m", "Cost", 0.02, costs=some)
    other = MetricSpec("m", "Cost", 0.02, costs=(*some, ("2", "0", 1.0)))
    assert value(spec, arm) == value(other, arm) == pytest.approx(0.34)


def test_a_cost_of_one_is_the_complement_of_accuracy_with_the_same_variance():
    arm = confusion(tp=10, fp=4, fn=6, tn=80)
    cost = MetricSpec("m", "Cost", 0.02, costs=(("1", "0", 1.0), ("0", "1", 1.0)))
    (of_cost,), (of_accuracy,) = (
        metric_of(spec).read([arm]) for spec in (cost, MetricSpec("m", "Accuracy", 0.02))
    )
    np.testing.assert_array_equal(of_cost.cells, of_accuracy.cells)
    np.testing.assert_array_equal(of_cost.component.pseudo(2), of_accuracy.component.pseudo(2))
    np.testing.assert_allclose(
        of_cost.component.gradient(of_cost.cells, of_cost.cells),
        -of_accuracy.component.gradient(of_cost.cells, of_cost.cells),
    )


@given(st.integers(1, 400), st.integers(1, 400), st.integers(0, 400), st.integers(0, 900))
def test_the_variance_of_f1_is_the_closed_form(tp, fp, fn, tn):
    """Var(F1) = 4ab(a+b)/(2a+b)^4 with a = TP + 1 and b = FP + FN + 1 (statistics 2a)."""
    (reading,) = metric_of(MetricSpec("m", "F1", 0.02)).read([confusion(tp, fp, fn, tn)])
    cells = reading.cells[0] + reading.component.pseudo(4)
    gradient = reading.component.gradient(cells, cells)
    a, b = tp + 1, fp + fn + 1
    assert (cells * gradient**2).sum() == pytest.approx(4 * a * b * (a + b) / (2 * a + b) ** 4)


def test_the_delta_variance_of_macro_f1_is_that_of_samples():
    rng = np.random.default_rng(4)
    chances = rng.dirichlet(np.full(9, 2.0))
    arms = [
        ArmCounts.counted(CLASSES[:3], rng.multinomial(2000, chances).reshape(3, 3))
        for _ in range(3000)
    ]
    for average in (Average.MACRO, Average.WEIGHTED):
        spec = MetricSpec("m", "F1", 0.02, average=average)
        (reading,) = metric_of(spec).read(arms)
        measured = reading.component.value(reading.cells).std()
        gradient = reading.component.gradient(chances, 2000 * chances)
        assert np.sqrt(chances @ gradient**2 / 2000) == pytest.approx(measured, rel=0.04)


@given(
    st.floats(0.1, 10),
    st.lists(st.integers(0, 1000), min_size=4, max_size=4),
)
def test_f_beta_lies_between_its_links(beta, cells):
    component = BinaryRatio("F", beta**2, 1.0)
    counts = np.array(cells, dtype=float)
    hits, trials = component.stream(counts)
    assume(trials > 0)
    link, rate = component.link(), hits / trials
    found = component.value(counts)
    assert link.worst(rate) - 1e-12 <= found <= link.best(rate) + 1e-12


@pytest.mark.parametrize("beta", [0.5, 2.0])
def test_links_of_f_beta_are_reached_when_all_errors_are_of_one_kind(beta):
    component = BinaryRatio("F", beta**2, 1.0)
    link = component.link()
    ends = sorted(
        float(component.value(np.array(cells)))
        for cells in ([9.0, 40.0, 0.0, 60.0], [9.0, 0.0, 40.0, 60.0])
    )
    assert ends == pytest.approx([link.worst(0.6), link.best(0.6)], abs=1e-12)
    assert ends[1] - ends[0] > 0.1


@pytest.mark.parametrize(
    "component",
    [
        BinaryRatio("F1", 1.0, 1.0),
        BinaryRatio("F2", 4.0, 1.0),
        BinaryRatio("recall", 1.0, 0.0),
        CostComponent((0.0, 0.5, 3.0)),
    ],
    ids=lambda component: component.name,
)
def test_links_are_increasing_and_their_inverses_are_inverse(component):
    link = component.link()
    rates = np.linspace(0.0, 1.0, 41)
    for there, back in ((link.worst, link.of_worst), (link.best, link.of_best)):
        assert (np.diff(there(rates)) > 0).all()
        np.testing.assert_allclose(back(there(rates)), rates, atol=1e-12)
        assert back(np.array([link.span[0] - 1.0, link.span[1] + 1.0])).tolist() == [0.0, 1.0]
    assert link.span == (link.worst(np.array(0.0)), link.best(np.array(1.0)))


def test_the_link_of_f1_is_exact():
    component = BinaryRatio("F1", 1.0, 1.0)
    rates = np.linspace(0, 1, 11)
    np.testing.assert_allclose(component.link().worst(rates), 2 * rates / (1 + rates))
    np.testing.assert_allclose(component.link().best(rates), 2 * rates / (1 + rates))


@given(
    st.lists(st.sampled_from([0.0, 0.5, 1.0, 7.0]), min_size=9, max_size=9),
    st.lists(st.integers(0, 50), min_size=9, max_size=9),
)
def test_costs_lie_between_their_links_whatever_is_free(costs, cells):
    assume(max(costs) > 0 and sum(cells) > 0)
    named = tuple((CLASSES[i // 3], CLASSES[i % 3], cost) for i, cost in enumerate(costs))
    arm = ArmCounts.counted(CLASSES[:3], np.array(cells).reshape(3, 3))
    (reading,) = metric_of(MetricSpec("m", "Cost", 0.02, costs=named)).read([arm])
    free, trials = reading.component.stream(reading.cells)
    link = reading.component.link()
    goodness = -reading.component.value(reading.cells)
    assert link.worst(free / trials) - 1e-12 <= goodness <= link.best(free / trials) + 1e-12


GUARDS = {
    "F1": [
        ((10, 10, 10, 70), (10, 10, 10, 70), (True, True, False)),
        ((10, 10, 9, 70), (10, 10, 10, 70), (False, False, False)),
        ((10, 10, 10, 70), (9, 10, 11, 70), (False, False, False)),
        ((9, 10, 11, 70), (10, 10, 10, 70), (False, True, False)),
        ((96, 2, 2, 0), (80, 10, 10, 0), (False, True, True)),
        ((80, 10, 10, 0), (96, 2, 2, 0), (False, True, True)),
    ],
    "Precision": [
        ((25, 5, 0, 70), (25, 5, 0, 70), (True, True, False)),
        ((25, 4, 50, 70), (25, 5, 0, 70), (False, False, False)),
        ((26, 4, 50, 70), (25, 5, 0, 70), (False, True, True)),
    ],
    "Recall": [
        ((25, 0, 5, 70), (25, 0, 5, 70), (True, True, False)),
        ((25, 50, 4, 70), (25, 0, 5, 70), (False, False, False)),
        ((26, 50, 4, 70), (25, 0, 5, 70), (False, True, True)),
    ],
    "Accuracy": [
        ((5, 0, 5, 20), (5, 0, 5, 20), (True, True, False)),
        ((5, 0, 5, 19), (5, 0, 5, 20), (False, False, False)),
        ((5, 0, 21, 4), (5, 0, 5, 20), (False, True, False)),
        ((96, 2, 2, 0), (80, 10, 10, 0), (False, True, True)),
    ],
    "Cost": [
        ((5, 0, 5, 20), (5, 0, 5, 20), (True, True, False)),
        ((5, 0, 5, 19), (5, 0, 5, 20), (False, False, False)),
        ((50, 50, 4, 50), (5, 0, 5, 20), (False, True, True)),
    ],
}


@pytest.mark.parametrize(
    ("kind", "canary", "stable", "expected"),
    [(kind, *case) for kind, cases in GUARDS.items() for case in cases],
)
def test_burn_in_asks_for_what_the_metric_counts(kind, canary, stable, expected):
    spec = MetricSpec("m", kind, 0.02, costs=(("1", "0", 1.0),))
    (reading,) = metric_of(spec).read([confusion(*stable), confusion(*canary)])
    guards = reading.component.guards(*reading.cells)
    found = guards.promote, guards.rollback, guards.near_perfect
    assert tuple(map(bool, found)) == expected


def test_rounding_of_standardised_counts_does_not_cost_a_row():
    (reading,) = metric_of(MetricSpec("m", "F1", 0.02)).read([confusion(10, 10, 10, 70)] * 2)
    nearly = reading.cells * (1 - 1e-14)
    assert reading.component.guards(*nearly).promote


@pytest.mark.parametrize(
    ("canary", "stable", "expected"),
    [
        pytest.param([[10, 2], [2, 10]], [[10, 2], [2, 10]], (True, True), id="ten each"),
        pytest.param([[90, 2], [2, 9]], [[10, 2], [2, 10]], (False, False), id="nine"),
        pytest.param([[90, 2], [2, 90]], [[10, 2], [2, 9]], (False, False), id="nine of stable"),
        pytest.param([[90, 0], [40, 0]], [[90, 2], [2, 90]], (False, True), id="collapsed"),
    ],
)
@pytest.mark.parametrize("kind", ["F1", "Recall"])
def test_means_over_classes_wait_for_the_rare_class(kind, canary, stable, expected):
    spec = MetricSpec("m", kind, 0.02, average=Average.MACRO)
    arms = [ArmCounts.counted(LABELS, matrix) for matrix in (stable, canary)]
    (reading,) = metric_of(spec).read(arms)
    guards = reading.component.guards(*reading.cells)
    assert (bool(guards.promote), bool(guards.rollback)) == expected
    if not guards.promote:
        reason, words = reading.component.missing(*reading.cells)
        assert reason == reasons.RARE_CLASS
        assert "class '1'" in words


@pytest.mark.parametrize("average", [Average.MACRO, Average.WEIGHTED])
def test_a_class_that_nobody_has_seen_is_left_out(average):
    spec = MetricSpec("m", "F1", 0.02, average=average)
    two = np.array([[30, 5], [8, 40]])
    three = np.pad(two, (0, 1))
    small, large = (ArmCounts.counted(CLASSES[: len(each)], each) for each in (two, three))
    assert value(spec, small) == value(spec, large)


@np.errstate(all="ignore")
def test_a_class_that_one_arm_has_not_seen_is_rare():
    spec = MetricSpec("m", "F1", 0.02, average=Average.MACRO)
    full = ArmCounts.counted(CLASSES[:3], np.full((3, 3), 20))
    lacking = ArmCounts.counted(CLASSES[:3], np.pad(np.full((2, 2), 20), (0, 1)))
    (reading,) = metric_of(spec).read([full, lacking])
    found = reading.component.value(reading.cells)
    assert found[0] == pytest.approx(1 / 3)
    assert np.isnan(found[1])
    why = reading.component.undefined("canary", reading.cells[1])
    assert why.reason == reasons.RARE_CLASS
    assert "class 'c'" in why.message


def test_an_unseen_positive_class_has_no_value():
    for kind in ("F1", "Precision", "Recall", "FBeta"):
        with pytest.raises(NoValue) as caught:
            metric_of(MetricSpec("m", kind, 0.02, positive_label="yes")).read(
                [confusion(9, 9, 9, 9)]
            )
        assert caught.value.reason == reasons.POSITIVE_LABEL_UNKNOWN


def test_no_rows_of_several_classes_have_no_value():
    spec = MetricSpec("m", "F1", 0.02, average=Average.MACRO)
    with pytest.raises(NoValue) as caught:
        metric_of(spec).read([ArmCounts.counted(LABELS)])
    assert caught.value.reason == reasons.METRIC_UNDEFINED


EVERY_KIND = [
    MetricSpec("m", "F1", 0.02),
    MetricSpec("m", "Accuracy", 0.02),
    MetricSpec("m", "Recall", 0.02, average=Average.MACRO),
    MetricSpec("m", "Cost", 0.02, costs=(("0", "1", 2.0), ("1", "0", 2.0))),
]


@pytest.mark.parametrize("spec", EVERY_KIND, ids=lambda spec: spec.type)
def test_weights_take_the_place_of_rows_where_every_arm_has_them(spec):
    matrix = np.array([[50, 4], [6, 20]])
    weights = np.array([[1.0, 2.0], [4.0, 1.0]])
    weighted = ArmCounts(
        LABELS, matrix, labelled=80, weighted=WeightedCounts(weights * matrix, weights**2 * matrix)
    )
    plain, empty = ArmCounts.counted(LABELS, matrix), ArmCounts.counted(LABELS)
    (reading,) = metric_of(spec).read([weighted, empty])
    assert reading.cells[0].sum() == (weights * matrix).sum()
    assert reading.squares[0].sum() == (weights**2 * matrix).sum()
    assert reading.cells[1].sum() == reading.squares[1].sum() == 0
    (mixed,) = metric_of(spec).read([weighted, plain])
    assert mixed.squares is None
    np.testing.assert_array_equal(mixed.cells[0], mixed.cells[1])


@pytest.mark.parametrize("spec", EVERY_KIND, ids=lambda spec: spec.type)
def test_groups_of_users_have_the_same_cells(spec):
    groups = np.random.default_rng(2).integers(0, 9, (5, 2, 2))
    arm = ArmCounts(
        LABELS, groups.sum(axis=0), labelled=int(groups.sum()), buckets=GroupCounts(groups)
    )
    (reading,) = metric_of(spec).read([arm, ArmCounts.counted(LABELS)])
    assert reading.groups.shape == (2, 5, reading.cells.shape[1])
    np.testing.assert_array_equal(reading.groups.sum(axis=1), reading.cells)
    (mixed,) = metric_of(spec).read([arm, confusion(1, 2, 3, 4)])
    assert mixed.groups is None


def test_the_spread_of_f1_is_that_of_its_variance():
    values = np.array([0.0, 0.3, 0.9, 1.0])
    inside = np.array([0.02, 0.3, 0.9, 0.995])
    balanced, rate = BinaryRatio("F1", 1, 1).spread(values), BinaryRatio("P", 0, 1).spread(values)
    np.testing.assert_allclose(balanced, inside * (1 - inside) * (2 - inside))
    np.testing.assert_allclose(rate, inside * (1 - inside))


def test_the_spread_of_costs_grows_with_the_cost():
    spread = CostComponent((0.0, 2.0, 50.0)).spread(np.array([0.0, 0.5, 1.0, 20.0]))
    np.testing.assert_allclose(spread, [0.01, 0.5, 1.0, 20.0])
