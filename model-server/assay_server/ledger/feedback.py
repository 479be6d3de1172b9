"""Feedback: the body of a label request, what each label in it amounts to, and the answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from assay_server.ledger.entries import (
    MAX_ID_BYTES,
    Arrival,
    Label,
    NamedLabel,
    Result,
    Rules,
    Shipment,
    Status,
    stored_id,
)
from assay_server.ledger.totals import LEAST_PROBABILITY
from assay_server.receipts import Receipt, ReceiptError, Verifier, member_tag

MAX_LABELS = 10_000
_SHOWN_CHARACTERS = 24
_SHOWN_CLASSES = 20
_MAX_ROW = 2**31 - 1
_NO_PROBABILITY = (
    "probability must be a number above 0 and at most 1, and not below"
    f" {LEAST_PROBABILITY}; leave it out if every case is labelled"
)
_ENTRY = 'an entry is {"receipt": string, "label": string} or {"id": string, "row": number, ...}'

MESSAGES = {
    Status.DUPLICATE: "this label was counted before",
    Status.REPLACED: "another label for this prediction came before; this one counts instead",
    Status.CONFLICT: "another label was counted for this prediction; the first stays",
    Status.LATE: "labels are final at the age of their prediction; kept for the log, not counted",
    Status.CORRECTED: "another label is final for this prediction; kept for the log, not counted",
    Status.EXPIRED: "labels of predictions this old are final",
    Status.ERASED: "this prediction was erased on request",
    Status.UNKNOWN_ID: "no prediction of this id is known here, or its server has not told of it"
    " yet; send it again, or to the other members",
    Status.UNKNOWN_LABEL: "the label is not a class of the model that predicted",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """A label or shipment that is not written down, and why."""

    status: Result
    message: str
    address: str | None = None


class FeedbackError(Exception):
    """A body that is not what its path takes; `status` is the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class _Labels(msgspec.Struct):
    labels: list[Any]


class _Served(msgspec.Struct):
    served: list[Any]


class _Erasure(msgspec.Struct):
    ids: list[str]


_labels = msgspec.json.Decoder(_Labels)
_served = msgspec.json.Decoder(_Served)
_erasure = msgspec.json.Decoder(_Erasure)
# The last for what is nested too deeply.
_NO_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def parse(body: bytes) -> list[Any]:
    """Return the entries of a label request, not looked at yet. Raises FeedbackError."""
    try:
        labels = _labels.decode(body).labels
    except _NO_JSON as error:
        raise FeedbackError(400, f"the body is not a label request: {error}") from None
    return _bounded("labels", labels)


def parse_served(body: bytes) -> list[Any]:
    """Return the entries of a server's shipment, not looked at yet. Raises FeedbackError."""
    try:
        served = _served.decode(body).served
    except _NO_JSON as error:
        raise FeedbackError(400, f"the body is not a shipment: {error}") from None
    return _bounded("served", served)


def parse_erasure(body: bytes) -> list[str]:
    """Return the request ids of `{"ids": [...]}`. Raises FeedbackError."""
    try:
        ids = _erasure.decode(body).ids
    except _NO_JSON as error:
        raise FeedbackError(400, f"the body is not a request to erase: {error}") from None
    return [stored_id(name) for name in _bounded("ids", ids)]


def _bounded(field: str, items: list[Any]) -> list[Any]:
    if len(items) > MAX_LABELS:
        raise FeedbackError(413, f"{field}: at most {MAX_LABELS} in one request, got {len(items)}")
    return items


