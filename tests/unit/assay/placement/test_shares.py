"""The least pods of each member while their number follows the load."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.api.autoscaling import Autoscaling
from assay.placement import floors


@pytest.mark.parametrize(
    ("least", "shares", "expected"),
    [
        pytest.param(2, {"a": 4, "b": 4}, {"a": 1, "b": 1}, id="evenly"),
        pytest.param(1, {"a": 4, "b": 4}, {"a": 1, "b": 1}, id="one in each at least"),
        pytest.param(5, {"a": 6, "b": 2}, {"a": 4, "b": 2}, id="as the most, rounded up"),
        pytest.param(8, {"a": 6, "b": 2}, {"a": 6, "b": 2}, id="a fixed number after all"),
        pytest.param(6, {"a": 2, "b": 1}, {"a": 2, "b": 1}, id="no room for more"),
        pytest.param(3, {"a": 4, "b": 0}, {"a": 3}, id="nothing where nothing has a place"),
        pytest.param(3, {}, {}, id="nowhere"),
    ],
)
def test_the_least_is_divided_as_the_most(
    least: int, shares: dict[str, int], expected: dict[str, int]
) -> None:
    assert floors(Autoscaling(min_replicas=least, max_replicas=8), shares) == expected


def test_a_fixed_number_has_no_floor() -> None:
    assert floors(None, {"a": 2}) == {}


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 50), min_size=1),
    st.integers(1, 300),
)
def test_floors_are_within_the_shares_and_never_too_few(shares: dict[str, int], least: int) -> None:
    found = floors(Autoscaling(min_replicas=least, max_replicas=300), shares)
    assert found.keys() == shares.keys()
    assert all(1 <= found[name] <= shares[name] for name in shares)
    wanted = min(least, sum(shares.values()))
    assert wanted <= sum(found.values()) < wanted + len(shares)
