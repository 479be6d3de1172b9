"""Labels of a table to the ledgers that know the predictions they belong to."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from assay.labels.client import Ledger
from assay.labels.table import Line

BATCH = 500
NO_LABEL = "no_label"
TAKEN = frozenset({"counted", "replaced", "duplicate", "late", "corrected", NO_LABEL})
"""What may become of a label without anybody having to send it again."""

_ELSEWHERE = frozenset({"wrong_member", "unknown_id"})


@dataclass
class Tally:
    """What became of the labels.

    Attributes
    ----------
    statuses
        How many labels ended with each status.
    rejects
        Those that somebody should look at: line, status, why.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    rejects: list[tuple[Line, str, str]] = field(default_factory=list)

    def note(self, line: Line, status: str, why: str) -> None:
        """Count one label."""
        self.statuses[status] += 1
        if status not in TAKEN:
            self.rejects.append((line, status, why))


def push(
    lines: Iterable[Line],
    ledgers: Sequence[Ledger],
    tally: Tally,
    advance: Callable[[int], None] = lambda _: None,
) -> None:
    """Send all labels, a batch at a time; a label that one ledger does not know goes to the next.

    `tally` holds what became of them also when it ends early: a batch is noted when its last ledger
    has answered. `advance` is called with the number of lines of each batch.

    Raises
    ------
    LedgerError
        A ledger cannot be reached or refuses. Starting again is safe.
    """
    for batch in _batched(lines):
        pending = [line for line in batch if "label" in line.entry]
        tally.statuses[NO_LABEL] += len(batch) - len(pending)
        for place, ledger in enumerate(ledgers):
            if not pending:
                break
            last = place == len(ledgers) - 1
            results = ledger.send(pending)
            left = []
            for line, result in zip(pending, results, strict=True):
                status = str(result.get("status"))
                if status in _ELSEWHERE and not last:
                    left.append(line)
                else:
                    tally.note(
                        line, status, str(result.get("message") or result.get("error") or "")
                    )
            pending = left
        advance(len(batch))


def _batched(lines: Iterable[Line]) -> Iterable[tuple[Line, ...]]:
    rest = iter(lines)
    while batch := tuple(itertools.islice(rest, BATCH)):
        yield batch
