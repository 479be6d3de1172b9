"""Receipt keys: new ones, and those that members already have."""

import asyncio
import base64
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from assay.members import receipts

from .apiserver import running

NOW = 1_800_000_000.0
DAY = 86_400
PATH = "/api/v1/namespaces/ml/secrets/fraud-receipts"


def a_secret(text: str) -> dict[str, Any]:
    return {
        "metadata": {"name": "fraud-receipts"},
        "data": {"keys.json": base64.b64encode(text.encode()).decode()},
    }


def test_new_keys_are_random_and_long() -> None:
    first, second = json.loads(receipts.new_keys(NOW)), json.loads(receipts.new_keys(NOW))
    assert first != second
    assert len(base64.b64decode(first["keys"][first["active"]])) == 32
    assert len(first["active"]) == 4


def test_merging_keeps_every_key_and_the_first_active_one() -> None:
    one, two = receipts.new_keys(NOW), receipts.new_keys(NOW)
    merged = json.loads(receipts.merge([one, two]) or "")
    assert merged["active"] == json.loads(one)["active"]
    assert merged["keys"] == {**json.loads(two)["keys"], **json.loads(one)["keys"]}


def test_merging_keeps_the_salt_by_which_users_are_known() -> None:
    old = json.dumps({"active": "k1", "keys": {"k1": base64.b64encode(bytes(32)).decode()}})
    one, two = receipts.new_keys(NOW), receipts.new_keys(NOW)
    assert json.loads(receipts.merge([one, two]) or "")["salt"] == json.loads(one)["salt"]
    assert json.loads(receipts.merge([old, two]) or "")["salt"] == json.loads(two)["salt"]


def signing_at(keys: str, seconds: float, window: int) -> str:
    return str(json.loads(receipts.rotated(keys, NOW + seconds, window))["active"])


def test_keys_are_not_touched_before_their_time() -> None:
    keys = receipts.new_keys(NOW)
    assert receipts.rotated(keys, NOW + 30 * DAY - 1, 30 * DAY) == keys
    assert receipts.seconds_to_rotation(keys, NOW, 30 * DAY) == 30 * DAY


def test_a_new_key_is_spread_before_it_signs() -> None:
    keys = receipts.new_keys(NOW)
    first = json.loads(keys)["active"]
    later = receipts.rotated(keys, NOW + 30 * DAY, 30 * DAY)
    assert len(json.loads(later)["keys"]) == 2
    assert json.loads(later)["active"] == first
    assert receipts.seconds_to_rotation(later, NOW + 30 * DAY, 30 * DAY) == receipts.SPREAD_SECONDS
    assert signing_at(later, 30 * DAY + receipts.SPREAD_SECONDS - 1, 30 * DAY) == first
    assert signing_at(later, 30 * DAY + receipts.SPREAD_SECONDS, 30 * DAY) != first


@given(
    window=st.integers(60, 40 * DAY),
    looks=st.lists(st.integers(1, 10 * DAY), min_size=1, max_size=60),
)
def test_a_receipt_can_be_labelled_for_its_whole_window_whenever_keys_are_looked_at(
    window: int, looks: list[int]
) -> None:
    keys, now = receipts.new_keys(NOW), NOW
    signed: list[tuple[float, str]] = []
    for step in looks:
        # Whatever signs until the next look is the key that is active now.
        signed.append((now + step, json.loads(keys)["active"]))
        now += step
        keys = receipts.rotated(keys, now, window)
        known = json.loads(keys)["keys"]
        assert json.loads(keys)["active"] in known
        for served_until, kid in signed:
            if now <= served_until + window:
                assert kid in known
    assert json.loads(keys)["salt"] == json.loads(receipts.rotated(keys, now, window))["salt"]


def test_the_number_of_keys_stays_small() -> None:
    keys, now = receipts.new_keys(NOW), NOW
    for _ in range(200):
        now += DAY / 2
        keys = receipts.rotated(keys, now, DAY)
        assert len(json.loads(keys)["keys"]) <= 4


def test_keys_of_before_they_had_an_age_get_one_and_a_salt() -> None:
    old = json.dumps({"active": "k1", "keys": {"k1": base64.b64encode(bytes(32)).decode()}})
    aged = json.loads(receipts.rotated(old, NOW, DAY))
    assert (aged["active"], aged["made"]) == ("k1", {"k1": int(NOW)})
    assert len(base64.b64decode(aged["salt"])) == 32


def test_nonsense_is_no_key() -> None:
    assert receipts.merge(["", "{}", '{"active": "a", "keys": {"a": "AAAA"}}', "[]"]) is None


def test_a_key_of_a_member_that_was_away_goes_in_its_time_too() -> None:
    one, two = receipts.new_keys(NOW), receipts.new_keys(NOW)
    both = receipts.rotated(receipts.merge([one, two]) or "", NOW, DAY)
    kept = json.loads(receipts.rotated(both, NOW + DAY + receipts.SPREAD_SECONDS, DAY))["keys"]
    assert json.loads(two)["active"] in kept
    last = json.loads(receipts.rotated(both, NOW + DAY + receipts.SPREAD_SECONDS + 1, DAY))["keys"]
    assert json.loads(two)["active"] not in last


def test_keys_are_read_back_from_any_member() -> None:
    async def scenario() -> None:
        async with running() as (east, to_east), running() as (_, to_west):
            text = receipts.new_keys(NOW)
            east.put(PATH, a_secret(text))
            found = await receipts.read_keys({"east": to_east, "west": to_west}, "ml", "fraud")
            assert found == (text, True)

    asyncio.run(scenario())


def test_a_member_that_refuses_makes_it_incomplete() -> None:
    async def scenario() -> None:
        async with running() as (server, api):
            server.refuse[f"GET {PATH}"] = (403, "secrets is forbidden")
            assert await receipts.read_keys({"east": api}, "ml", "fraud") == (None, False)

    asyncio.run(scenario())
