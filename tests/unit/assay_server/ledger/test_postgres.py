"""PostgreSQL as a store: whose tables they are, and what happens when the server goes away."""

import threading
from contextlib import contextmanager

import pytest

from assay_server.ledger import writer
from assay_server.ledger.database import DatabaseError, StoreError
from assay_server.ledger.postgres import PostgresSource, schema_name
from tests.unit.assay_server.ledger.keeper import OWNER, Keeper, label, shipment


@pytest.fixture
def url(postgres, request) -> str:
    name = f"d{abs(hash(request.node.name)) % 10**9}"
    return postgres.create(name)


@contextmanager
def stopped(server, mode):
    """Have no server for a `with` block."""
    server.stop(mode)
    try:
        yield
    finally:
        server.start()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://host/", "must look like"),
        ("postgresql://host/database", "must look like"),
        ("postgresql://user@/database", "must look like"),
        ("postgresql://user:secret@host:port/database", "cannot be read"),
        ("postgresql://user:secret@host/database?sslmode=prefer", "must be one of verify-full"),
        ("postgresql://user:secret@host/database?password=x", "unknown option 'password'"),
        ("postgresql://user:secret@host/database?sslrootcert=/none", "sslrootcert cannot be read"),
    ],
)
def test_urls_that_are_refused_are_not_shown(url, message):
    with pytest.raises(StoreError, match=message) as caught:
        PostgresSource(url, OWNER)
    assert "secret" not in str(caught.value)


def test_names_say_where_without_a_password():
    source = PostgresSource("postgresql://me:secret@db.example:6000/labels", OWNER)
    assert str(source) == f"postgresql://db.example:6000/labels schema {schema_name(OWNER)}"


def test_each_ledger_has_a_schema_of_its_own():
    names = {schema_name(f"ml/fraud@{member}") for member in ("east", "west", "EAST", "e-ast")}
    assert len(names) == 4
    assert schema_name("ml/fraud@east").startswith("assay_ml_fraud_east_")
    assert all(len(schema_name("n" * 63 + end)) <= 63 for end in "ab")


def test_ledgers_share_a_database(url):
    with Keeper(url) as east, Keeper(f"{url}&schema=west") as west:
        assert east.put(label(1)) == ["counted"]
        assert west.put(label(1)) == ["counted"]
        assert east.store_id != west.store_id


def test_whoever_lost_the_tables_writes_nothing_more(url):
    """As where a pooler lends one session to two ledgers, so that the lock keeps nobody out."""
    first = PostgresSource(url, OWNER).connect()
    first.load()
    first._connection.run("SELECT pg_advisory_unlock_all()")
    second = PostgresSource(url, OWNER).connect()
    second.begin()
    second.commit()
    with pytest.raises(DatabaseError, match="taken the store over"):
        first.begin()
    first.close()
    second.close()


def test_a_password_that_is_wrong_ends_the_process(postgres, url):
    postgres.ask("postgres", "CREATE ROLE nobody")  # may not log in
    keeper = Keeper(url.replace("assay@", "nobody:secret@"))
    keeper.store.start()
    keeper.ended.wait()
    assert keeper.failure.startswith("StoreFailed: postgresql://")
    assert "secret" not in keeper.failure


def test_a_store_of_another_schema(postgres, url):
    with Keeper(f"{url}&schema=own"):
        pass
    database = url.partition("@/")[2].partition("?")[0]
    postgres.ask(database, "UPDATE own.meta SET value = '5' WHERE name = 'schema'")
    keeper = Keeper(f"{url}&schema=own")
    keeper.store.start()
    keeper.ended.wait()
    assert keeper.failure.endswith("the store has schema 5, not 4")


def test_a_server_that_crashes_loses_nothing_and_labels_are_refused_meanwhile(
    postgres, url, monkeypatch
):
    monkeypatch.setattr(writer, "RETRY_SECONDS", 0.0)
    with Keeper(url) as keeper:
        assert keeper.put(label(1), shipment(2, "a")) == ["counted", "taken"]
        with stopped(postgres, "immediate"):
            for number in (3, 4):
                with pytest.raises(StoreError, match="could not be stored; send them again"):
                    keeper.put(label(number))
            keeper.ready = threading.Event()
        keeper.ready.wait()
        assert keeper.put(label(1), label(3), label(4)) == ["duplicate", "counted", "counted"]
        assert keeper.confusion() == {("1", "1"): 3}


def test_a_ledger_waits_for_a_server_that_is_not_there_yet(postgres, url):
    keeper = Keeper(url)
    with stopped(postgres, "fast"):
        keeper.store.start()
        pending = keeper.store.submit([label(1)], {})
    assert pending.result() == ["counted"]
    keeper.store.close()


def test_a_session_that_is_ended_from_outside_is_replaced(postgres, url, monkeypatch):
    monkeypatch.setattr(writer, "RETRY_SECONDS", 0.0)
    with Keeper(url) as keeper:
        keeper.put(label(1))
        end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'assay-ledger'"
        postgres.ask("postgres", end)
        refused = 0
        while True:
            try:
                status = keeper.put(label(1), label(2))
                break
            except StoreError:
                refused += 1
        assert status == ["duplicate", "counted"]
        assert refused >= 1
        assert keeper.confusion() == {("1", "1"): 2}


def test_commits_reach_the_disk_also_where_the_server_is_told_not_to_wait(postgres, url):
    database = url.partition("@/")[2].partition("?")[0]
    postgres.ask("postgres", f"ALTER DATABASE {database} SET synchronous_commit = off")
    source = PostgresSource(url, OWNER).connect()
    source.begin()
    assert source._connection.run("SHOW synchronous_commit") == [["on"]]
    source.commit()
    source.close()