class Clerk:
    """Decides which labels and shipments may be written down in this member.

    Parameters
    ----------
    rules
        How labels count.
    members
        Where labels for each other member go; None for a member without a known address.
    """

    def __init__(
        self,
        verifier: Verifier,
        rules: Rules,
        *,
        member: str,
        members: Mapping[str, str | None],
    ) -> None:
        self._verifier = verifier
        self._member = member_tag(member)
        self._members = {member_tag(name): (name, address) for name, address in members.items()}
        self.rules = rules

    def examine(self, item: object, now: float) -> Label | NamedLabel | Refusal:
        """Return what an entry of a label request amounts to at the time `now` (Unix seconds)."""
        if not isinstance(item, dict):
            return Refusal(Status.MALFORMED, _ENTRY)
        token, request = item.get("receipt"), item.get("id")
        given = token if request is None else request
        if not isinstance(given, str) or (token is not None and request is not None):
            return Refusal(Status.MALFORMED, _ENTRY)
        probability, names = item.get("probability"), spellings(item.get("label"))
        if probability is not None and not _is_probability(probability):
            return Refusal(Status.MALFORMED, _NO_PROBABILITY)
        if not names:
            return Refusal(Status.MALFORMED, "label must be a string, a number or a boolean")
        if request is None:
            return self._label(given, names, probability, now)
        row = item.get("row", 0)
        return (
            NamedLabel((stored_id(given), row), names, int(now), probability)
            if _is_row(row)
            else Refusal(Status.MALFORMED, "row must be a whole number from 0")
        )

    def admit(self, item: object, now: float) -> Shipment | Refusal:
        """Return what an entry `[id, row, receipt]` of a shipment amounts to."""
        match item:
            case [None | str() as request, int() as row, str() as token] if _is_row(row):
                receipt = self._receipt(token)
            case _:
                return Refusal(
                    Arrival.MALFORMED, "an entry is [id or null, number of the row, receipt]"
                )
        if isinstance(receipt, Refusal):
            return Refusal(Arrival(receipt.status), receipt.message)
        if receipt.served_at + self.rules.window < now:
            return Refusal(Arrival.EXPIRED, MESSAGES[Status.EXPIRED])
        return Shipment(receipt, None if request is None else (stored_id(request), row))

    def _receipt(self, token: str) -> Receipt | Refusal:
        try:
            receipt = self._verifier.verify(token)
        except ReceiptError as error:
            return Refusal(Status(error.status), error.message)
        return receipt if receipt.member == self._member else self._elsewhere(receipt)

    def _elsewhere(self, receipt: Receipt) -> Refusal:
        name, address = self._members.get(receipt.member, (None, None))
        served = "another member" if name is None else f"member {name}"
        where = f"; send it to {address}" if address else ""
        return Refusal(
            Status.WRONG_MEMBER, f"the prediction was served by {served}{where}", address
        )

    def _label(
        self, token: str, names: tuple[str, ...], probability: float | None, now: float
    ) -> Label | Refusal:
        receipt = self._receipt(token)
        if isinstance(receipt, Refusal):
            return receipt
        if receipt.served_at + self.rules.window < now:
            return Refusal(Status.EXPIRED, f"the receipt is older than {self.rules.window} seconds")
        classes = self.rules.classes or receipt.classes
        if classes is None:
            message = "this model has too many classes for a receipt; set ASSAY_CLASSES here"
            return Refusal(Status.UNKNOWN_LABEL, message)
        for name in names:
            if name in classes:
                return Label(receipt, name, int(now), probability)
        more = ", ..." if len(classes) > _SHOWN_CLASSES else ""
        shown = ", ".join(classes[:_SHOWN_CLASSES])
        return Refusal(Status.UNKNOWN_LABEL, f"the label is not one of: {shown}{more}")


def _is_row(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_ROW


def _is_probability(value: object) -> bool:
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and LEAST_PROBABILITY <= value <= 1
    )


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
    item: object, status: Result, message: str | None, address: str | None
) -> dict[str, Any]:
    """Return the answer to one entry; absent parts are left out."""
    answer: dict[str, Any] = {}
    if isinstance(item, dict) and isinstance(item.get("id"), str):
        answer["id"] = item["id"][:MAX_ID_BYTES]
        if isinstance(item.get("row"), int):
            answer["row"] = item["row"]
    else:
        receipt = item.get("receipt") if isinstance(item, dict) else None
        answer["receipt"] = receipt[:_SHOWN_CHARACTERS] if isinstance(receipt, str) else ""
    answer["status"] = status
    if message is not None:
        answer["message"] = message
    if address is not None:
        answer["address"] = address
    return answer
