"""A store with the counts that the ledger would keep beside it, and what can be written to it."""

import shutil
import threading
from collections import Counter
from types import SimpleNamespace

from assay_server.ledger.counts import Counts
from assay_server.ledger.entries import Label, NamedLabel, Rules, Shipment
from assay_server.ledger.metrics import Exposition
from assay_server.ledger.predictions import NO_KEY, State
from assay_server.ledger.store import Store, source_of
from assay_server.ledger.totals import Kind
from assay_server.receipts import Receipt, Stratum

OWNER = "ml/fraud@east"
FOR_EVER = Rules(window=10**10)
STRATUM = Stratum("x", 0)


class Keeper:
    """A store in a `with` block."""

    def __init__(self, url: str, rules: Rules = FOR_EVER, clock=None) -> None:
        self.counts = Counts()
        self.results = Counter()
        self.pending = 0
        self.commits = 0
        self.store_id = ""
        self.failure = ""
        self.ready = threading.Event()
        self.ended = threading.Event()
        self.clock = clock or SimpleNamespace(now=0.0)
        self.store = Store(
            source_of(url, OWNER),
            rules,
            on_rebuilt=self.rebuilt,
            on_committed=self.committed,
            on_failed=self.failed,
            clock=lambda: self.clock.now,
        )

    def rebuilt(self, rebuilt):
        self.counts = Counts(rebuilt.left_out)
        self.counts.learn(rebuilt.cells)
        self.counts.add(rebuilt.totals)
        self.results = Counter(rebuilt.results)
        self.pending = rebuilt.pending
        self.store_id = rebuilt.store
        self.ready.set()

    def committed(self, committed):
        self.counts.learn(committed.cells)
        self.counts.add(committed.totals)
        self.results.update(committed.results)
        self.pending = committed.pending
        self.commits += 1

    def failed(self, message):
        self.failure = message
        self.ended.set()

    def __enter__(self):
        self.store.start()
        self.ready.wait()
        return self

    def __exit__(self, *_):
        self.store.close()

    def put(self, *entries, **refusals) -> list[str]:
        """Write entries down; return what became of each."""
        return self.store.submit(entries, refusals).result()

    def wait(self, now: float | None = None) -> None:
        """Let time pass; return when what is due then is released (needs `instant`)."""
        if now is not None:
            self.clock.now = now
        for _ in range(2):  # what the first one leaves to be done is done before the second
            self.put()

    def confusion(self) -> dict[tuple[str, str], int]:
        """Return labelled predictions by label and predicted class, over all strata."""
        found = Counter()
        for (_, label, predicted), count in self.counts.outcomes.items():
            found[label, predicted] += count
        return dict(found)

    def total(self, kind: Kind) -> int:
        return self.counts.strata[kind].total() if kind in self.counts.strata else 0

    def state(self) -> tuple:
        """Return all that a rebuild must give again."""
        text = Exposition("fraud").text(
            self.counts, self.store_id, {}, {"pending": 0, "waiting": 0}
        )
        return sorted(text.splitlines()), +self.results, self.pending

    def rows(self) -> list:
        """Return all rows of the log: (row, cell, cell of the later label)."""
        found: list = []
        while page := self.store.page(found[-1][0].key if found else NO_KEY, 3).result():
            found += page
        return [one for one in found if not one[0].state & State.ERASED]


def receipt(
    number: int,
    served_at: int = 9,
    predicted: str = "1",
    bins: tuple[int, ...] = (5,),
    user: bytes | None = None,
    classes: tuple[str, ...] = ("0", "1"),
    stratum: Stratum = STRATUM,
    revision: str = "r1",
) -> Receipt:
    identity = number.to_bytes(16, "big")
    member = b"east"
    return Receipt(identity, member, revision, stratum, served_at, predicted, classes, bins, user)


def label(number: int, label: str = "1", *, at=9, probability=None, **rest) -> Label:
    return Label(receipt(number, **rest), label, at, probability)


def named(request: str, *labels: str, row: int = 0, at=9, probability=None) -> NamedLabel:
    return NamedLabel((request, row), labels or ("1",), at, probability)


def shipment(number: int, request: str | None = None, row: int = 0, **rest) -> Shipment:
    return Shipment(receipt(number, **rest), None if request is None else (request, row))


def killed(path, folder):
    """Return the URL of what a ledger finds that starts after kill -9 now: the files as they are."""
    copy = folder / f"killed-{len(list(folder.iterdir()))}" / path.name
    copy.parent.mkdir()
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", f"{copy}{suffix}")
    return f"sqlite:///{copy}"
