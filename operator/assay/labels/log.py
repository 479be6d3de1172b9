"""The labelled log of a ledger as a file: what was predicted, what was true, when."""

from pathlib import Path

import pyarrow as pa

from assay.labels.client import Ledger
from assay.labels.table import write_log

_TIME = pa.timestamp("ms", tz="UTC")
SCHEMA = pa.schema(
    {
        "served_at": _TIME,
        "receipt": pa.string(),
        "id": pa.string(),
        "row": pa.int32(),
        "revision": pa.string(),
        "rollout": pa.string(),
        "step": pa.int32(),
        "predicted": pa.string(),
        "score": pa.float64(),
        "scores": pa.string(),
        "bucket": pa.int16(),
        "label": pa.string(),
        "labelled_at": _TIME,
        "probability": pa.float64(),
        "counted": pa.bool_(),
        "shipped": pa.string(),
        "later_label": pa.string(),
        "later_at": _TIME,
    }
)
"""Columns of the log (model-server/README.md). Without types a class ``01`` would become the number 1."""


def save(ledger: Ledger, path: Path) -> int:
    """Write the log of `ledger` to `path` (.parquet or .csv); return its rows.

    Raises `LedgerError` and `TableError`; nothing is left behind then.
    """
    return write_log(ledger.log(), path, SCHEMA)
