"""The store: every label once, on the disk before it is answered, counted the same afterwards."""

import os
import random
import sqlite3
from itertools import chain, product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assay_server.ledger import counts as counts_module
from assay_server.ledger import jobs, writer
from assay_server.ledger.database import Changes, StoreError
from assay_server.ledger.entries import Status
from assay_server.ledger.jobs import BusyError
from assay_server.ledger.predictions import Row
from assay_server.ledger.store import source_of
from assay_server.ledger.totals import Additions
from assay_server.receipts import Stratum
from tests.unit.assay_server.ledger.keeper import OWNER, Keeper, label, named, shipment


def test_each_receipt_counts_once(place):
    url = place()
    with Keeper(url) as keeper:
        assert keeper.put(label(1), label(1), label(1, "0"), label(2)) == [
            "counted",
            "duplicate",
            "conflict",
            "counted",
        ]
        assert keeper.put(label(1), label(2, "0")) == ["duplicate", "conflict"]
        assert keeper.confusion() == {("1", "1"): 2}
        state, store_id = keeper.state(), keeper.store_id
    with Keeper(url) as keeper:
        assert (keeper.state(), keeper.store_id) == (state, store_id)
        assert keeper.put(label(1), label(1, "0")) == ["duplicate", "conflict"]


labels = st.builds(
    # The identity of a receipt is a signature over all that it says, so also over when that was.
    lambda number, name, **rest: label(
        number, name, served_at=number % 10, predicted="01"[number % 2], **rest
    ),
    st.integers(0, 30),
    st.sampled_from("01"),
    bins=st.sampled_from([(), (0,), (1500,)]),
    user=st.sampled_from([None, b"aaaaaa", b"\x81bbbbb"]),
    probability=st.sampled_from([None, 1.0, 0.3]),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(st.lists(st.lists(labels, max_size=8), max_size=8))
def test_incremental_counts_are_those_of_a_rebuild(place, batches):
    url = place()
    with Keeper(url) as keeper:
        pending = [keeper.store.submit(batch, {}) for batch in batches]
        statuses = [future.result() for future in pending]
        state = keeper.state()
    first = {}
    for one, status in zip(chain(*batches), chain(*statuses), strict=True):
        if one.key not in first:
            expected = "counted"
            first[one.key] = one.label
        else:
            expected = "duplicate" if first[one.key] == one.label else "conflict"
        assert status == expected
    with Keeper(url) as keeper:
        assert keeper.state() == state
        assert sum(keeper.confusion().values()) == len(first)


def test_rows_are_written_whole_and_found_again_however_many_there_are(place):
    """Statements depend on how many rows there are, and on which of their columns are NULL."""
    optional = [(b"\0\7", b"\0\1\0\2"), (b"user01",), ("a",), (3,), (60,), (0.3,), (2,), (5,)]
    columns = [(None, *values) for values in optional]
    parts = list(product(*columns))
    dice = random.Random(1)

    def rows(seed):
        random.Random(seed).shuffle(parts)
        return [
            Row(
                *(number % 7, number.to_bytes(16, "big"), 1, bins, user, request, request_row),
                *(number % 16, lag, probability, later, later_lag),
            )
            for number, (bins, user, request, request_row, lag, probability, later, later_lag) in (
                enumerate(parts)
            )
        ]

    def save(these):
        database.begin()
        database.save(Changes({}, these, Additions(), {}, {}))
        database.commit()

    database = source_of(place(), OWNER).connect()
    first, then = rows(1), rows(2)
    save(first)
    missing = [(number, b"missing") for number in range(20)]
    for count in (0, 1, 7, 8, 63, 64, 65, 73, len(first)):
        some = dice.sample(first, count)
        assert database.find([*missing, *(row.key for row in some)]) == {
            row.key: row for row in some
        }
    save(then[::2])
    expected = {row.key: row for row in [*first, *then[::2]]}
    assert database.find(expected) == expected
    database.close()


def test_refusals_are_added_by_the_way(place):
    url = place()
    with Keeper(url) as keeper:
        assert keeper.store.submit([label(1)], {Status.FORGED: 3}).result() == ["counted"]
        assert keeper.store.submit([], {Status.FORGED: 1}).result() == []
    with Keeper(url) as keeper:
        assert keeper.results == {"counted": 1, "forged": 4}


def test_labels_by_the_clients_own_id_find_the_row_that_was_served(place):
    with Keeper(place()) as keeper:
        assert keeper.put(named("a"), shipment(1, "a"), named("a", row=1)) == [
            "unknown_id",
            "taken",
            "unknown_id",
        ]
        assert keeper.put(shipment(1, "a"), shipment(2, "a", row=1)) == ["known", "taken"]
        found = [named("a"), named("a"), named("a", "0"), named("a", "true", "1", row=1)]
        assert keeper.put(*found) == ["counted", "duplicate", "conflict", "counted"]
        assert keeper.put(named("a", "maybe")) == ["unknown_label"]
        assert keeper.put(label(1), label(2, "0")) == ["duplicate", "conflict"]
        assert keeper.confusion() == {("1", "1"): 2}


def test_an_id_that_was_used_again_names_the_prediction_that_was_served_last(place):
    with Keeper(place()) as keeper:
        keeper.put(shipment(1, "a", served_at=20), shipment(2, "a", served_at=10, predicted="0"))
        assert keeper.put(named("a")) == ["counted"]
        assert keeper.confusion() == {("1", "1"): 1}
        keeper.put(shipment(3, "a", served_at=30, predicted="0"))
        assert keeper.put(named("a")) == ["counted"]
        assert keeper.confusion() == {("1", "1"): 1, ("1", "0"): 1}


def test_a_label_may_come_before_its_shipment(place):
    with Keeper(place()) as keeper:
        assert keeper.put(label(1)) == ["counted"]
        assert keeper.put(shipment(1, "a"), named("a"), named("a", "0")) == [
            "taken",
            "duplicate",
            "conflict",
        ]


def test_closing_writes_what_is_queued(place):
    keeper = Keeper(place())
    pending = [keeper.store.submit([label(number)], {}) for number in range(100)]
    keeper.store.start()
    keeper.store.close()
    assert [future.result() for future in pending] == [["counted"]] * 100
    with pytest.raises(StoreError):
        keeper.store.submit([label(1)], {}).result()


def test_one_commit_for_all_that_waits(place):
    keeper = Keeper(place())
    pending = [keeper.store.submit([label(number)], {}) for number in range(100)]
    with keeper:
        assert [future.result() for future in pending] == [["counted"]] * 100
    assert keeper.commits == 1


def test_the_queue_is_bounded(place, monkeypatch):
    monkeypatch.setattr(jobs, "MAX_WAITING", 3)
    keeper = Keeper(place())
    pending = keeper.store.submit([label(1), label(2)], {})
    assert keeper.store.waiting == 2
    with pytest.raises(BusyError):
        keeper.store.submit([label(3), label(4)], {})
    with keeper:
        assert pending.result() == ["counted", "counted"]
        assert keeper.put(label(3), label(4), label(5)) == ["counted"] * 3
    assert keeper.store.waiting == 0


def test_a_caller_that_went_away_leaves_no_trace(place):
    keeper = Keeper(place())
    gone = keeper.store.submit([label(1)], {})
    assert gone.cancel()
    with keeper:
        assert keeper.put(label(2)) == ["counted"]
        assert keeper.confusion() == {("1", "1"): 1}


def test_a_second_ledger_waits_for_the_first(place):
    url = place()
    second = Keeper(url)
    with Keeper(url) as first:
        second.store.start()
        pending = second.store.submit([label(1)], {})
        assert first.put(label(1)) == ["counted"]
        assert not second.ready.is_set()
    assert pending.result() == ["duplicate"]
    assert second.confusion() == {("1", "1"): 1}
    second.store.close()


def test_a_waiting_ledger_can_be_stopped(place):
    url = place()
    with Keeper(url):
        second = Keeper(url)
        second.store.start()
        second.store.close()
        assert not second.ready.is_set()


def test_the_log_has_all_rows_in_the_order_of_time(place):
    with Keeper(place()) as keeper:
        numbers = [5, 1, 4, 2, 3, 7, 6, 8]
        keeper.put(*(label(number, served_at=number, at=20) for number in numbers))
        keeper.put(shipment(9, "a", served_at=9))
        found = keeper.rows()
        assert [row.served_at for row, _, _ in found] == list(range(1, 10))
        assert [cell.label for _, cell, _ in found] == ["1"] * 8 + [None]
        assert [row.lag for row, _, _ in found] == [*range(19, 11, -1), None]
        assert [row.request for row, _, _ in found] == [None] * 8 + ["a"]


def test_only_the_strata_that_served_last_are_kept_in_memory(place, monkeypatch):
    for name in ("EXPOSED_STRATA", "KEPT_STRATA"):
        monkeypatch.setattr(counts_module, name, 2)
        if hasattr(writer, name):
            monkeypatch.setattr(writer, name, 2)

    def of(number, step, served_at):
        return label(number, served_at=served_at, stratum=Stratum("x", step))

    def kept() -> dict[int, int]:
        keeper.state()  # a scrape, which forgets
        return {key.step: count for key, count in keeper.counts.labelled.items()}

    url = place()
    with Keeper(url) as keeper:
        keeper.put(*(of(step, step, 10 + step) for step in range(5)))
        assert kept() == {3: 1, 4: 1}
        keeper.put(of(10, 1, 9))
        assert kept() == {3: 1, 4: 1}
        assert not keeper.counts.is_stale
    with Keeper(url) as keeper:
        assert kept() == {3: 1, 4: 1}
        keeper.put(of(11, 1, 20))  # served again, so its older counts are wanted
        assert keeper.counts.is_stale
        assert kept() == {3: 1, 4: 1}
        keeper.store.reload()
        keeper.rows()  # comes after it
        assert kept() == {1: 3, 4: 1}
        assert not keeper.counts.is_stale


def test_a_file_that_is_no_database(tmp_path):
    path = tmp_path / "l.db"
    path.write_bytes(os.urandom(5000))
    keeper = Keeper(f"sqlite:///{path}")
    keeper.store.start()
    keeper.ended.wait()
    assert keeper.failure == f"StoreFailed: {path}: file is not a database"


def test_a_store_of_another_schema(tmp_path):
    path = tmp_path / "l.db"
    with Keeper(f"sqlite:///{path}"):
        pass
    with sqlite3.connect(path) as database:
        database.execute("UPDATE meta SET value = '5' WHERE name = 'schema'")
    database.close()
    keeper = Keeper(f"sqlite:///{path}")
    keeper.store.start()
    keeper.ended.wait()
    assert keeper.failure == f"StoreFailed: {path}: the store has schema 5, not 4"


@pytest.mark.parametrize(
    ("url", "path"), [("sqlite:////data/l.db", "/data/l.db"), ("sqlite:///l.db", "l.db")]
)
def test_store_urls(url, path):
    assert str(source_of(url, OWNER)) == path


@pytest.mark.parametrize("url", ["", "/data/l.db", "sqlite:///", "mysql://h/d"])
def test_other_store_urls_are_refused(url):
    with pytest.raises(StoreError, match="must look like sqlite"):
        source_of(url, OWNER)
