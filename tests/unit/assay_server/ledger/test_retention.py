"""How long predictions are kept one by one, and what is deleted before that on request."""

import sqlite3
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assay_server.ledger import writer
from assay_server.ledger.counts import Counts
from assay_server.ledger.entries import Rules
from assay_server.ledger.predictions import State
from assay_server.ledger.totals import Kind
from assay_server.receipts import Stratum
from tests.unit.assay_server.ledger.keeper import Keeper, killed, label, named, shipment

WINDOW = Rules(window=4)
pytestmark = pytest.mark.usefixtures("instant")


@pytest.fixture(autouse=True)
def small_steps(monkeypatch):
    monkeypatch.setattr(writer, "ROWS_PER_STEP", 3)


def rows(path) -> int:
    """Return how many rows a store that is not open holds."""
    with sqlite3.connect(path) as database:
        (count,) = database.execute("SELECT count(*) FROM predictions").fetchone()
    database.close()
    return count


served = st.builds(
    lambda number, late, name, bins: (
        label(number, name, served_at=number % 25, predicted="01"[number % 2], bins=bins),
        late,
    ),
    st.integers(0, 200),
    st.booleans(),
    st.sampled_from("01"),
    st.sampled_from([(), (1,), (2000,)]),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.lists(st.tuples(st.lists(served, max_size=10), st.integers(0, 12)), max_size=5))
