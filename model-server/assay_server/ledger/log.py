"""The labelled log: what the ledger knows of each prediction, as CSV, a page at a time.

Facts and no interpretation: what was predicted and scored, which label stands, whether it is in the
evidence, and which label came after release. Who only reads counts gets the same from the metrics.
"""

import csv
import io
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from assay_server.ledger.bins import score_of
from assay_server.ledger.jobs import Exported
from assay_server.ledger.predictions import Cell, Row, State, unpacked
from assay_server.receipts import bucket_of

PAGE_ROWS = 5000
COLUMNS = (
    *("served_at", "receipt", "id", "row", "revision", "rollout", "step", "predicted"),
    *("score", "scores", "bucket", "label", "labelled_at", "probability", "counted", "shipped"),
    *("later_label", "later_at"),
)


def csv_of(found: Sequence[Exported]) -> bytes:
    """Return a page of the log with its header; rows that were erased are left out."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(COLUMNS)
    lines.writerows(_line(*one) for one in found if not one[0].state & State.ERASED)
    return text.getvalue().encode()


def _line(row: Row, cell: Cell, later: Cell | None) -> tuple[object, ...]:
    score, scores = _scores(row, cell)
    return (
        _time(row.served_at),
        row.receipt.hex(),
        row.request,
        row.request_row,
        cell.revision,
        cell.rollout,
        cell.step,
        cell.predicted,
        score,
        scores,
        None if row.user is None else bucket_of(row.user),
        cell.label,
        None if row.lag is None else _time(row.served_at + row.lag),
        row.probability,
        "true" if row.state & State.COUNTED else "false",
        _shipped(row.state),
        None if later is None else later.label,
        None if row.later_lag is None else _time(row.served_at + row.later_lag),
    )


def _scores(row: Row, cell: Cell) -> tuple[float | None, str | None]:
    """Return the score of the positive class, or those of all classes as a JSON object."""
    scores = [score_of(place) for place in unpacked(row.bins)]
    if cell.positive is not None:
        return (scores[0] if scores else None), None
    if not scores or cell.classes is None:
        return None, None
    return None, msgspec.json.encode(dict(zip(cell.classes, scores, strict=False))).decode()


def _shipped(state: int) -> str:
    if state & State.SHIPPED:
        return "yes"
    return "late" if state & State.SHIPPED_LATE else "no"


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
