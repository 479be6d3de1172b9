"""Feedback: the body of a label request, what each label in it amounts to, and the answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from assay_server.ledger.counts import Cell
from assay_server.receipts import Receipt, ReceiptError, Verifier, member_tag

MAX_LABELS = 10_000
_SHOWN_CHARACTERS = 24
_SHOWN_CLASSES = 20


class Status(StrEnum):
    """What became of one submitted label."""

    COUNTED = "counted"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    MALFORMED = "malformed"
    WRONG_DEPLOYMENT = "wrong_deployment"
    FORGED = "forged"
    WRONG_MEMBER = "wrong_member"
    EXPIRED = "expired"
    UNKNOWN_LABEL = "unknown_label"


MESSAGES = {
    Status.DUPLICATE: "this label was counted before",
    Status.CONFLICT: "another label was counted for this prediction; the first stays",
    Status.EXPIRED: "labels of predictions this old are final",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A label that may be counted: the identity of its receipt and where it counts."""

    identity: bytes
    cell: Cell
    served_at: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """A label that is not counted, and why."""

    status: Status
    message: str
    address: str | None = None


class FeedbackError(Exception):
    """A body that is not a label request; `status` is the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class _Body(msgspec.Struct):
    labels: list[Any]


_decoder = msgspec.json.Decoder(_Body)


def parse(body: bytes) -> list[Any]:
    """Return the entries of a label request, not looked at yet. Raises FeedbackError."""
    try:
        labels = _decoder.decode(body).labels
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FeedbackError(400, f"the body is not a label request: {error}") from None
    if len(labels) > MAX_LABELS:
        raise FeedbackError(413, f"labels: at most {MAX_LABELS} in one request, got {len(labels)}")
    return labels


class Clerk:
    """Decides which labels may be counted in this member.

    Parameters
    ----------
    classes
        The class names if the operator gave them; else each receipt brings its model's own.
    members
        Where labels for each other member go; None for a member without a known address.
    window
        Seconds that a receipt is valid.
    """

    def __init__(
        self,
        verifier: Verifier,
        *,
        member: str,
        classes: Sequence[str] | None,
        members: Mapping[str, str | None],
        window: int,
    ) -> None:
        self._verifier = verifier
        self._member = member_tag(member)
        self._classes = tuple(classes) if classes else None
        self._members = {member_tag(name): (name, address) for name, address in members.items()}
        self.window = window

    def examine(self, item: object, now: float) -> Entry | Refusal:
        """Return what an entry of the request amounts to at the time `now` (Unix seconds)."""
        if not isinstance(item, dict) or not isinstance(item.get("receipt"), str):
            return Refusal(Status.MALFORMED, 'an entry is {"receipt": string, "label": string}')
        try:
            receipt = self._verifier.verify(item["receipt"])
        except ReceiptError as error:
            return Refusal(Status(error.status), error.message)
        if receipt.member != self._member:
            return self._elsewhere(receipt)
        if receipt.served_at + self.window < now:
            return Refusal(Status.EXPIRED, f"the receipt is older than {self.window} seconds")
        return self._label(receipt, item.get("label"))

    def _elsewhere(self, receipt: Receipt) -> Refusal:
        name, address = self._members.get(receipt.member, (None, None))
        served = "another member" if name is None else f"member {name}"
        where = f"; send it to {address}" if address else ""
        return Refusal(
            Status.WRONG_MEMBER, f"the prediction was served by {served}{where}", address
        )

    def _label(self, receipt: Receipt, label: object) -> Entry | Refusal:
        classes = self._classes or receipt.classes
        names = spellings(label)
        if not names:
            return Refusal(Status.MALFORMED, "label must be a string, a number or a boolean")
        if classes is None:
            message = "this model has too many classes for a receipt; set ASSAY_CLASSES here"
            return Refusal(Status.UNKNOWN_LABEL, message)
        known = next((name for name in names if name in classes), None)
        if known is None:
            more = ", ..." if len(classes) > _SHOWN_CLASSES else ""
            shown = ", ".join(classes[:_SHOWN_CLASSES])
            return Refusal(Status.UNKNOWN_LABEL, f"the label is not one of: {shown}{more}")
        positive = receipt.classes[1] if receipt.classes and len(receipt.classes) == 2 else None
        cell = Cell(
            receipt.revision,
            receipt.stratum.rollout,
            receipt.stratum.step,
            receipt.predicted,
            known,
            positive,
            receipt.score_bin,
        )
        return Entry(receipt.identity, cell, receipt.served_at)


def spellings(label: object) -> tuple[str, ...]:
    """Return the class names that a JSON label may mean, best first; none if it is no label.

    Labels are compared as strings: 1 and 1.0 are "1", true is "true", "True" or "1".
    """
    if isinstance(label, str):
        return (label,)
    if isinstance(label, bool):
        return (str(label).lower(), str(label), str(int(label)))
    if isinstance(label, float) and label.is_integer():
        return (str(int(label)),)
    if isinstance(label, (int, float)):
        return (str(label),)
    return ()


def result(
    item: object, status: Status, message: str | None, address: str | None
) -> dict[str, Any]:
    """Return the answer to one entry; absent parts are left out."""
    receipt = item.get("receipt") if isinstance(item, dict) else None
    answer: dict[str, Any] = {
        "receipt": receipt[:_SHOWN_CHARACTERS] if isinstance(receipt, str) else "",
        "status": status,
    }
    if message is not None:
        answer["message"] = message
    if address is not None:
        answer["address"] = address
    return answer
