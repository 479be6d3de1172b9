"""What holds for every metric, whatever the counts (one registry, as scikit-learn's test_common)."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.evidence.counts import ArmCounts, Evidence, Stratum, merge
from assay.evidence.histogram import ScoreHistogram
from assay.judge import METRICS, MetricSpec, Policy, RollbackOn, judge
from assay.judge.decision import decide
from assay.judge.looks import Looks
from assay.judge.metrics import metric_of
from assay.judge.reading import read_looks
from assay.judge.verdict import Average, MultiClass

LABELS = ("a", "b", "c")
BINS = 8
COSTS = (("a", "b", 1.0), ("b", "a", 3.0), ("c", "a", 0.5))
SPECS = [
    MetricSpec("accuracy", "Accuracy", 0.02),
    *(
        MetricSpec(f"{average.value} {kind}", kind, 0.02, positive_label="b", average=average)
        for kind in ("Precision", "Recall", "F1")
        for average in Average
    ),
    MetricSpec("f2", "FBeta", 0.02, positive_label="b", beta=2.0),
    MetricSpec("auc", "ROCAUC", 0.02, positive_label="b"),
    MetricSpec("one-vs-rest", "ROCAUC", 0.02, average=Average.MACRO),
    MetricSpec(
        "one-vs-one", "ROCAUC", 0.02, average=Average.MACRO, multi_class=MultiClass.ONE_VS_ONE
    ),
    MetricSpec("ap", "AveragePrecision", 0.02, positive_label="b"),
    MetricSpec("log loss", "LogLoss", 0.02),
    MetricSpec("brier", "Brier", 0.02, positive_label="b"),
    MetricSpec("cost", "Cost", 0.02, costs=COSTS),
]
POLICY = Policy(by_member=True, since_moments=True)


def arm(seed, size):
    rng = np.random.default_rng(seed)
    confusion = rng.integers(0, size + 1, (3, 3)) + np.diag(rng.integers(0, 3 * size + 1, 3))
    scores = {
        own: ScoreHistogram.by_label(
            own, {other: rng.integers(0, size + 1, BINS) for other in LABELS}
        )
        for own in LABELS
    }
    return ArmCounts.counted(LABELS, confusion, scores, served=int(confusion.sum()))


arms = st.builds(arm, st.integers(0, 10_000), st.integers(0, 60))
parts = st.lists(st.tuples(st.integers(0, 2), arms, arms), min_size=1, max_size=5)


def test_the_registry_is_complete():
    assert {spec.type for spec in SPECS} == METRICS.keys()


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
@settings(max_examples=15, deadline=None)
@given(parts, st.randoms(use_true_random=False))
def test_neither_the_order_nor_the_splitting_of_counts_matters(spec, pieces, random):
    each = [Evidence((Stratum(f"m{at}/0", stable, canary),)) for at, stable, canary in pieces]
    shuffled = list(each)
    random.shuffle(shuffled)
    assert judge([spec], POLICY, merge(each)) == judge([spec], POLICY, merge(shuffled))


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
@pytest.mark.parametrize("size", [7, 60])
def test_one_look_is_decided_as_it_is_among_many(spec, size):
    """It has no axis of looks, which spares time: nothing else may follow from that."""
    counts = Evidence(
        tuple(Stratum(f"m{at}/0", arm(at, size), arm(at + 9, size)) for at in range(3))
    )
    looks = read_looks(metric_of(spec), counts)

    def thrice(parts):
        return tuple(each._replace(cells=np.stack([each.cells] * 3, axis=1)) for each in parts)

    members = {name: thrice(parts) for name, parts in looks.members.items()}
    one = decide(spec, POLICY, looks)
    many = decide(spec, POLICY, Looks(thrice(looks.parts), members=members))
    for name in ("verdict", "reason", "past_burn_in"):
        assert getattr(many, name).tolist() == [getattr(one, name).item()] * 3
    for name in ("difference", "log_e_promote", "log_e_rollback"):
        expected = [getattr(one, name)] * 3
        np.testing.assert_allclose(getattr(many, name), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
@settings(max_examples=15, deadline=None)
@given(arms, arms)
def test_swapping_the_arms_flips_the_sign(spec, one, other):
    forth = judge([spec], Policy(), Evidence((Stratum("m/0", one, other),))).metrics[0]
    back = judge([spec], Policy(), Evidence((Stratum("m/0", other, one),))).metrics[0]
    if forth.difference is None or back.difference is None:
        assert forth.difference is back.difference is None
    else:
        assert forth.difference == -back.difference
        assert (forth.stable, forth.canary) == (back.canary, back.stable)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
@settings(max_examples=15, deadline=None)
@given(arms, arms, st.sampled_from(RollbackOn))
def test_the_band_excludes_the_null_exactly_when_the_test_rejects_it(spec, stable, canary, mode):
    policy = Policy(rollback_on=mode)
    metric = judge([spec], policy, Evidence((Stratum("m/0", stable, canary),))).metrics[0]
    if metric.difference is None:
        assert metric.lower is metric.upper is None
        return
    null = 0.0 if mode is RollbackOn.WORSE else spec.margin
    loss = spec.type in {"LogLoss", "Brier", "Cost"}
    worst, best = (-metric.upper, -metric.lower) if loss else (metric.lower, metric.upper)
    assert (worst > -spec.margin) == (metric.log_e_promote > metric.limit_promote)
    assert (best < -null) == (metric.log_e_rollback > metric.limit_rollback)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
@pytest.mark.parametrize("size", [0, 1, 7])
def test_no_counts_give_no_number_that_is_none(spec, size):
    """Nothing, one row, a handful: a value or a named reason, never NaN."""
    few = arm(3, size)
    nothing = dataclasses.replace(arm(1, 0), served=0)
    for stable, canary in ((few, nothing), (nothing, few), (few, few), (nothing, nothing)):
        (metric,) = judge([spec], Policy(), Evidence((Stratum("m/0", stable, canary),))).metrics
        numbers = [each for each in dataclasses.astuple(metric) if isinstance(each, float)]
        assert all(np.isfinite(numbers)), metric
        assert metric.message
