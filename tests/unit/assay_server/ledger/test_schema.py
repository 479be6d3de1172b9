"""Stores of older versions: taken over with every count, and every label still counted once.

The files in `stores` were written by the code of these versions (see `write_old_store.py` there).
"""

import sqlite3
from pathlib import Path

import pytest

from assay_server.ledger.bins import base_and_sub, fine_from_base
from assay_server.ledger.entries import Rules
from tests.unit.assay_server.ledger.keeper import Keeper, label, shipment

STORES = Path(__file__).parent / "stores"
SERVED_AT = 1_800_000_000


@pytest.fixture(params=[1, 2, 3])
def old(request, tmp_path) -> tuple[str, int]:
    """Return the URL of a store of an older version, and the version."""
    path = tmp_path / "l.db"
    with sqlite3.connect(path) as database:
        database.executescript((STORES / f"schema-{request.param}.sql").read_text())
    database.close()
    return f"sqlite:///{path}", request.param


def test_a_store_of_an_older_schema_is_taken_over(old):
    url, version = old
    for _ in range(2):
        with Keeper(url) as keeper:
            assert keeper.store_id == "abc"
            assert keeper.results == {"counted": 8, "duplicate": 1, "forged": 3}
            found = {(*key[0], *key[1:]): count for key, count in keeper.counts.outcomes.items()}
            assert found == {
                ("r1", "x", 0, "1", "1"): 4,
                ("r1", "x", 0, "1", "0"): 1,
                ("r1", "x", 0, "0", "1"): 1,
                ("r1", "x", 0, "cat", "bee"): 1,
                ("r2", "x", 3, "1", "1"): 1,
            }
            assert keeper.counts.positive == (SERVED_AT + 8, "1")
            assert keeper.counts.newest[("r1", "x", 0)] == SERVED_AT + 7
            scores = {
                (key.stratum.step, key.label, *base_sub): count
                for key, found in keeper.counts.scores.items()
                for base_sub, count in (
                    ((key.base, sub), rows) for sub, rows in found.parts.items()
                )
            }
            assert scores == {
                (step, name, *base_and_sub(fine_from_base(place) if version < 3 else place)): rows
                for step, name, place, rows in (
                    (0, "1", 5, 2),
                    (0, "1", 0, 1),
                    (0, "0", 512, 1),
                    (0, "1", 1023, 1),
                    (3, "1", 700, 1),
                )
            }


def test_its_labels_do_not_count_again(old):
    url, _ = old
    with Keeper(url) as keeper:
        again = [label(number, served_at=SERVED_AT + number) for number in range(1, 7)]
        statuses = ["duplicate"] * 4 + ["conflict", "duplicate"]
        assert keeper.put(*again) == statuses
        assert keeper.put(label(9, served_at=SERVED_AT + 9)) == ["counted"]
        assert keeper.counts.labelled.total() == 9


def test_its_labels_are_final_where_labels_have_an_age(old, instant):
    url, _ = old
    rules = Rules(window=10**10, age=100, negative=True)
    with Keeper(url, rules) as keeper:
        sent = [
            label(1, served_at=SERVED_AT + 1),
            label(2, "0", served_at=SERVED_AT + 2),
            shipment(3, "a", served_at=SERVED_AT + 3),
            shipment(9, "b", served_at=SERVED_AT + 9),
        ]
        assert keeper.put(*sent) == ["duplicate", "corrected", "taken", "taken"]
        keeper.wait(SERVED_AT + 1000)
        assert keeper.counts.labelled.total() == 9
        assert keeper.confusion()["0", "1"] == 2


def test_labels_of_unknown_lag_are_in_the_log(old):
    url, _ = old
    with Keeper(url) as keeper:
        assert [row.lag for row, _, _ in keeper.rows()] == [-1] * 8
        assert [cell.label for _, cell, _ in keeper.rows()] == [*"111101", "cat", "1"]
