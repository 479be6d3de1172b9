"""Label age and missing labels: what counts as evidence, when it is final, and what comes later."""

from collections import Counter
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assay_server.ledger.entries import Rules
from assay_server.ledger.predictions import State
from assay_server.ledger.totals import Kind
from tests.unit.assay_server.ledger.keeper import Keeper, killed, label, named, shipment

AGED = Rules(window=10**10, age=100)
NEGATIVE = Rules(window=10**10, age=100, negative=True)
pytestmark = pytest.mark.usefixtures("instant")


def test_a_label_counts_when_its_prediction_has_the_age(place):
    with Keeper(place(), AGED) as keeper:
        keeper.wait(50)
        assert keeper.put(label(1, served_at=50), label(2, served_at=51)) == ["counted"] * 2
        keeper.wait(149.9)
        assert (keeper.confusion(), keeper.pending) == ({}, 2)
        keeper.wait(150)
        assert (keeper.confusion(), keeper.pending) == ({("1", "1"): 1}, 1)
        keeper.wait(151)
        assert (keeper.confusion(), keeper.pending) == ({("1", "1"): 2}, 0)


def test_until_release_a_label_corrects_an_earlier_one(place):
    with Keeper(place(), AGED) as keeper:
        assert keeper.put(label(1), label(1, "0"), label(1, "0")) == [
            "counted",
            "replaced",
            "duplicate",
        ]
        keeper.wait(1000)
        assert keeper.confusion() == {("0", "1"): 1}


def test_what_comes_after_release_is_kept_and_counted_on_its_own(place):
    url = place()
    with Keeper(url, AGED) as keeper:
        assert keeper.put(label(1)) == ["counted"]
        keeper.wait(1000)
        after = [label(1), label(1, "0"), label(1, "0"), label(1, "1"), label(2, at=1000)]
        assert keeper.put(*after) == ["duplicate", "corrected", "duplicate", "corrected", "late"]
        assert keeper.put(label(2), label(2, "0")) == ["duplicate", "corrected"]
        assert keeper.confusion() == {("1", "1"): 1}
        assert keeper.total(Kind.LATE) == 1
        assert keeper.total(Kind.CORRECTED) == 3
        state = keeper.state()
    with Keeper(url, AGED) as keeper:
        assert keeper.state() == state
        keeper.wait(2000)
        assert keeper.state() == state
        found = [(cell.label, later.label) for _, cell, later in keeper.rows()]
        assert found == [("1", "1"), (None, "0")]
        assert [row.later_lag for row, _, _ in keeper.rows()] == [0, 0]


def test_no_label_means_the_negative_class(place):
    with Keeper(place(), NEGATIVE) as keeper:
        keeper.put(
            *(shipment(number, f"r{number}", predicted="01"[number % 2]) for number in range(6))
        )
        assert keeper.put(named("r1"), label(2, predicted="0"), named("r3", "0")) == ["counted"] * 3
        keeper.wait(1000)
        assert keeper.confusion() == {("1", "1"): 1, ("1", "0"): 1, ("0", "1"): 2, ("0", "0"): 2}
        # A label that says what was assumed confirms it, another one contradicts.
        after = [named("r4", "0"), named("r4", "0"), named("r5"), named("r5"), named("r3", "0")]
        assert keeper.put(*after) == ["late", "duplicate", "corrected", "duplicate", "duplicate"]
        assert keeper.total(Kind.LATE) == keeper.total(Kind.CORRECTED) == 1
        assert sum(keeper.confusion().values()) == 6
        given = [row.lag is not None for row, _, _ in keeper.rows()]
        assert given == [False, True, True, True, False, False]


def test_a_prediction_of_which_no_server_told_in_time_is_no_evidence(place):
    """Else those with a label would count and those without would not."""
    with Keeper(place(), NEGATIVE) as keeper:
        keeper.put(label(1), label(2), shipment(2), shipment(3))
        keeper.wait(1000)
        assert keeper.confusion() == {("1", "1"): 1, ("0", "1"): 1}
        assert keeper.total(Kind.UNSHIPPED) == 1
        assert keeper.put(shipment(1), shipment(4), shipment(4)) == ["taken", "taken", "known"]
        keeper.wait(2000)
        assert sum(keeper.confusion().values()) == 2
        assert keeper.total(Kind.SERVED) == keeper.total(Kind.SERVED_LATE) == 2
        assert keeper.put(label(4), label(1)) == ["late", "duplicate"]


