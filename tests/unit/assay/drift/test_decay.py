"""When stable is worth less than its reference says: what is tested, and how often that is wrong."""

import math

import numpy as np
import pytest
from scipy.special import ndtr
from sklearn.metrics import f1_score

from assay.drift import decay
from assay.drift.decay import LIMIT, STARTS, Outcomes, Rows, decide, evidence

MARGIN = 0.05
DAY = 86_400


def outcomes(truth: np.ndarray, said: np.ndarray, days: int = 1) -> Outcomes:
    names = sorted({*truth.tolist(), *said.tolist()})
    classes = {
        str(name): Rows(
            float(((truth == name) & (said == name)).sum()),
            float(((truth != name) & (said == name)).sum()),
            float(((truth == name) & (said != name)).sum()),
        )
        for name in names
    }
    return Outcomes(classes, float(len(truth)), days * DAY)


def binary(right: float, wrong: float, days: int = 1) -> Outcomes:
    return Outcomes({"bad": Rows(right, wrong / 2, wrong / 2)}, 10 * (right + wrong), days * DAY)


def test_f1_is_that_of_scikit_learn_and_its_variance_that_of_many_draws():
    dice = np.random.default_rng(1)
    truth = dice.integers(0, 3, 600)
    said = np.where(dice.random(600) < 0.7, truth, dice.integers(0, 3, 600))
    value, _ = outcomes(truth, said).f1()
    assert value == pytest.approx(f1_score(truth, said, average="macro"), abs=1e-12)
    # The positive class: 600 rows of which each is right, wrong or neither.
    draws = dice.multinomial(600, [0.2, 0.05, 0.05, 0.7], 4000)
    values = 2 * draws[:, 0] / (2 * draws[:, 0] + draws[:, 1] + draws[:, 2])
    _, variance = Outcomes({"1": Rows(120, 30, 30)}, 600, DAY).f1()
    assert math.sqrt(variance) == pytest.approx(values.std(), rel=0.05)


def test_a_model_that_is_as_good_as_its_reference_has_not_decayed():
    said = decide(0.8, MARGIN, [binary(800, 400)], [binary(8000, 4000)])
    assert (said.detected, said.reason) == (False, decay.QUALITY_KEPT)
    assert "F1 by live labels is 0.800 (standard error 0.0" in said.message
    assert said.message.endswith("the reference says 0.800, spec.drift.margin is 0.05")


def test_labels_that_say_it_fell_are_believed_and_told_with_numbers():
    said = decide(0.8, MARGIN, [binary(400, 600)], [binary(8000, 4000)])
    assert (said.detected, said.reason) == (True, decay.LABELLED_QUALITY_FELL)
    assert said.labels.value == pytest.approx(800 / 1400)
    assert "F1 by live labels is 0.571 (standard error 0.01" in said.message
    assert "10000 labels in 1.0 days" in said.message


def test_scores_warn_before_labels_come_and_not_against_good_ones():
    fallen = [binary(400, 600)]
    assert decide(0.8, MARGIN, [], fallen).reason == decay.ESTIMATED_QUALITY_FELL
    unsure = [binary(12, 8)]
    assert decide(0.8, MARGIN, unsure, fallen).reason == decay.ESTIMATED_QUALITY_FELL
    good = [binary(800, 400)]
    said = decide(0.8, MARGIN, good, fallen)
    assert (said.detected, said.reason) == (False, decay.QUALITY_KEPT)
    assert "labels count for more than scores" in said.message


def test_nothing_is_said_of_nothing_and_little_of_few_errors():
    said = decide(0.8, MARGIN, [], [])
    assert (said.detected, said.reason) == (None, decay.HISTORY_TOO_SHORT)
    assert decide(0.8, MARGIN, [binary(0, 9)], []).detected is False
    assert decide(0.8, MARGIN, [binary(0, 60)], []).detected is True


def test_what_was_found_lasts_until_the_contrary_is_likelier():
    weak = [binary(55, 70)]
    found = evidence(weak, 0.75, MARGIN)
    assert 0 < found.log_e < LIMIT
    assert decide(0.8, MARGIN, weak, []).detected is False
    before = decay.LABELLED_QUALITY_FELL
    assert decide(0.8, MARGIN, weak, [], before=before).detected is True
    assert decide(0.8, MARGIN, [binary(800, 400)], [], before=before).detected is False


