"""Whose request it is, by a header or a cookie, and what a trial of users makes of it."""

import asyncio
import json

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from assay_server.core import Core
from assay_server.inference import Predictor, receipt_classes
from assay_server.keys import KeyRing
from assay_server.models import Scorer
from assay_server.receipts import NO_STRATUM, Issuer, Stratum, Verifier, user_tag
from assay_server.shipping import Ship, Shipper
from assay_server.spool import Spool
from assay_server.users import UserKey, user_key

SALT = bytes(32)
RING = KeyRing({"abcd": bytes(32)}, "abcd", salt=SALT)
STRATUM = Stratum("0123456789", 1)
TRIAL = {"assay-stratum": "0123456789/1"}


@pytest.mark.parametrize(
    ("text", "headers", "user"),
    [
        ("header:X-User-Id", {"x-user-id": "ann"}, "ann"),
        ("header:x-user-id", {"x-user-id": ""}, None),
        ("header:x-user-id", {}, None),
        ("cookie:session", {"cookie": "a=1; session=ann; session=bob"}, "ann"),
        ("cookie:session", {"cookie": 'session="ann"'}, "ann"),
        ("cookie:session", {"cookie": "session=a=b"}, "a=b"),
        ("cookie:session", {"cookie": "Session=ann; xsession=bob; session"}, None),
        ("cookie:session", {"cookie": "session="}, None),
        ("cookie:session", {}, None),
    ],
)
def test_the_user_is_what_the_header_or_cookie_holds(text, headers, user):
    key = user_key(text)
    assert key is not None
    assert key.of(headers.get) == user


@pytest.mark.parametrize("text", ["", "header:", "cookie:", "x-user-id", "query:user"])
def test_what_is_not_known_names_nobody(text):
    assert user_key(text) is None


def a_core(shipper=None, user=None):
    scorer = Scorer(LogisticRegression().fit([[0], [1]], [0, 1]))
    issuer = Issuer(
        RING,
        namespace="ml",
        deployment="m",
        member="east",
        revision="r1",
        classes=receipt_classes(scorer),
    )
    labels = {"deployment": "m"}
    return Core(Predictor(scorer, issuer, "m", "1"), labels, shipper=shipper, user=user)


def asked(core, *requests):
    """The receipts of requests that come together, each with the headers of a trial and its own."""

    async def main():
        rows = np.array([[0.0]]).tolist()
        tensor = {"name": "x", "shape": [1, 1], "datatype": "FP64", "data": rows[0]}
        query = core.predictor.parser.parse(json.dumps({"inputs": [tensor]}).encode())
        found = await asyncio.gather(
            *(core.predict(query, {**TRIAL, **headers}.get) for headers in requests)
        )
        return [each.receipts[0] for each in found]

    verifier = Verifier(RING, "ml", "m")
    receipts = [verifier.verify(token) for token in asyncio.run(main())]
    return [(receipt.stratum, receipt.user) for receipt in receipts]


BY_HEADER = {"assay-user-by": "header:x-user-id"}


def test_in_a_trial_of_users_who_names_none_is_served_but_no_evidence():
    core = a_core()
    found = asked(
        core,
        {**BY_HEADER, "x-user-id": "ann"},
        BY_HEADER,
        {"assay-user-by": "cookie:session", "cookie": "session=bob"},
        {"assay-user-by": "of a later version"},
        {"x-user-id": "ann"},
    )
    assert found == [
        (STRATUM, user_tag(SALT, "ann")),
        (NO_STRATUM, None),
        (STRATUM, user_tag(SALT, "bob")),
        (NO_STRATUM, None),
        (STRATUM, None),
    ]
    text = core.text()
    assert 'rollout="0123456789",step="1"' in text
    assert 'rollout="none"' in text


def test_the_gateway_says_who_the_user_is_and_the_own_setting_only_without_it():
    core = a_core(user=UserKey(cookie="session"))
    found = asked(
        core,
        {"cookie": "session=bob"},
        {},
        {**BY_HEADER, "x-user-id": "ann", "cookie": "session=bob"},
    )
    assert found == [
        (STRATUM, user_tag(SALT, "bob")),
        (STRATUM, None),
        (STRATUM, user_tag(SALT, "ann")),
    ]


@pytest.mark.parametrize(
    ("ship", "rows"),
    [(Ship.NONE, 2), (Ship.USERS, 2), (Ship.ALL, 4)],
)
def test_the_ledger_is_told_of_each_user_of_a_trial_whatever_else_it_is_told(tmp_path, ship, rows):
    spool = Spool(tmp_path, 10**6)
    core = a_core(Shipper("http://127.0.0.1:1/", spool, lambda: ship, {"deployment": "m"}))
    ann, bob = ({**BY_HEADER, "x-user-id": name} for name in ("ann", "bob"))
    asked(core, ann, bob, ann, BY_HEADER)
    assert spool.waiting == rows


def test_nobody_is_told_of_where_users_are_not_split(tmp_path):
    spool = Spool(tmp_path, 10**6)
    shipper = Shipper("http://127.0.0.1:1/", spool, lambda: Ship.NONE, {"deployment": "m"})
    asked(a_core(shipper, UserKey(header="x-user-id")), {"x-user-id": "ann"})
    assert spool.waiting == 0
