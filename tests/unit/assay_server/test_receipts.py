"""Receipts: what goes in comes out, and nothing that was not signed comes out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay_server.keys import KeyRing
from assay_server.ledger.bins import FINE_BINS, base_and_sub
from assay_server.receipts import (
    NO_STRATUM,
    Issuer,
    ReceiptError,
    Stratum,
    Verifier,
    member_tag,
    stratum_of,
)

SECRET = bytes(range(32))
RING = KeyRing({"k1": SECRET}, "k1")
STRATUM = Stratum("0123456789", 3)


def issuer(classes=("0", "1"), keys=RING, deployment="fraud", member="east") -> Issuer:
    return Issuer(
        keys,
        namespace="ml",
        deployment=deployment,
        member=member,
        revision="abcdef0123",
        classes=classes,
    )


VERIFIER = Verifier(RING, "ml", "fraud")
TOKEN = issuer().issue(STRATUM, [1], [77], 1_800_000_000)[0]


@given(
    st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=16),
    st.integers(0, 255),
    st.integers(0, 2**32 - 1),
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, FINE_BINS - 1)), min_size=1, max_size=5),
)
def test_round_trip(rollout, step, now, rows):
    predicted, bins = [row[0] for row in rows], [row[1] for row in rows]
    tokens = issuer().issue(Stratum(rollout, step), predicted, bins, now)
    receipts = [VERIFIER.verify(token) for token in tokens]
    assert len({receipt.identity for receipt in receipts}) == len(rows)
    for receipt, index, score_bin in zip(receipts, predicted, bins, strict=True):
        assert receipt.member == member_tag("east")
        assert receipt.revision == "abcdef0123"
        assert receipt.stratum == (rollout, step)
        assert receipt.served_at == now
        assert receipt.predicted == "01"[index]
        assert receipt.classes == ("0", "1")
        assert receipt.score_bin == score_bin


def test_no_more_than_160_characters_for_a_binary_model():
    names = ("n" * 20, "p" * 20)
    widest = issuer(names, KeyRing({"k123": SECRET}, "k123"), deployment="d" * 63, member="m" * 63)
    token = widest.issue(Stratum("0123456789", 255), [1], [FINE_BINS - 1], 2**32 - 1)[0]
    assert len(token) <= 160
    assert len(TOKEN) <= 104


# Issued by the version before sub-bins: base bins 77 and 1023, and a multiclass model without.
OLD = {
    77: "a1.6Ltg78-fiB9rMQAAdKFEJkYTa9smK2tJ0gADAAABAE1hYmNkZWYwMTIzHzAxMjM0NTY3ODkfMB8x.1WitW8rqw0RDJR3RrQ5trA",
    1023: "a1.oIKKr-M-vg1rMQAAdKFEJkYTa9smK2tJ0gADAAABA_9hYmNkZWYwMTIzHzAxMjM0NTY3ODkfMB8x.cmw74Q-QlvF1S85xxPArew",
    None: "a1.24yZ2wD3s7BrMQAAdKFEJkYTa9smK2tJ0gADAAAB__9hYmNkZWYwMTIzHzAxMjM0NTY3ODkfYW50H2JlZR9jYXQ.v2cFExREPShMKQxY3vzJjA",
}


@pytest.mark.parametrize("base", OLD)
def test_receipts_with_base_bins_count_in_the_middle_of_these(base):
    receipt = VERIFIER.verify(OLD[base])
    assert (receipt.revision, receipt.stratum) == ("abcdef0123", STRATUM)
    assert (receipt.served_at, receipt.member) == (1_800_000_000, member_tag("east"))
    if base is None:
        assert (receipt.predicted, receipt.score_bin) == ("bee", None)
    else:
        assert (receipt.predicted, receipt.score_bin is None) == ("1", False)
        middle = 512 if base == 1023 else 8
        assert base_and_sub(receipt.score_bin) == (base, middle)


@pytest.mark.parametrize("token", OLD.values())
def test_an_old_receipt_cannot_be_passed_off_as_a_new_one(token):
    with pytest.raises(ReceiptError) as caught:
        VERIFIER.verify("a2" + token[2:])
    assert caught.value.status == "forged"


def test_the_start_of_a_receipt_tells_it_apart():
    tokens = issuer().issue(STRATUM, [1] * 50, [77] * 50, 1_800_000_000)
    assert len({token[:24] for token in tokens}) == 50


def test_multiclass_receipts_have_no_bin():
    token = issuer(("ant", "bee", "cät")).issue(STRATUM, [2], None, 1)[0]
    receipt = VERIFIER.verify(token)
    assert (receipt.predicted, receipt.score_bin) == ("cät", None)
    assert receipt.classes == ("ant", "bee", "cät")


def test_a_long_class_list_is_left_out():
    names = [f"class number {number}" for number in range(300)]
    token = issuer(names).issue(STRATUM, [299], None, 1)[0]
    receipt = VERIFIER.verify(token)
    assert receipt.predicted == "class number 299"
    assert receipt.classes is None
    assert len(token) <= 160


@given(st.integers(0, len(TOKEN) - 1), st.characters(codec="ascii"))
def test_a_changed_character_is_never_accepted(position, character):
    forged = TOKEN[:position] + character + TOKEN[position + 1 :]
    if forged == TOKEN:
        assert VERIFIER.verify(forged).predicted == "1"
    else:
        with pytest.raises(ReceiptError) as caught:
            VERIFIER.verify(forged)
        assert caught.value.status in {"malformed", "forged", "wrong_deployment"}


@given(st.text(max_size=200) | st.from_regex(r"a[12]\.[A-Za-z0-9_-]{0,99}\.[A-Za-z0-9_-]{22}"))
def test_garbage_is_never_accepted(token):
    with pytest.raises(ReceiptError):
        VERIFIER.verify(token)


@pytest.mark.parametrize(
    ("token", "status"),
    [
        ("", "malformed"),
        ("a3" + TOKEN[2:], "malformed"),
        ("a1" + TOKEN[2:], "forged"),
        (TOKEN + "=", "malformed"),
        (TOKEN + "A", "malformed"),
        (TOKEN[:-1], "malformed"),
        ("a2.AAAA." + TOKEN[-22:], "malformed"),
        ("a2." + "A" * 5000 + "." + TOKEN[-22:], "malformed"),
        (issuer(deployment="other").issue(STRATUM, [1], [1], 1)[0], "wrong_deployment"),
        (issuer(keys=KeyRing({"k1": bytes(32)}, "k1")).issue(STRATUM, [1], [1], 1)[0], "forged"),
        (issuer(keys=KeyRing({"k9": SECRET}, "k9")).issue(STRATUM, [1], [1], 1)[0], "forged"),
    ],
)
def test_each_refusal_has_its_status(token, status):
    with pytest.raises(ReceiptError) as caught:
        VERIFIER.verify(token)
    assert caught.value.status == status


def test_every_key_of_the_ring_verifies():
    both = Verifier(KeyRing({"k1": SECRET, "k2": bytes(32)}, "k2"), "ml", "fraud")
    assert both.verify(TOKEN).predicted == "1"


@pytest.mark.parametrize(
    ("header", "stratum"),
    [
        ("0123456789/3", ("0123456789", 3)),
        ("idle/0", ("idle", 0)),
        (None, NO_STRATUM),
        ("", NO_STRATUM),
        ("idle", NO_STRATUM),
        ("idle/256", NO_STRATUM),
        ("idle/-1", NO_STRATUM),
        ("UPPER/1", NO_STRATUM),
        ("a" * 17 + "/1", NO_STRATUM),
        ('a"}/1', NO_STRATUM),
        ("a\x1f/1", NO_STRATUM),
    ],
)
def test_stratum_header(header, stratum):
    assert stratum_of(header) == stratum
