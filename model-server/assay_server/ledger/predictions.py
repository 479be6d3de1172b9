"""What the ledger knows of one prediction, and the cells in which predictions count alike."""

import struct
from collections.abc import Sequence
from typing import NamedTuple

from assay_server.receipts import Receipt

# When it was served (Unix seconds) and the identity of its receipt: the order of all rows.
Key = tuple[int, bytes]
# Comes before the key of every prediction.
NO_KEY: Key = (-1, b"")
_SEPARATOR = "\x1f"
# By how many bins there are: receipts have room for up to 63.
_BINS = [struct.Struct(f">{count}H") for count in range(64)]


class StratumKey(NamedTuple):
    """A revision under one step of a rollout."""

    revision: str
    rollout: str
    step: int


class Cell(NamedTuple):
    """Predictions that count alike; parts that do not matter are None.

    A row's cell has all of it, with the label once there is one. Scores count by cells without the
    predicted class, what concerns a whole stratum by cells that only name it.

    Attributes
    ----------
    classes
        Of the model, in a binary one the positive class last; None if the receipt had no room.
    positive
        The positive class of a binary model. Cells of older stores know it without the classes.
    """

    revision: str
    rollout: str
    step: int
    predicted: str | None = None
    label: str | None = None
    classes: tuple[str, ...] | None = None
    positive: str | None = None

    @property
    def stratum(self) -> StratumKey:
        """Where it counts."""
        return StratumKey(self.revision, self.rollout, self.step)

    @property
    def negative(self) -> str | None:
        """The class that is not positive, in a binary model."""
        return self.classes[0] if self.positive is not None and self.classes else None


def cell_of(receipt: Receipt, label: str | None = None) -> Cell:
    """Return the cell of a prediction."""
    classes = receipt.classes
    return Cell(
        receipt.revision,
        receipt.stratum.rollout,
        receipt.stratum.step,
        receipt.predicted,
        label,
        classes,
        classes[1] if classes is not None and len(classes) == 2 else None,
    )


class State:
    """What has happened to a prediction: plain numbers to be added up, in the writer's inmost loop.

    Attributes
    ----------
    SHIPPED
        Its server told of it before its evidence was released.
    SHIPPED_LATE
        Its server told of it afterwards.
    COUNTED
        It is in the totals, with the label of its cell.
    ERASED
        Who asked for it, and what for, was deleted on request.
    """

    SHIPPED = 1
    SHIPPED_LATE = 2
    COUNTED = 4
    ERASED = 8


class Row(NamedTuple):
    """A prediction as it is stored; the fields are the columns of the table `predictions`.

    Attributes
    ----------
    cell
        Number of its cell.
    bins
        Fine bins of the scores, two bytes each; None without scores.
    user
        The user's tag, if the request named a user.
    request, request_row
        The client's own id of the request and the row in it, if servers told.
    state
        Of `State`.
    lag
        Seconds from the prediction to the label that stands; None without a label, also where a
        missing one was taken for the negative class.
    probability
        The chance that it was chosen for labelling, if the labeller said so.
    later, later_lag
        Number of the cell, and the lag, of the last label that came after release.
    """

    served_at: int
    receipt: bytes
    cell: int
    bins: bytes | None = None
    user: bytes | None = None
    request: str | None = None
    request_row: int | None = None
    state: int = 0
    lag: int | None = None
    probability: float | None = None
    later: int | None = None
    later_lag: int | None = None

    @property
    def key(self) -> Key:
        """What it is found by."""
        return self[:2]

    def labelled(self, cell: int, state: int, lag: int, probability: float | None) -> "Row":
        """Return the row with a label. Written out: `_replace` takes four times as long."""
        return Row(
            self.served_at,
            self.receipt,
            cell,
            self.bins,
            self.user,
            self.request,
            self.request_row,
            state,
            lag,
            probability,
            self.later,
            self.later_lag,
        )


def packed(bins: Sequence[int]) -> bytes | None:
    """Return fine bins as they are stored."""
    return _BINS[len(bins)].pack(*bins) if bins else None


def unpacked(bins: bytes | None) -> tuple[int, ...]:
    """Return stored fine bins."""
    return () if bins is None else _BINS[len(bins) // 2].unpack(bins)


def joined(classes: tuple[str, ...] | None) -> str | None:
    """Return class names as they are stored."""
    return None if classes is None else _SEPARATOR.join(classes)


def classes_of(text: str | None) -> tuple[str, ...] | None:
    """Return stored class names."""
    return None if text is None else tuple(text.split(_SEPARATOR))


def mark_of(key: Key) -> str:
    """Return a key as the text of a mark."""
    return f"{key[0]}:{key[1].hex()}"


def key_of(mark: str | None) -> Key:
    """Return the key in a mark; without a mark, what comes before all keys. Raises ValueError."""
    if mark is None:
        return NO_KEY
    served_at, _, receipt = mark.partition(":")
    key = int(served_at), bytes.fromhex(receipt)
    # No receipt holds another time, and beyond 64 bits no store takes it.
    if not NO_KEY[0] <= key[0] < 2**32:
        raise ValueError("there is no such time in receipts")
    return key