def test_deleting_old_rows_changes_no_count_whenever_it_is_killed(tmp_path_factory, steps):
    """Counts kept by commits = those of the labels that were counted = those after kill -9.

    A late label is one that waited while it expired; others pass the clerk, which knows the time.
    """
    folder = tmp_path_factory.mktemp("store")
    url, clock = f"sqlite:///{folder}/l.db", SimpleNamespace(now=0)
    first = {}
    with Keeper(url, WINDOW, clock) as keeper:
        for batch, seconds in steps:
            clock.now += seconds
            sent = [
                (one, one.receipt.served_at + WINDOW.window >= clock.now)
                for one, late in batch
                if late or one.receipt.served_at + WINDOW.window >= clock.now
            ]
            statuses = keeper.put(*(one for one, _ in sent))
            for (one, new), status in zip(sent, statuses, strict=True):
                if one.key not in first and (new or status != "expired"):
                    assert status == "counted"
                    first[one.key] = one
                elif new or status != "expired":
                    same = first[one.key].label == one.label
                    assert status == ("duplicate" if same else "conflict")
            keeper.wait()
            found = keeper.state()
            with Keeper(killed(folder / "l.db", folder), WINDOW, clock) as again:
                assert again.state() == found
        clock.now += 100
        for _ in range(len(first) // 3 + 2):
            keeper.wait()
        last = label(201, served_at=int(clock.now))
        assert keeper.put(last) == ["counted"]
        assert keeper.put(*first.values()) == ["expired"] * len(first)
        assert sum(keeper.confusion().values()) == len(first) + 1
    assert rows(folder / "l.db") == 1


def test_what_is_final_stays_final_whatever_the_clock_and_the_window_say(place):
    url = place()
    clock = SimpleNamespace(now=10)
    with Keeper(url, WINDOW, clock) as keeper:
        assert keeper.put(label(1, served_at=9), label(2, served_at=10)) == ["counted"] * 2
        keeper.wait(14)
        assert keeper.put(label(3, served_at=12)) == ["counted"]
        assert len(keeper.rows()) == 2
    with Keeper(url, Rules(window=10**10), SimpleNamespace(now=5)) as keeper:
        assert keeper.put(label(1, served_at=9), label(4, served_at=9)) == ["expired"] * 2
        assert keeper.put(shipment(5, "a", served_at=9)) == ["expired"]
        assert keeper.put(label(2, served_at=10)) == ["duplicate"]
        assert keeper.confusion() == {("1", "1"): 3}


def test_a_clock_that_jumped_ahead_does_not_refuse_what_is_served_later(place):
    with Keeper(place(), WINDOW) as keeper:
        keeper.wait(10)
        assert keeper.put(label(1, served_at=10)) == ["counted"]
        keeper.wait(1e9)
        assert keeper.put(label(1, served_at=10)) == ["expired"]
        keeper.wait(12)
        assert keeper.put(label(2, served_at=11)) == ["counted"]


def test_retention_keeps_rows_beyond_the_window(place):
    with Keeper(place(), Rules(window=4, retention=50)) as keeper:
        keeper.put(label(1, served_at=0), shipment(2, "a", served_at=0))
        keeper.wait(50)
        assert len(keeper.rows()) == 2
        assert keeper.put(named("a", at=50)) == ["expired"]
        keeper.wait(51)
        assert keeper.rows() == []
        assert keeper.confusion() == {("1", "1"): 1}


def test_no_row_is_deleted_before_its_release(place, monkeypatch):
    rules = Rules(window=4, age=4, negative=True)
    url = place()
    with Keeper(url, rules) as keeper:
        keeper.put(*(shipment(number, served_at=1) for number in range(5)))
    monkeypatch.setattr(writer, "GRACE_SECONDS", 1000)
    with Keeper(url, rules, SimpleNamespace(now=500)) as keeper:
        keeper.wait()
        assert len(keeper.rows()) == 5
    monkeypatch.setattr(writer, "GRACE_SECONDS", 0)
    with Keeper(url, rules, SimpleNamespace(now=500)) as keeper:
        for number in range(3):
            keeper.put(shipment(10 + number, served_at=499))
            keeper.wait()
        assert keeper.confusion() == {("0", "1"): 5}
        assert len(keeper.rows()) == 3


def test_the_store_stops_growing(tmp_path, monkeypatch):
    """A steady stream of labels: after the first window the file keeps its size."""
    monkeypatch.setattr(writer, "ROWS_PER_STEP", 1000)
    path = tmp_path / "l.db"
    clock = SimpleNamespace(now=0)
    sizes = []
    for start in range(0, 120, 20):
        with Keeper(f"sqlite:///{path}", Rules(window=20), clock) as keeper:
            for second in range(start, start + 20):
                clock.now = second
                numbers = range(second * 300, second * 300 + 300)
                keeper.put(*(label(number, served_at=second) for number in numbers))
        sizes.append(path.stat().st_size)
    assert keeper.confusion() == {("1", "1"): 120 * 300}
    assert max(sizes[2:]) <= 1.1 * sizes[1]
    assert rows(path) < 22 * 300


def test_erasing_a_request_leaves_its_counts_and_no_trace_of_it(place):
    url = place()
    secrets = {"user": b"secret", "bins": (1234,)}
    with Keeper(url) as keeper:
        keeper.put(*(shipment(number, "who", number, **secrets) for number in range(3)))
        keeper.put(named("who"), named("who", "0", row=1), shipment(9, "other", **secrets))
        before = keeper.confusion()
        assert keeper.store.erase(["who"]).result() == 3
        assert keeper.store.erase(["who"]).result() == 0
        assert [row.request for row, _, _ in keeper.rows()] == ["other"]
        left = [row for row, _, _ in keeper.store.page((0, b""), 9).result()]
        assert [row[3:7] for row in left] == [(None, None, None, None)] * 3 + [left[3][3:7]]
        # Nothing can be counted again.
        assert keeper.put(named("who"), label(0), label(2), shipment(0, "who")) == [
            "unknown_id",
            "erased",
            "erased",
            "known",
        ]
        assert keeper.confusion() == before
        state = keeper.state()
    with Keeper(url) as keeper:
        assert keeper.state() == state
        assert keeper.confusion() == before


def test_what_is_erased_before_its_release_still_counts_then(place):
    rules = Rules(window=10**10, age=100, negative=True)
    with Keeper(place(), rules) as keeper:
        keeper.put(shipment(1, "who", user=b"secret"), shipment(2, "who", 1), named("who"))
        assert keeper.store.erase(["who"]).result() == 2
        assert keeper.put(named("who"), label(1, "0")) == ["unknown_id", "erased"]
        keeper.wait(1000)
        assert keeper.confusion() == {("1", "1"): 1, ("0", "1"): 1}
        assert not keeper.counts.buckets
        assert keeper.rows() == []
        left = [row for row, _, _ in keeper.store.page((0, b""), 9).result()]
        assert [row.state & State.ERASED for row in left] == [State.ERASED] * 2
        assert [row.bins for row in left] == [None, None]


def test_erased_text_is_not_left_in_the_file(tmp_path):
    path = tmp_path / "l.db"
    with Keeper(f"sqlite:///{path}") as keeper:
        keeper.put(*(shipment(number, f"patient-{number}") for number in range(500)))
        for number in range(500):
            assert keeper.store.erase([f"patient-{number}"]).result() == 1
    assert b"patient-" not in path.read_bytes()
    assert not path.with_name("l.db-wal").exists()


def test_users_are_counted_once_and_forgotten_with_their_predictions(place):
    def seen(number, user, served_at, step="x"):
        return shipment(number, served_at=served_at, user=user)

    url = place()
    clock = SimpleNamespace(now=0)
    with Keeper(url, WINDOW, clock) as keeper:
        keeper.put(seen(1, b"aaaaaa", 1), seen(2, b"aaaaaa", 1), seen(3, b"bbbbbb", 2))
        assert keeper.total(Kind.USERS) == 2
    with Keeper(url, WINDOW, clock) as keeper:
        keeper.put(seen(4, b"aaaaaa", 3), seen(5, b"cccccc", 3), label(6, served_at=3))
        assert keeper.total(Kind.USERS) == 3
        keeper.wait(100)
        assert keeper.put(label(7, served_at=100)) == ["counted"]
    with Keeper(url, WINDOW, clock) as keeper:
        assert keeper.total(Kind.USERS) == 3
        assert keeper.put(seen(8, b"aaaaaa", 3)) == ["expired"]


def test_users_outside_of_trials_are_not_counted(place):
    """Such strata never end; the list of their users would grow for ever."""
    with Keeper(place()) as keeper:
        for number, rollout in enumerate(("none", "idle", "x")):
            keeper.put(shipment(number, user=b"aaaaaa", stratum=Stratum(rollout, 0)))
        assert keeper.total(Kind.USERS) == 1


def test_the_exposed_counts_do_not_notice(place):
    with Keeper(place(), WINDOW) as keeper:
        keeper.put(label(1, served_at=1, user=b"aaaaaa", probability=0.5))
        before = keeper.state()
        keeper.wait(50)
        assert keeper.rows() == []
        assert keeper.state() == before
        assert isinstance(keeper.counts, Counts)
