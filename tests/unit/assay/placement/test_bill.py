"""What pods cost: decimal, by the price rule of Cheapest, and nothing without a price counts as free."""

import datetime
from decimal import Decimal
from typing import Any

import pytest

from assay.placement.bill import HOUR, MONTH, Bill, bill, price, prices, rate

from .clusters import a_cluster, a_spec

BOTH = {"perReplicaHour": "0.031", "spotPerReplicaHour": "0.009"}
SPOT = {"nodeSelector": {"spot": "true"}}


@pytest.mark.parametrize(
    ("cost", "placement", "wanted"),
    [
        (BOTH, {}, "0.031"),
        (BOTH, {"spot": "Use"}, "0.009"),
        (BOTH, {"spot": "Use", "overrides": [{"clusterName": "a", "spot": "Avoid"}]}, "0.031"),
        (BOTH, {"overrides": [{"clusterName": "a", "spot": "Use"}]}, "0.009"),
        (BOTH, {"overrides": [{"clusterName": "b", "spot": "Use"}]}, "0.031"),
        ({"perReplicaHour": "0.031"}, {"spot": "Use"}, "0.031"),
        ({**BOTH, "spotPerReplicaHour": "0"}, {"spot": "Use"}, "0"),
    ],
    ids=["none", "spot", "not there", "only there", "elsewhere", "no spot price", "free"],
)
def test_the_spot_price_counts_where_spot_nodes_are_used(
    cost: dict[str, str], placement: dict[str, Any], wanted: str
) -> None:
    cluster = a_cluster("a", cost=cost, spot=SPOT)
    assert price(cluster, a_spec(**placement).placement) == Decimal(wanted)


def test_a_cluster_without_a_price_has_none() -> None:
    known = prices([a_cluster("a"), a_cluster("b", cost=BOTH)], a_spec().placement)
    assert known == {"b": Decimal("0.031")}


def test_amounts_are_exact() -> None:
    known = {"a": Decimal("0.031"), "b": Decimal("0.1")}
    assert rate({"a": 8, "b": 3}, known, HOUR) == Bill({"a": Decimal("0.248"), "b": Decimal("0.3")})
    assert rate({"a": 8}, known, MONTH).total == Decimal("181.04")
    assert bill({"b": datetime.timedelta(minutes=6)}, known).total == Decimal("0.01")


def test_members_without_a_price_are_named_and_in_no_sum() -> None:
    found = rate({"c": 1, "b": 2, "a": 3}, {"b": Decimal("0.5")}, HOUR)
    assert found == Bill({"b": Decimal(1)}, ("a", "c"))
    assert found.total == Decimal(1)
    assert rate({"a": 3}, {}, HOUR).total is None


def test_where_nothing_runs_no_price_is_missed() -> None:
    found = rate({"a": 0}, {}, HOUR)
    assert (found.total, found.unpriced) == (Decimal(0), ())
