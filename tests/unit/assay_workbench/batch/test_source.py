"""Batches are cut where shards end, whatever their sizes."""

import numpy as np
import pyarrow as pa
import pytest

from assay_workbench.batch.run import cut
from assay_workbench.batch.source import Shard, shards_of, share_of
from assay_workbench.dataset import Batch, Table


def batches(sizes, first=1):
    for size in sizes:
        yield Batch(first, pa.record_batch({"x": np.arange(first, first + size)}))
        first += size


@pytest.mark.parametrize("sizes", [[10], [1] * 10, [3, 4, 3], [5, 5], [2, 8]], ids=str)
@pytest.mark.parametrize("rows", [1, 3, 4, 5, 10, 99])
@pytest.mark.parametrize("gone", [(), (0,), (1, 2)], ids=str)
def test_every_wanted_row_comes_once_and_in_its_shard(sizes, rows, gone):
    whole = [
        Shard(number, None, first, min(rows, 11 - first), 0)
        for number, first in enumerate(range(1, 11, rows))
    ]
    wanted = [shard for shard in whole if shard.number not in gone]
    found = {}
    for shard, batch in cut(batches(sizes), wanted):
        values = batch.columns.column("x").to_pylist()
        assert values[0] == batch.first
        found.setdefault(shard.number, []).extend(values)
    assert found == {
        shard.number: list(range(shard.first, shard.end)) for shard in wanted if shard.rows
    }


@pytest.mark.parametrize("count", [1, 2, 3, 7, 20])
def test_shares_are_all_and_even(count):
    shards = list(range(11))
    shares = [share_of(shards, index, count) for index in range(count)]
    assert [shard for share in shares for shard in share] == shards
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_row_groups_are_passed_over(tmp_path):
    import pyarrow.parquet

    path = tmp_path / "rows.parquet"
    pyarrow.parquet.write_table(pa.table({"x": np.arange(1, 101)}), path, row_group_size=30)
    table = Table.of(path)
    first, *rest = table.batches(["x"], skip=65)
    assert first.first == 61
    assert [
        value for batch in (first, *rest) for value in batch.columns.column("x").to_pylist()
    ] == list(range(61, 101))
    assert [(each.first, each.rows, each.before) for each in shards_of([table, table], 70)] == [
        (1, 70, 0), (71, 30, 70), (1, 70, 100), (71, 30, 170),
    ]  # fmt: skip
