"""The e-value: equal to the integral that defines it, and sane at the ends of the world."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from assay.judge import eprocess


def integral(dist, var, mean, scale):
    """Mix the likelihood ratio exp(t dist/var - t^2/(2 var)) over N(mean, scale^2), t > 0."""

    def mixed(drift):
        return math.exp(drift * dist / var - drift**2 / (2 * var)) * norm.pdf(drift, mean, scale)

    top = mean + 12 * scale
    centre = min(max((mean / scale**2 + dist / var) / (1 / scale**2 + 1 / var), 0.0), top)
    width = 8 / math.sqrt(1 / scale**2 + 1 / var)
    points = [p for p in (centre - width, centre, centre + width) if 0 < p < top]
    total, _ = quad(mixed, 0, top, points=points, epsabs=0, epsrel=1e-11, limit=500)
    return math.log(total / norm.sf(-mean / scale))


def log_e(dist, var, mean, scale):
    """One component; its prior is given in margins, and the margin is 1."""
    test = eprocess.Test((1.0, mean, scale))
    return float(test.log_e(np.array(dist), np.array(var), 1.0))


@pytest.mark.parametrize("dist", [-0.2, -0.05, -0.01, 0.0, 0.01, 0.03, 0.08])
@pytest.mark.parametrize("var", [1e-2, 1e-3, 1e-4])
@pytest.mark.parametrize(("mean", "scale"), [(0.03, 0.015), (0.0, 0.18), (0.01, 0.05)])
def test_log_e_is_the_integral(dist, var, mean, scale):
    expected = integral(dist, var, mean, scale)
    assert log_e(dist, var, mean, scale) == pytest.approx(expected, abs=1e-6)


def test_the_rollback_test_mixes_two_priors():
    sharp = log_e(0.04, 3e-4, 0.03, 0.015)
    wide = log_e(0.04, 3e-4, 0.0, 0.18)
    expected = math.log(0.8 * math.exp(sharp) + 0.2 * math.exp(wide))
    assert eprocess.ROLLBACK.log_e(np.array(0.04), np.array(3e-4), 0.03) == pytest.approx(
        expected, abs=1e-12
    )


@given(
    dist=st.floats(-1, 1),
    var=st.floats(1e-14, 1e6),
    margin=st.floats(1e-4, 0.9),
)
def test_extreme_values_stay_finite_and_grow_with_the_distance(dist, var, margin):
    for test in (eprocess.PROMOTE, eprocess.ROLLBACK):
        here, further = test.log_e(np.array([dist, dist + 1e-3]), np.array([var, var]), margin)
        assert math.isfinite(here)
        assert further >= here - 1e-9 * abs(here)


def test_no_information_is_no_evidence():
    assert eprocess.PROMOTE.log_e(np.array(0.5), np.array(math.inf), 0.02) == pytest.approx(
        0.0, abs=1e-12
    )


@pytest.mark.parametrize(
    ("information", "z"),
    [(1, 3.13), (2, 2.74), (4, 2.61), (6, 2.62), (8, 2.66), (12, 2.73), (20, 2.86), (50, 3.12)],
)
def test_the_band_is_as_wide_as_published(information, z):
    margin = 0.03
    var = margin**2 / information
    reach = eprocess.PROMOTE.critical_distance(var, margin, math.log(20))
    assert reach / math.sqrt(var) == pytest.approx(z, abs=0.006)


@given(var=st.floats(1e-9, 1.0), margin=st.floats(1e-3, 0.5), limit=st.floats(0.7, 12))
def test_the_band_ends_where_the_test_decides(var, margin, limit):
    for test in (eprocess.PROMOTE, eprocess.ROLLBACK):
        reach = test.critical_distance(var, margin, limit)
        assert test.log_e(np.array(reach), np.array(var), margin) == pytest.approx(limit, abs=1e-6)


@given(dist=st.floats(-1, 1), var=st.floats(1e-14, 1e6), margin=st.floats(1e-4, 0.9))
def test_one_look_in_floats_says_what_many_say_in_arrays(dist, var, margin):
    for test in (eprocess.PROMOTE, eprocess.ROLLBACK):
        many = test.log_e(np.array([dist, dist]), np.array([var, var]), margin)
        for shape in ((), (1,), (1, 1)):
            one = test.log_e(np.full(shape, dist), np.full(shape, var), margin)
            assert one.shape == shape
            assert one.item() == pytest.approx(many[0], rel=1e-12, abs=1e-12)