def test_several_classes_have_no_negative_one(place):
    animals = {"classes": ("ant", "bee", "cat"), "predicted": "cat", "bins": ()}
    with Keeper(place(), NEGATIVE) as keeper:
        keeper.put(*(shipment(number, **animals) for number in range(3)))
        keeper.put(label(1, "bee", **animals))
        keeper.wait(1000)
        assert keeper.confusion() == {("bee", "cat"): 1}
        assert keeper.put(label(2, "ant", **animals)) == ["late"]


def test_shipments_without_need_leave_no_row(place):
    with Keeper(place()) as keeper:
        assert keeper.put(shipment(1), shipment(2, user=b"abcdef")) == ["taken", "taken"]
        assert keeper.rows() == []


def test_a_release_clock_that_jumps_ahead_makes_nothing_late_for_ever(place):
    with Keeper(place(), AGED) as keeper:
        keeper.put(label(1, served_at=10))
        keeper.wait(1e9)
        assert keeper.put(label(2, served_at=20)) == ["late"]
        keeper.wait(30)
        assert keeper.put(label(3, served_at=20, at=30)) == ["counted"]
        keeper.wait(200)
        assert keeper.confusion() == {("1", "1"): 2}


def test_nothing_is_released_before_clients_could_send_again(place, monkeypatch):
    from assay_server.ledger import writer

    url = place()
    with Keeper(url, AGED) as keeper:
        keeper.put(label(1))
    monkeypatch.setattr(writer, "GRACE_SECONDS", 10**6)
    with Keeper(url, Rules(window=10**10, age=10**6), SimpleNamespace(now=1e8)) as keeper:
        keeper.wait()
        assert (keeper.pending, keeper.confusion()) == (1, {})
        assert keeper.put(label(1, "0"), label(2)) == ["replaced", "counted"]


def test_the_age_may_change_between_starts(place):
    url = place()
    clock = SimpleNamespace(now=20)
    with Keeper(url, clock=clock) as keeper:
        assert keeper.put(label(1, at=20), shipment(2, "a"), shipment(3, "b")) == [
            "counted",
            "taken",
            "taken",
        ]
    with Keeper(url, AGED, clock) as keeper:
        assert keeper.put(label(1, "0"), named("a"), label(4)) == [
            "corrected",
            "counted",
            "counted",
        ]
        assert keeper.confusion() == {("1", "1"): 1}
    with Keeper(url, clock=clock) as keeper:
        keeper.wait()
        assert keeper.confusion() == {("1", "1"): 3}
        assert keeper.put(named("a", "0"), named("b"), label(4)) == [
            "conflict",
            "counted",
            "duplicate",
        ]
    clock.now = 1000
    with Keeper(url, NEGATIVE, clock) as keeper:
        keeper.wait()
        assert keeper.confusion() == {("1", "1"): 4}
        assert keeper.pending == 0


@dataclass
class Case:
    """A prediction as the oracle sees it."""

    number: int
    served_at: int
    predicted: str
    shipped: bool = False
    shipped_late: bool = False
    label: str | None = None
    later: str | None = None
    released: bool = False


