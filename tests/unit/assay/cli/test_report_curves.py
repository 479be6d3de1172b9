"""Curves of both arms: the area under what is drawn is the value that decides."""

import numpy as np
import pytest
from sklearn.metrics import precision_recall_curve, roc_auc_score, roc_curve

from assay.cli.report_curves import confusion, curves
from assay.evidence import ArmCounts, Evidence, ScoreHistogram, Stratum
from assay.judge import MetricSpec, Policy, judge

BINS = 64


def rows(seed: int, count: int, shift: float) -> tuple[np.ndarray, np.ndarray]:
    """Return true labels, and scores by bin."""
    dice = np.random.default_rng(seed)
    label = (dice.random(count) < 0.3).astype(int)
    place = np.clip(dice.normal(28 + shift * label, 8), 0, BINS - 1).astype(int)
    return label, place


def arm(label: np.ndarray, place: np.ndarray) -> ArmCounts:
    positive, negative = (np.bincount(place[label == truth], minlength=BINS) for truth in (1, 0))
    predicted = (place > 34).astype(int)
    matrix = np.zeros((2, 2), int)
    np.add.at(matrix, (label, predicted), 1)
    return ArmCounts.counted(("0", "1"), matrix, {"1": ScoreHistogram(positive, negative)})


def test_of_one_stratum_they_are_scikit_learns() -> None:
    seen = {"stable": rows(1, 900, 14.0), "canary": rows(2, 400, 9.0)}
    arms = {name: arm(*each) for name, each in seen.items()}
    evidence = Evidence((Stratum("east/0", **arms),))

    [found] = curves(evidence)

    assert (found.of, found.rows) == ("1", sum(int(label.sum()) for label, _ in seen.values()))
    for name, (label, place) in seen.items():
        each = getattr(found, name)
        false, true, _ = roc_curve(label, place, drop_intermediate=False)
        np.testing.assert_allclose(each.roc, (false, true), atol=1e-12)
        assert each.roc_auc == pytest.approx(roc_auc_score(label, place), abs=1e-12)
        precision, recall, _ = precision_recall_curve(label, place)
        # By descending threshold, without scikit-learn's last point, which no threshold has.
        np.testing.assert_allclose(each.precision_recall, (recall[-2::-1], precision[-2::-1]))
    classes, matrices = confusion(evidence)
    assert classes == ("0", "1")
    np.testing.assert_array_equal(matrices["canary"], arms["canary"].confusion)


def test_over_members_and_steps_the_area_is_the_judges_value() -> None:
    """Members of different difficulty, with other shares of the canary: plain sums would mislead."""
    evidence = Evidence(
        (
            Stratum("east/0", arm(*rows(1, 900, 16.0)), arm(*rows(2, 90, 16.0))),
            Stratum("west/0", arm(*rows(3, 100, 5.0)), arm(*rows(4, 800, 5.0))),
        )
    )
    [found] = curves(evidence)

    specs = [
        MetricSpec(kind, kind, 0.05, positive_label="1") for kind in ("ROCAUC", "AveragePrecision")
    ]
    area, precision = judge(specs, Policy(), evidence).metrics
    for name in ("stable", "canary"):
        each = getattr(found, name)
        assert np.trapezoid(each.roc[1], each.roc[0]) == pytest.approx(getattr(area, name))
        assert each.roc_auc == pytest.approx(getattr(area, name))
        assert each.average_precision == pytest.approx(getattr(precision, name))
    assert abs(found.canary.roc_auc - found.stable.roc_auc) < 0.05


@pytest.mark.parametrize("only", [0, 1])
def test_one_class_alone_has_no_curve(only: int) -> None:
    label, place = rows(1, 300, 9.0)
    one = arm(label[label == only], place[label == only])
    assert list(curves(Evidence((Stratum("east/0", arm(label, place), one),)))) == []


def test_without_counts_there_is_nothing() -> None:
    assert list(curves(Evidence(()))) == []
    assert confusion(Evidence(())) == ((), {})
