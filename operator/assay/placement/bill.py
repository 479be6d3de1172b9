"""What pods cost: the time that they run in each member, at the prices of the ModelClusters.

One price rule for what `Cheapest` compares and for what people are told. All of it is decimal and
exact to the 28 digits of Python's default context. The currency is whatever the ModelClusters share.
"""

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from assay.api.placement import Placement

from .choice import Candidate

HOUR = datetime.timedelta(hours=1)
MONTH = 730 * HOUR
"""A twelfth of a year, as clouds count it."""

Prices = Mapping[str, Decimal]
"""Of one pod for an hour, by member; members without a price are left out."""

_MICROSECOND = datetime.timedelta(microseconds=1)


@dataclass(frozen=True)
class Bill:
    """What pods cost.

    Attributes
    ----------
    amounts
        By member, for those that have a price.
    unpriced
        Members in which pods run and that have none, sorted by name. They are in no sum.
    """

    amounts: Mapping[str, Decimal]
    unpriced: tuple[str, ...] = ()

    @property
    def total(self) -> Decimal | None:
        """The sum, a lower bound if there are `unpriced` members; None if nothing has a price."""
        return None if self.unpriced and not self.amounts else sum(self.amounts.values(), Decimal())


def price(candidate: Candidate, placement: Placement) -> Decimal | None:
    """Return the price of a pod for an hour; None if the ModelCluster has none.

    The spot price counts for all pods of a member where they may use spot nodes.
    """
    cost = candidate.spec.cost
    if cost is None:
        return None
    spot = cost.spot_per_replica_hour if placement.uses_spot(candidate.name) else None
    return Decimal(cost.per_replica_hour if spot is None else spot)


def prices(candidates: Iterable[Candidate], placement: Placement) -> Prices:
    """Return the price of a pod for an hour in every member that has one."""
    found = ((candidate.name, price(candidate, placement)) for candidate in candidates)
    return {name: each for name, each in found if each is not None}


def bill(pod_time: Mapping[str, datetime.timedelta], known: Prices) -> Bill:
    """Return what pods cost that ran for so long in each member, all of them added up."""
    ran = {name: time for name, time in sorted(pod_time.items()) if time}
    return Bill(
        {
            name: known[name] * (time // _MICROSECOND) / (HOUR // _MICROSECOND)
            for name, time in ran.items()
            if name in known
        },
        tuple(name for name in ran if name not in known),
    )


def rate(pods: Mapping[str, int], known: Prices, period: datetime.timedelta) -> Bill:
    """Return what so many pods in each member cost for a `period`."""
    return bill({name: count * period for name, count in pods.items()}, known)