@dataclass
class Oracle:
    """The rules, told once more without rows, keys or transactions."""

    rules: Rules
    now: int = 0
    cases: dict[int, Case] = field(default_factory=dict)
    names: dict[str, list[int]] = field(default_factory=dict)
    confusion: Counter = field(default_factory=Counter)
    kinds: Counter = field(default_factory=Counter)

    def case(self, number: int) -> Case:
        return self.cases.setdefault(number, Case(number, number % 20, "01"[number % 2]))

    def release(self) -> None:
        for case in self.cases.values():
            if not case.released and case.served_at <= self.now - self.rules.age:
                self.release_one(case)

    def release_one(self, case: Case) -> None:
        case.released = True
        if self.rules.negative and not case.shipped:
            self.kinds["unshipped"] += case.label is not None
        elif case.label or self.rules.negative:
            self.confusion[case.label or "0", case.predicted] += 1

    def take_label(self, number: int, name: str) -> str:
        case = self.case(number)
        if case.served_at <= self.released_until() and not case.released:
            case.released = True  # it has no row, and its time has come
        if not case.released:
            before, case.label = case.label, name
            return "counted" if before is None else "duplicate" if before == name else "replaced"
        assumed = "0" if self.rules.negative and case.shipped and not case.label else None
        known = case.later or case.label or assumed
        if known == name and (case.later or case.label):
            return "duplicate"
        case.later = name
        found = "late" if known in {None, name} else "corrected"
        self.kinds[found] += 1
        return found

    def take_shipment(self, number: int, request: str | None) -> str:
        if request is None and not self.rules.negative:
            return "taken"
        case = self.case(number)
        if case.shipped or case.shipped_late:
            return "known"
        if case.served_at <= self.released_until():
            case.released = case.shipped_late = True
        else:
            case.shipped = True
        if request is not None:
            self.names.setdefault(request, []).append(number)
        return "taken"

    def take_named(self, request: str, name: str) -> str:
        known = self.names.get(request)
        if not known:
            return "unknown_id"
        return self.take_label(max(known, key=lambda number: (number % 20, number)), name)

    def released_until(self) -> int:
        return self.now - self.rules.age


numbers = st.integers(0, 40)
operations = st.one_of(
    st.tuples(st.just("label"), numbers, st.sampled_from("01")),
    st.tuples(st.just("shipment"), numbers, st.none() | st.sampled_from("abc")),
    st.tuples(st.just("named"), st.sampled_from("abc"), st.sampled_from("01")),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(
    st.sampled_from([True, False]),
    st.lists(st.tuples(st.lists(operations, max_size=10), st.integers(0, 9)), max_size=7),
)
def test_any_order_of_labels_and_shipments_counts_by_the_rules(tmp_path_factory, negative, steps):
    """Also after kill -9 between any two steps."""
    folder = tmp_path_factory.mktemp("store")
    rules = Rules(window=10**10, age=6, negative=negative)
    oracle = Oracle(rules)
    url = f"sqlite:///{folder}/l.db"
    with Keeper(url, rules) as keeper:
        for batch, seconds in steps:
            entries, expected = [], []
            for kind, first, second in batch:
                if kind == "label":
                    place = oracle.case(first)
                    entries.append(
                        label(first, second, served_at=place.served_at, predicted=place.predicted)
                    )
                    expected.append(oracle.take_label(first, second))
                elif kind == "shipment":
                    place = oracle.case(first)
                    entries.append(
                        shipment(
                            first, second, served_at=place.served_at, predicted=place.predicted
                        )
                    )
                    expected.append(oracle.take_shipment(first, second))
                else:
                    entries.append(named(first, second))
                    expected.append(oracle.take_named(first, second))
            assert keeper.put(*entries) == expected
            oracle.now += seconds
            keeper.wait(oracle.now)
            oracle.release()
            check(keeper, oracle)
            keeper.wait()
            with Keeper(
                killed(folder / "l.db", folder), rules, SimpleNamespace(now=oracle.now)
            ) as again:
                assert again.state() == keeper.state()


def check(keeper: Keeper, oracle: Oracle) -> None:
    assert keeper.confusion() == +oracle.confusion
    assert keeper.total(Kind.LATE) == oracle.kinds["late"]
    assert keeper.total(Kind.CORRECTED) == oracle.kinds["corrected"]
    assert keeper.total(Kind.UNSHIPPED) == oracle.kinds["unshipped"]
    shipped = [case for case in oracle.cases.values() if case.shipped]
    late = [case for case in oracle.cases.values() if case.shipped_late]
    assert keeper.total(Kind.SERVED) == len(shipped)
    assert keeper.total(Kind.SERVED_LATE) == len(late)
    counted = [row for row, _, _ in keeper.rows() if row.state & State.COUNTED]
    assert len(counted) == oracle.confusion.total()