def test_a_model_that_was_good_for_a_week_and_is_bad_for_a_day_is_found():
    week = [binary(7000, 3500, days) for days in range(2, 8)]
    mixed = [
        Outcomes(
            {"bad": Rows(*map(sum, zip(each.classes["bad"], (200, 150, 150), strict=True)))},
            each.rows,
            each.seconds,
        )
        for each in week
    ]
    assert decide(0.8, MARGIN, [mixed[-1]], []).detected is False
    said = decide(0.8, MARGIN, [binary(200, 300), *mixed], [])
    assert said.detected is True
    assert "in 1.0 days" in said.message


RUNS = 800
DAYS = 30
LOOKS = 24
"""Each day; each of the many trials is looked at every hour."""

PREVALENCE, F1 = 0.1, 0.75
"""What the null says of the worst model that has not decayed."""


def cells(rng: np.random.Generator, f1: float, rows: float) -> np.ndarray:
    """Draw true positives and errors of every run and look, shape (RUNS, days * looks, 2)."""
    # As many false positives as false negatives, so that F1 is the recall.
    chances = PREVALENCE * np.array([f1, 2 * (1 - f1)])
    return rng.poisson(rows / LOOKS * chances, (RUNS, DAYS * LOOKS, 2)).astype(float)


def alarmed(counts: np.ndarray) -> np.ndarray:
    """Return at which look each run says that quality fell, or -1: all looks, all starts."""
    total = np.concatenate([np.zeros((RUNS, 1, 2)), counts.cumsum(axis=1)], axis=1)
    found = np.full(RUNS, -1)
    for look in range(1, total.shape[1]):
        first = (look - 1) // LOOKS
        starts = [LOOKS * day for day in range(max(0, first - STARTS + 1), first + 1)]
        since = np.stack([total[:, look] - total[:, start] for start in starts])
        right, wrong = since[..., 0], since[..., 1]
        value = 2 * right / np.maximum(2 * right + wrong, 1)
        a, b = right + 1, wrong + 1
        variance = 4 * a * b * (a + b) / (2 * a + b) ** 4
        log_e = decay.ROLLBACK.log_e(F1 - value, variance, MARGIN)
        log_e = np.where(wrong >= decay.LEAST_ERRORS, log_e, 0.0)
        fell = np.logaddexp.reduce(log_e, axis=0) >= LIMIT
        found[fell & (found < 0)] = look
    return found


def test_the_simulation_asks_what_the_decision_asks():
    counts = cells(np.random.default_rng(2), 0.65, 2000)[:, : 3 * LOOKS]
    look = alarmed(counts)[0]
    assert look > 0
    total = np.concatenate([np.zeros((1, 2)), counts[0].cumsum(axis=0)])
    for at in (look - 1, look):
        starts = [
            LOOKS * day
            for day in range(max(0, (at - 1) // LOOKS - STARTS + 1), (at - 1) // LOOKS + 1)
        ]
        since = [binary(*(total[at] - total[start]), days=1) for start in starts]
        assert decide(F1 + MARGIN, MARGIN, since, []).detected is bool(at == look)


@pytest.mark.parametrize("rows", [300, 3000])
def test_on_the_border_a_false_alarm_in_thirty_days_is_as_rare_as_said(rows):
    false = (alarmed(cells(np.random.default_rng(rows), F1, rows)) >= 0).mean()
    # Of one source, of two. The bound holds up to three standard errors of chance.
    bound = decay.FALSE_ALARM / 2
    assert false <= bound + 3 * math.sqrt(bound * (1 - bound) / RUNS)


def test_twice_the_margin_is_found_within_days():
    looks = alarmed(cells(np.random.default_rng(5), F1 - MARGIN, 3000))
    assert (looks >= 0).mean() > 0.99
    assert np.median(looks) / LOOKS < 5


def test_estimates_of_a_calibrated_model_err_towards_silence():
    """Outcomes that are expected vary less than those that happen."""
    rng = np.random.default_rng(3)
    values, errors = [], []
    for _ in range(400):
        shares = ndtr(rng.normal(-1.0, 1.0, 2000))
        said = shares > 0.35
        rows = Rows(shares[said].sum(), (1 - shares[said]).sum(), shares[~said].sum())
        value, variance = Outcomes({"1": rows}, 2000, DAY).f1()
        values.append(value)
        errors.append(math.sqrt(variance))
    assert np.std(values) < 0.8 * np.mean(errors)
