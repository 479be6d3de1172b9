"""Stores for the tests of the ledger: a SQLite file, and a schema of a real PostgreSQL server."""

import itertools
import json
import time
from collections.abc import Callable, Iterator

import pytest

from assay_server.keys import KeyRing
from assay_server.ledger import writer
from assay_server.receipts import Issuer, Stratum
from tests.unit.assay_server.ledger.messages import WEST
from tests.unit.assay_server.ledger.postgres_cluster import Cluster, cluster


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """A PostgreSQL server of our own."""
    with cluster() as server:
        yield server


_numbers = itertools.count()


@pytest.fixture(params=["sqlite", "postgres"])
def place(request, tmp_path_factory) -> Callable[[], str]:
    """Return the URL of a new store whenever it is called, of each kind in turn."""
    if request.param == "sqlite":
        return lambda: f"sqlite:///{tmp_path_factory.mktemp('store')}/l.db"
    server = request.getfixturevalue("postgres")
    database = server.create(f"test{next(_numbers)}")
    return lambda: f"{database}&schema=ledger{next(_numbers)}"


@pytest.fixture
def instant(monkeypatch) -> None:
    """Whatever the store does now and then it does at every step."""
    monkeypatch.setattr(writer, "TICK_SECONDS", 0.0)
    monkeypatch.setattr(writer, "GRACE_SECONDS", 0)


@pytest.fixture(scope="module")
def sign(secret):
    """Make receipts as a server would: sign(count, **what differs) -> tokens."""

    def sign(count=1, *, predicted=1, age=0, key=secret, classes=("0", "1"), bins=700, **origin):
        names = {"namespace": "ml", "deployment": "fraud", "member": "east", "revision": "r1"}
        issuer = Issuer(KeyRing({"k1": key}, "k1"), classes=classes, **{**names, **origin})
        now = int(time.time()) - age
        all_bins = [bins] * count if bins is not None else None
        return issuer.issue(Stratum("x", 2), [predicted] * count, all_bins, now)

    return sign


@pytest.fixture
def ledger(start, ledger_arguments, tmp_path):
    """Run the ledger of the member east, which knows where west's is."""
    members = json.dumps({"east": None, "west": WEST})
    with start(*ledger_arguments(tmp_path / "l.db", "--members", members)) as process:
        yield process
