"""Receipts: what goes in comes out, and nothing that was not signed comes out."""

import base64

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay_server.keys import KeyRing
from assay_server.ledger.bins import FINE_BINS, base_and_sub
from assay_server.receipts import (
    BUCKETS,
    MAX_SCORED_CLASSES,
    NO_STRATUM,
    Issuer,
    ReceiptError,
    Stratum,
    Verifier,
    bucket_of,
    member_tag,
    stratum_of,
    user_tag,
)

SECRET = bytes(range(32))
SALT = bytes(range(100, 132))
RING = KeyRing({"k1": SECRET}, "k1", salt=SALT)
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
        assert (receipt.bins, receipt.user) == ((score_bin,), None)


fine_bins = st.integers(0, FINE_BINS - 1)


@given(
    st.integers(3, MAX_SCORED_CLASSES).flatmap(
        lambda count: st.tuples(
            st.just(count),
            st.lists(
                st.tuples(
                    st.integers(0, count - 1), st.lists(fine_bins, min_size=count, max_size=count)
                ),
                min_size=1,
                max_size=4,
            ),
        )
    ),
    st.none() | st.text(min_size=1, max_size=40),
)
def test_round_trip_of_several_classes_and_a_user(model, user):
    count, rows = model
    classes = tuple(f"class {number}" for number in range(count))
    predicted, bins = [row[0] for row in rows], [row[1] for row in rows]
    for given_bins in (bins, np.array(bins)):
        tokens = issuer(classes).issue(STRATUM, predicted, given_bins, 1, user)
        for token, index, places in zip(tokens, predicted, bins, strict=True):
            receipt = VERIFIER.verify(token)
            assert (receipt.predicted, receipt.bins) == (classes[index], tuple(places))
            assert receipt.classes == classes
            assert receipt.user == (None if user is None else user_tag(SALT, user))


def test_bins_may_come_as_an_array():
    assert [
        VERIFIER.verify(token).bins
        for token in issuer().issue(STRATUM, [1, 0], np.array([7, 18_399]), 1)
    ] == [(7,), (18_399,)]


def test_a_user_is_the_same_under_any_key_and_nobody_without_a_salt():
    keys = {"k1": SECRET, "k2": bytes(32)}
    rings = [KeyRing(keys, active, salt=SALT) for active in keys]
    tokens = [issuer(keys=ring).issue(STRATUM, [1], [7], 1, "ann")[0] for ring in rings]
    both = Verifier(rings[0], "ml", "fraud")
    assert {both.verify(token).user for token in tokens} == {user_tag(SALT, "ann")}
    without = issuer(keys=KeyRing({"k1": SECRET}, "k1")).issue(STRATUM, [1], [7], 1, "ann")[0]
    assert VERIFIER.verify(without).user is None
    nameless = issuer().issue(STRATUM, [1], [7], 1, "")[0]
    assert VERIFIER.verify(nameless).user is None


def test_users_spread_over_all_buckets():
    tags = [user_tag(SALT, f"user {number}") for number in range(3000)]
    assert len(set(tags)) == 3000
    assert {bucket_of(tag) for tag in tags} == set(range(BUCKETS))
    assert len({user_tag(bytes(32), "ann"), user_tag(SALT, "ann"), user_tag(SALT, "bob")}) == 3


def test_a_receipt_says_nothing_that_its_client_could_not_be_told():
    """What a client holds can be undone: no user key, member, deployment or secret is in it."""
    token = issuer().issue(STRATUM, [1], [77], 1, "ann@example.com")[0]
    payload = base64.urlsafe_b64decode(token.split(".")[1] + "==")
    for hidden in (b"ann", b"example", b"fraud", b"ml", b"east", SECRET[:8], SALT[:8]):
        assert hidden not in payload


def test_no_more_than_160_characters_for_a_binary_model():
    names = ("n" * 20, "p" * 20)
    widest = issuer(names, KeyRing({"k123": SECRET}, "k123"), deployment="d" * 63, member="m" * 63)
    token = widest.issue(Stratum("0123456789", 255), [1], [FINE_BINS - 1], 2**32 - 1)[0]
    assert len(token) <= 160
    assert len(TOKEN) <= 104
    with_user = issuer().issue(STRATUM, [1], [77], 1_800_000_000, "ann")[0]
    assert len(with_user) - len(TOKEN) == 8


# Issued by the version before users and scores of several classes: fine bin 77, and three classes.
WITH_ONE_BIN = {
    77: "a2.4Bbl8RaGfsdrMQAAdKFEJkYTa9smK2tJ0gADAAABAE1hYmNkZWYwMTIzHzAxMjM0NTY3ODkfMB8x.qxdqZdPEUv_RflEEBthjFA",
    None: "a2.-Oa_068DKBVrMQAAdKFEJkYTa9smK2tJ0gADAAAB__9hYmNkZWYwMTIzHzAxMjM0NTY3ODkfYW50H2JlZR9jYXQ.fnMuWNnCiwcoHtEhcN090g",
}


