"""Feedback: each thing that may be wrong with a label has its own result."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay_server.keys import KeyRing
from assay_server.ledger.feedback import (
    Clerk,
    Entry,
    FeedbackError,
    Refusal,
    Status,
    parse,
    result,
    spellings,
)
from assay_server.receipts import Issuer, Stratum, Verifier

RING = KeyRing({"k1": bytes(range(32))}, "k1")
NOW = 1_800_000_000
MEMBERS = {"east": None, "west": "http://west/v2/models/fraud/feedback", "north": None}


def receipt(classes=("0", "1"), predicted=1, bins=(700,), served_at=NOW, **origin) -> str:
    names = {"namespace": "ml", "deployment": "fraud", "member": "east", "revision": "r1", **origin}
    issuer = Issuer(names.pop("keys", RING), classes=classes, **names)
    return issuer.issue(Stratum("x", 2), [predicted], bins, served_at)[0]


def clerk(**settings) -> Clerk:
    known = {"member": "east", "classes": None, "members": MEMBERS, "window": 100, **settings}
    return Clerk(Verifier(RING, "ml", "fraud"), **known)


def examine(token, label, **settings):
    return clerk(**settings).examine({"receipt": token, "label": label}, NOW)


def test_a_good_label_counts_where_its_prediction_was_served():
    entry = examine(receipt(), "0")
    assert isinstance(entry, Entry)
    assert entry.cell == ("r1", "x", 2, "1", "0", "1", 700)
    assert entry.served_at == NOW


@pytest.mark.parametrize(
    ("label", "names"),
    [
        ("1", ("1",)),
        ("x y", ("x y",)),
        (1, ("1",)),
        (-3, ("-3",)),
        (1.0, ("1",)),
        (1.5, ("1.5",)),
        (True, ("true", "True", "1")),
        (False, ("false", "False", "0")),
        (None, ()),
        ([], ()),
        ({}, ()),
    ],
)
def test_labels_are_strings(label, names):
    assert spellings(label) == names


@pytest.mark.parametrize("classes", [("0", "1"), ("False", "True"), ("false", "true")])
def test_a_boolean_finds_the_class_that_is_meant(classes):
    assert examine(receipt(classes), True).cell.label == classes[1]
    assert examine(receipt(classes), False).cell.label == classes[0]


OTHER_KEY = KeyRing({"k1": bytes(32)}, "k1")
BAD_ENTRY = 'an entry is {"receipt": string, "label": string}'


@pytest.mark.parametrize(
    ("item", "status", "message"),
    [
        (None, Status.MALFORMED, BAD_ENTRY),
        ("x", Status.MALFORMED, BAD_ENTRY),
        ({}, Status.MALFORMED, BAD_ENTRY),
        ({"receipt": 5, "label": "1"}, Status.MALFORMED, BAD_ENTRY),
        ({"receipt": "x", "label": "1"}, Status.MALFORMED, "a receipt looks like a2."),
        ({"receipt": receipt()}, Status.MALFORMED, "label must be a string"),
        ({"receipt": receipt(), "label": None}, Status.MALFORMED, "label must be a string"),
        ({"receipt": receipt(), "label": ["1"]}, Status.MALFORMED, "label must be a string"),
        (
            {"receipt": receipt(deployment="other"), "label": "1"},
            Status.WRONG_DEPLOYMENT,
            "belongs to another ModelDeployment",
        ),
        (
            {"receipt": receipt(namespace="other"), "label": "1"},
            Status.WRONG_DEPLOYMENT,
            "belongs to another ModelDeployment",
        ),
        ({"receipt": receipt(keys=OTHER_KEY), "label": "1"}, Status.FORGED, "does not match"),
        (
            {"receipt": receipt(served_at=NOW - 101), "label": "1"},
            Status.EXPIRED,
            "the receipt is older than 100 seconds",
        ),
        ({"receipt": receipt(), "label": "2"}, Status.UNKNOWN_LABEL, "is not one of: 0, 1"),
        ({"receipt": receipt(), "label": ""}, Status.UNKNOWN_LABEL, "is not one of: 0, 1"),
        ({"receipt": receipt(), "label": 0.5}, Status.UNKNOWN_LABEL, "is not one of: 0, 1"),
    ],
)
def test_each_refusal(item, status, message):
    refusal = clerk().examine(item, NOW)
    assert isinstance(refusal, Refusal)
    assert refusal.status is status
    assert message in refusal.message
    assert refusal.address is None


def test_the_last_second_of_the_window_counts():
    assert isinstance(examine(receipt(served_at=NOW - 100), "1"), Entry)


@pytest.mark.parametrize(
    ("member", "message", "address"),
    [
        ("west", f"served by member west; send it to {MEMBERS['west']}", MEMBERS["west"]),
        ("north", "served by member north", None),
        ("moon", "served by another member", None),
    ],
)
def test_a_label_for_another_member(member, message, address):
    refusal = examine(receipt(member=member), "1")
    assert refusal.status is Status.WRONG_MEMBER
    assert refusal.message.endswith(message)
    assert refusal.address == address


def test_a_forged_receipt_never_learns_where_labels_go():
    refusal = examine(receipt(member="west", keys=OTHER_KEY), "1")
    assert (refusal.status, refusal.address) == (Status.FORGED, None)


def test_configured_classes_rule():
    """A label that only the new version knows still counts against the old one."""
    entry = examine(receipt(), "2", classes=["0", "1", "2"])
    assert entry.cell.label == "2"
    assert examine(receipt(), "1", classes=["0", "2"]).status is Status.UNKNOWN_LABEL


def test_too_many_classes_for_a_receipt():
    names = [f"class number {number}" for number in range(300)]
    token = receipt(names, 7, None)
    refusal = examine(token, "class number 8")
    assert refusal.status is Status.UNKNOWN_LABEL
    assert "set ASSAY_CLASSES" in refusal.message
    entry = examine(token, "class number 8", classes=names)
    assert (entry.cell.predicted, entry.cell.label) == ("class number 7", "class number 8")
    shown = examine(token, "no class", classes=names).message
    assert shown.endswith("class number 19, ...")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff", 400),
        (b"[]", 400),
        (b"{}", 400),
        (b'{"labels": {}}', 400),
        (json.dumps({"labels": [0] * 10_001}).encode(), 413),
    ],
)
def test_a_body_that_is_no_label_request(body, status):
    with pytest.raises(FeedbackError) as caught:
        parse(body)
    assert caught.value.status == status
    assert "label" in caught.value.message


def test_ten_thousand_labels_are_taken():
    assert len(parse(json.dumps({"labels": [0] * 10_000}).encode())) == 10_000


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists) | st.text())
def test_no_entry_raises(item):
    assert isinstance(clerk().examine(item, NOW), Refusal)
    assert isinstance(clerk().examine({"receipt": item, "label": item}, NOW), Refusal)


def test_a_result_shows_the_start_of_the_receipt():
    token = receipt()
    shown = result({"receipt": token}, Status.FORGED, "why", None)
    assert shown == {"receipt": token[:24], "status": "forged", "message": "why"}
    assert result(7, Status.MALFORMED, None, "a") == {
        "receipt": "",
        "status": "malformed",
        "address": "a",
    }
