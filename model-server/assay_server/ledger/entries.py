"""What comes to the ledger to be written down, and what becomes of it."""

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from assay_server.ledger.predictions import Key
from assay_server.receipts import Receipt

# Ids are stored with their predictions. What is longer, or would not print, is stored as a digest.
MAX_ID_BYTES = 128

# The client's own id of a request, and the row in it.
Name = tuple[str, int]


class Status(StrEnum):
    """What became of one submitted label."""

    COUNTED = "counted"
    REPLACED = "replaced"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    LATE = "late"
    CORRECTED = "corrected"
    UNKNOWN_ID = "unknown_id"
    MALFORMED = "malformed"
    WRONG_DEPLOYMENT = "wrong_deployment"
    FORGED = "forged"
    WRONG_MEMBER = "wrong_member"
    EXPIRED = "expired"
    ERASED = "erased"
    UNKNOWN_LABEL = "unknown_label"


class Arrival(StrEnum):
    """What became of one prediction that a server told of."""

    TAKEN = "taken"
    KNOWN = "known"
    EXPIRED = "expired"
    MALFORMED = "malformed"
    WRONG_DEPLOYMENT = "wrong_deployment"
    FORGED = "forged"
    WRONG_MEMBER = "wrong_member"


Result = Status | Arrival


def result_name(result: Result) -> str:
    """Return the name under which results of this kind are counted in the store."""
    return f"served/{result}" if isinstance(result, Arrival) else str(result)


@dataclass(frozen=True, slots=True)
class Rules:
    """How a ledger counts.

    Attributes
    ----------
    window
        Seconds that a receipt is valid.
    age
        Seconds after its prediction at which a label becomes evidence; 0: when it comes.
    negative
        Whether a prediction without a label at that age counts as the negative class.
    retention
        Seconds that predictions are kept one by one; at least `window`.
    classes
        The class names if the operator gave them; else each receipt brings its model's own.
    """

    window: int
    age: int = 0
    negative: bool = False
    retention: int = 0
    classes: tuple[str, ...] | None = None

    @property
    def at_once(self) -> bool:
        """Whether a label counts when it comes."""
        return self.age == 0

    @property
    def kept(self) -> int:
        """Seconds after which a row may go."""
        return max(self.window, self.retention)


class Label(NamedTuple):
    """A label with the receipt of its prediction; `at` is when it came (Unix seconds)."""

    receipt: Receipt
    label: str
    at: int
    probability: float | None = None

    @property
    def key(self) -> Key:
        """The prediction's."""
        return self.receipt.served_at, self.receipt.identity


class NamedLabel(NamedTuple):
    """A label with the client's own id of its request; `spellings` are the names it may mean."""

    name: Name
    spellings: tuple[str, ...]
    at: int
    probability: float | None = None


class Shipment(NamedTuple):
    """A prediction that a server tells of, with the client's own id of its request."""

    receipt: Receipt
    name: Name | None

    @property
    def key(self) -> Key:
        """The prediction's."""
        return self.receipt.served_at, self.receipt.identity


Entry = Label | NamedLabel | Shipment


def stored_id(request: str) -> str:
    """Return a client's request id as it is stored and found: bounded, and text for any store."""
    data = request.encode("utf-8", "surrogatepass")
    if len(data) <= MAX_ID_BYTES and request.isprintable():
        return request
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
