"""Feedback: each thing that may be wrong with a label has its own result."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay_server.keys import KeyRing
from assay_server.ledger.entries import (
    MAX_ID_BYTES,
    Arrival,
    Label,
    NamedLabel,
    Rules,
    Shipment,
    Status,
    stored_id,
)
from assay_server.ledger.feedback import (
    Clerk,
    FeedbackError,
    Refusal,
    parse,
    parse_erasure,
    parse_served,
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


def clerk(classes=None) -> Clerk:
    rules = Rules(window=100, classes=classes)
    return Clerk(Verifier(RING, "ml", "fraud"), rules, member="east", members=MEMBERS)


def examine(token, label, **settings):
    return clerk(**settings).examine({"receipt": token, "label": label}, NOW)


def test_a_good_label_counts_where_its_prediction_was_served():
    token = receipt()
    entry = examine(token, "0")
    assert isinstance(entry, Label)
    assert entry.receipt == Verifier(RING, "ml", "fraud").verify(token)
    assert (entry.label, entry.at, entry.probability) == ("0", NOW, None)
    assert entry.key == (NOW, entry.receipt.identity)


def test_a_label_by_the_clients_own_id():
    entry = clerk().examine({"id": "a", "row": 3, "label": True, "probability": 0.5}, NOW + 0.9)
    assert entry == NamedLabel(("a", 3), ("true", "True", "1"), NOW, 0.5)
    assert clerk().examine({"id": "", "label": "x"}, NOW) == NamedLabel(("", 0), ("x",), NOW)


@pytest.mark.parametrize("probability", [1, 1.0, 0.25, 1e-6])
def test_the_chance_of_being_labelled_comes_with_the_label(probability):
    item = {"receipt": receipt(), "label": "1", "probability": probability}
    assert clerk().examine(item, NOW).probability == probability


@pytest.mark.parametrize("probability", [0, -0.1, 1.0001, 1e-7, True, "0.5", [], float("inf")])
def test_a_probability_that_is_none_is_named(probability):
    for name in ({"receipt": receipt()}, {"id": "a"}):
        refusal = clerk().examine({**name, "label": "1", "probability": probability}, NOW)
        assert refusal.status is Status.MALFORMED
        assert refusal.message.startswith("probability must be a number above 0 and at most 1")


@pytest.mark.parametrize("row", [-1, 2**31, 1.0, "0", True, None])
def test_a_row_that_is_none(row):
    refusal = clerk().examine({"id": "a", "row": row, "label": "1"}, NOW)
    assert (refusal.status, refusal.message) == (
        Status.MALFORMED,
        "row must be a whole number from 0",
    )


def test_ids_are_stored_as_they_are_unless_they_are_long_or_would_not_print():
    assert stored_id("order 7/ä") == "order 7/ä"
    assert stored_id("x" * MAX_ID_BYTES) == "x" * MAX_ID_BYTES
    hashed = [stored_id(text) for text in ("x" * 129, "ä" * 65, "a\0", "a\n", "\ud800")]
    assert len(set(hashed)) == 5
    assert all(text.startswith("sha256:") and len(text) == 71 for text in hashed)


def test_a_shipment_brings_receipts_with_the_clients_id_or_without():
    token = receipt()
    found = Verifier(RING, "ml", "fraud").verify(token)
    assert clerk().admit(["a", 3, token], NOW) == Shipment(found, ("a", 3))
    assert clerk().admit([None, 0, token], NOW + 100) == Shipment(found, None)


@pytest.mark.parametrize(
    ("item", "status"),
    [
        (None, Arrival.MALFORMED),
        ([], Arrival.MALFORMED),
        (["a", 0], Arrival.MALFORMED),
        ([1, 0, receipt()], Arrival.MALFORMED),
        (["a", -1, receipt()], Arrival.MALFORMED),
        (["a", True, receipt()], Arrival.MALFORMED),
        (["a", 0, 7], Arrival.MALFORMED),
        (["a", 0, "x"], Arrival.MALFORMED),
        (["a", 0, receipt(deployment="other")], Arrival.WRONG_DEPLOYMENT),
        (["a", 0, receipt(member="west")], Arrival.WRONG_MEMBER),
        (["a", 0, receipt(served_at=NOW - 101)], Arrival.EXPIRED),
        (["a", 0, receipt(keys=KeyRing({"k1": bytes(32)}, "k1"))], Arrival.FORGED),
    ],
)
def test_each_refusal_of_a_shipment(item, status):
    refusal = clerk().admit(item, NOW)
    assert isinstance(refusal, Refusal)
    assert refusal.status is status


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
    assert examine(receipt(classes), True).label == classes[1]
    assert examine(receipt(classes), False).label == classes[0]


OTHER_KEY = KeyRing({"k1": bytes(32)}, "k1")
BAD_ENTRY = 'an entry is {"receipt": string, "label": string} or {"id": string, "row": number, ...}'


@pytest.mark.parametrize(
    ("item", "status", "message"),
    [
        (None, Status.MALFORMED, BAD_ENTRY),
        ("x", Status.MALFORMED, BAD_ENTRY),
        ({}, Status.MALFORMED, BAD_ENTRY),
        ({"receipt": 5, "label": "1"}, Status.MALFORMED, BAD_ENTRY),
        ({"id": 5, "label": "1"}, Status.MALFORMED, BAD_ENTRY),
        ({"receipt": receipt(), "id": "a", "label": "1"}, Status.MALFORMED, BAD_ENTRY),
        ({"receipt": "x", "label": "1"}, Status.MALFORMED, "a receipt looks like a3."),
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
    assert isinstance(examine(receipt(served_at=NOW - 100), "1"), Label)


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
    entry = examine(receipt(), "2", classes=("0", "1", "2"))
    assert entry.label == "2"
    assert examine(receipt(), "1", classes=("0", "2")).status is Status.UNKNOWN_LABEL


def test_too_many_classes_for_a_receipt():
    names = [f"class number {number}" for number in range(300)]
    token = receipt(names, 7, None)
    refusal = examine(token, "class number 8")
    assert refusal.status is Status.UNKNOWN_LABEL
    assert "set ASSAY_CLASSES" in refusal.message
    entry = examine(token, "class number 8", classes=names)
    assert (entry.receipt.predicted, entry.label) == ("class number 7", "class number 8")
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
        (b'{"labels": ' + b"[" * 2000, 400),
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


@pytest.mark.parametrize(("read", "field"), [(parse_served, "served"), (parse_erasure, "ids")])
def test_other_bodies_are_bounded_and_named_too(read, field):
    deep = b'{"x": ' + b"[" * 2000
    for body, status in ((b"{", 400), (b"{}", 400), (b"\xff", 400), (deep, 400)):
        with pytest.raises(FeedbackError) as caught:
            read(body)
        assert caught.value.status == status
    with pytest.raises(FeedbackError, match=f"{field}: at most 10000 in one request"):
        read(json.dumps({field: ["a"] * 10_001}).encode())


def test_ids_to_erase_are_found_as_they_are_stored():
    assert parse_erasure(b'{"ids": ["a", "a\\u0000"]}') == ["a", stored_id("a\0")]
    with pytest.raises(FeedbackError, match="Expected `str`"):
        parse_erasure(b'{"ids": [7]}')


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists) | st.text())
def test_no_entry_raises(item):
    assert isinstance(clerk().examine(item, NOW), Refusal)
    assert isinstance(clerk().examine({"receipt": item, "label": item}, NOW), Refusal)
    assert isinstance(clerk().admit(item, NOW), Refusal)
    assert isinstance(clerk().admit([item, item, item], NOW), Refusal)
    clerk().examine({"id": item, "row": item, "label": item, "probability": item}, NOW)


def test_a_result_shows_the_start_of_the_receipt():
    token = receipt()
    shown = result({"receipt": token}, Status.FORGED, "why", None)
    assert shown == {"receipt": token[:24], "status": "forged", "message": "why"}
    assert result(7, Status.MALFORMED, None, "a") == {
        "receipt": "",
        "status": "malformed",
        "address": "a",
    }


def test_a_result_names_the_clients_id_and_row():
    shown = result({"id": "x" * 500, "row": 7}, Status.UNKNOWN_ID, None, None)
    assert shown == {"id": "x" * MAX_ID_BYTES, "row": 7, "status": "unknown_id"}
    assert result({"id": "a", "row": "b"}, Status.MALFORMED, None, None) == {
        "id": "a",
        "status": "malformed",
    }
