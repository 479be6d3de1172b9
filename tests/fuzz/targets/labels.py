"""What the ledger takes: labels, shipments, erasures, marks of pages, up to what the store sees.

An input is a byte that chooses which of them, then the body.
"""

import json

import msgspec

from assay_server.keys import KeyRing
from assay_server.ledger.entries import Label, NamedLabel, Rules, Shipment
from assay_server.ledger.feedback import (
    Clerk,
    FeedbackError,
    Refusal,
    parse,
    parse_erasure,
    parse_served,
    result,
)
from assay_server.ledger.predictions import key_of
from assay_server.receipts import Verifier
from tests.fuzz import subjects
from tests.fuzz.targets import WrongError

_FEEDBACK, _SERVED, _ERASE, _MARK = range(4)


class Target:
    """The clerk."""

    max_bytes = 8192
    words = (
        *('"labels"', '"served"', '"ids"', '"receipt"', '"id"', '"row"', '"label"', "null", "true"),
        *('"probability"', "1e-3", "1e400", "-1", "2147483648", "[[[[", "{", '"\\u0000"', "1.0"),
    )

    def __init__(self) -> None:
        ring = KeyRing({"k1": subjects.SECRET}, "k1", salt=subjects.SALT)
        verifier = Verifier(ring, subjects.NAMESPACE, subjects.DEPLOYMENT)
        members = {subjects.MEMBER: None, "west": "http://west/v2/models/fraud/feedback"}
        rules = Rules(window=1000)
        self._clerk = Clerk(verifier, rules, member=subjects.MEMBER, members=members)
        self._own = subjects.issued(2)
        self._others = [
            *subjects.issued(1, member="west"),
            *subjects.issued(1, now=subjects.NOW - 2000),
        ]

    def seeds(self) -> list[bytes]:
        """Return good bodies of each kind."""
        entries = [
            {"receipt": self._own[0], "label": True},
            {"receipt": self._own[1], "label": "False", "probability": 0.2},
            {"id": "order-7", "row": 3, "label": 1.0},
        ]
        labels = [
            {"labels": [*entries, {"receipt": other, "label": "x"}]} for other in self._others
        ]
        rows = [["order-7", 0, self._own[0]], [None, 1, self._own[1]]]
        return [
            *(bytes([_FEEDBACK]) + json.dumps(body).encode() for body in labels),
            bytes([_SERVED]) + json.dumps({"served": rows}).encode(),
            bytes([_ERASE]) + json.dumps({"ids": ["order-7", "ö" * 200]}).encode(),
            bytes([_MARK]) + b"1800000000:00ff",
        ]

    def __call__(self, data: bytes) -> None:
        """Take one body."""
        kind, body = data[0] % 4 if data else 0, data[1:]
        try:
            if kind == _FEEDBACK:
                self._label(body)
            elif kind == _SERVED:
                for item in parse_served(body):
                    self._check(self._clerk.admit(item, subjects.NOW))
            elif kind == _ERASE:
                for name in parse_erasure(body):
                    name.encode()
            else:
                _turn_page(body.decode(errors="ignore"))
        except FeedbackError as error:
            msgspec.json.encode(error.message)
            if error.status not in {400, 413}:
                raise

    def _label(self, body: bytes) -> None:
        for item in parse(body):
            finding = self._clerk.examine(item, subjects.NOW)
            self._check(finding)
            if isinstance(finding, Refusal):
                answer = result(item, finding.status, finding.message, finding.address)
                msgspec.json.encode(answer)

    def _check(self, finding: Label | NamedLabel | Shipment | Refusal) -> None:
        """Raise WrongError for what must not be written down."""
        if isinstance(finding, (Label, Shipment)):
            receipt = finding.receipt
            if (receipt.revision, receipt.predicted) != ("r1", "True"):
                raise WrongError("a receipt counts that nobody issued")
        if isinstance(finding, Label) and finding.label not in {"False", "True"}:
            raise WrongError("a label counts that is no class")


def _turn_page(mark: str) -> None:
    try:
        served_at, _ = key_of(mark)
    except ValueError:
        return
    if not -(2**63) <= served_at < 2**63:
        raise WrongError("a page begins where no store can look")
