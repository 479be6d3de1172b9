"""Receipt keys: new ones, and those that members already have."""

import asyncio
import base64
import json
from typing import Any

from assay.members import receipts

from .apiserver import running

PATH = "/api/v1/namespaces/ml/secrets/fraud-receipts"


def a_secret(text: str) -> dict[str, Any]:
    return {
        "metadata": {"name": "fraud-receipts"},
        "data": {"keys.json": base64.b64encode(text.encode()).decode()},
    }


def test_new_keys_are_random_and_long() -> None:
    first, second = json.loads(receipts.new_keys()), json.loads(receipts.new_keys())
    assert first != second
    assert len(base64.b64decode(first["keys"][first["active"]])) == 32
    assert len(first["active"]) == 4


def test_merging_keeps_every_key_and_the_first_active_one() -> None:
    one, two = receipts.new_keys(), receipts.new_keys()
    merged = json.loads(receipts.merge([one, two]) or "")
    assert merged["active"] == json.loads(one)["active"]
    assert merged["keys"] == {**json.loads(two)["keys"], **json.loads(one)["keys"]}


def test_nonsense_is_no_key() -> None:
    assert receipts.merge(["", "{}", '{"active": "a", "keys": {"a": "AAAA"}}', "[]"]) is None


def test_keys_are_read_back_from_any_member() -> None:
    async def scenario() -> None:
        async with running() as (east, to_east), running() as (_, to_west):
            text = receipts.new_keys()
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