@pytest.mark.parametrize("score_bin", WITH_ONE_BIN)
def test_receipts_with_one_bin_still_count(score_bin):
    receipt = VERIFIER.verify(WITH_ONE_BIN[score_bin])
    assert (receipt.revision, receipt.stratum) == ("abcdef0123", STRATUM)
    assert (receipt.served_at, receipt.member) == (1_800_000_000, member_tag("east"))
    assert receipt.user is None
    if score_bin is None:
        assert (receipt.predicted, receipt.bins) == ("bee", ())
        assert receipt.classes == ("ant", "bee", "cat")
    else:
        assert (receipt.predicted, receipt.bins) == ("1", (77,))


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
        assert (receipt.predicted, receipt.bins) == ("bee", ())
    else:
        assert receipt.predicted == "1"
        middle = 512 if base == 1023 else 8
        assert base_and_sub(receipt.bins[0]) == (base, middle)


@pytest.mark.parametrize("version", ["a1", "a2", "a3"])
@pytest.mark.parametrize("token", [*OLD.values(), *WITH_ONE_BIN.values(), TOKEN])
def test_a_receipt_cannot_be_passed_off_as_one_of_another_version(version, token):
    if not token.startswith(version):
        with pytest.raises(ReceiptError) as caught:
            VERIFIER.verify(version + token[2:])
        assert caught.value.status == "forged"


def test_the_start_of_a_receipt_tells_it_apart():
    tokens = issuer().issue(STRATUM, [1] * 50, [77] * 50, 1_800_000_000)
    assert len({token[:24] for token in tokens}) == 50


def test_without_scores_there_are_no_bins():
    token = issuer(("ant", "bee", "cät")).issue(STRATUM, [2], None, 1)[0]
    receipt = VERIFIER.verify(token)
    assert (receipt.predicted, receipt.bins) == ("cät", ())
    assert receipt.classes == ("ant", "bee", "cät")


def test_scores_of_very_many_classes_are_left_out():
    for count in (MAX_SCORED_CLASSES, MAX_SCORED_CLASSES + 1):
        names = [f"c{number}" for number in range(count)]
        receipt = VERIFIER.verify(issuer(names).issue(STRATUM, [1], [[5] * count], 1)[0])
        assert receipt.bins == ((5,) * count if count == MAX_SCORED_CLASSES else ())


def test_a_long_class_list_is_left_out():
    names = [f"class number {number}" for number in range(300)]
    token = issuer(names).issue(STRATUM, [299], [[1] * 300], 1)[0]
    receipt = VERIFIER.verify(token)
    assert receipt.predicted == "class number 299"
    assert (receipt.classes, receipt.bins) == (None, ())
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


@given(st.text(max_size=200) | st.from_regex(r"a[123]\.[A-Za-z0-9_-]{0,99}\.[A-Za-z0-9_-]{22}"))
def test_garbage_is_never_accepted(token):
    with pytest.raises(ReceiptError):
        VERIFIER.verify(token)


@pytest.mark.parametrize(
    ("token", "status"),
    [
        ("", "malformed"),
        ("a4" + TOKEN[2:], "malformed"),
        ("a1" + TOKEN[2:], "forged"),
        (TOKEN + "=", "malformed"),
        (TOKEN + "A", "malformed"),
        (TOKEN[:-1], "malformed"),
        pytest.param("a3.AAAA." + TOKEN[-22:], "malformed", id="short payload"),
        ("a3." + "A" * 5000 + "." + TOKEN[-22:], "malformed"),
        (issuer(deployment="other").issue(STRATUM, [1], [1], 1)[0], "wrong_deployment"),
        (issuer(keys=KeyRing({"k1": bytes(32)}, "k1")).issue(STRATUM, [1], [1], 1)[0], "forged"),
        (issuer(keys=KeyRing({"k9": SECRET}, "k9")).issue(STRATUM, [1], [1], 1)[0], "forged"),
    ],
)
def test_each_refusal_has_its_status(token, status):
    with pytest.raises(ReceiptError) as caught:
        VERIFIER.verify(token)
    assert caught.value.status == status


def test_one_issuer_follows_the_second_the_stratum_and_the_key(tmp_path):
    """What receipts have in common is kept; nothing of it outlives its cause."""
    ring = KeyRing({"k1": SECRET, "k2": bytes(32)}, "k1", salt=SALT)
    one = issuer(keys=ring)
    seen = set()
    for now in (5, 6, 5):
        for stratum in (STRATUM, NO_STRATUM, Stratum("x", 255)):
            for user in (None, "ann"):
                for bins in ([7], None):
                    (token,) = one.issue(stratum, [0], bins, now, user)
                    receipt = Verifier(ring, "ml", "fraud").verify(token)
                    assert (receipt.stratum, receipt.served_at) == (stratum, now)
                    assert (receipt.user is None, receipt.bins) == (user is None, tuple(bins or ()))
                    seen.add(receipt.identity)
    assert len(seen) == 36


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
