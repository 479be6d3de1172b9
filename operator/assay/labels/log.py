"""The labelled log of a ledger as a file: what was predicted, what was true, when."""

from pathlib import Path

import pyarrow as pa

from assay.labels.client import Ledger
from assay.labels.table import write_log

_TEXT = (
    "receipt", "id", "revision", "rollout", "predicted", "label", "status", "score_bins",
)  # fmt: skip

TYPES = {
    **dict.fromkeys(_TEXT, pa.string()),
    "row": pa.int32(),
    "served_at": pa.timestamp("ms", tz="UTC"),
    "labelled_at": pa.timestamp("ms", tz="UTC"),
    "step": pa.int16(),
    "score_bin": pa.int32(),
    "bucket": pa.int16(),
    "probability": pa.float64(),
}
"""Columns of the log. Without a type a class of ``01`` would become the number 1."""


def save(ledger: Ledger, path: Path) -> int:
    """Write the log of `ledger` to `path` (.parquet or .csv); return its rows.

    Raises `LedgerError` and `TableError`; nothing is left behind then.
    """
    with ledger.log() as answer:
        answer.raw.decode_content = True
        return write_log(answer.raw, path, TYPES)
