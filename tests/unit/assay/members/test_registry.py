"""What a changed ModelCluster means for the connection to its member."""

import asyncio
from typing import Any

import pytest

from assay.members.registry import Registry
from assay.placement import Candidate

from .test_member import SPEC


@pytest.mark.parametrize(
    ("change", "again"),
    [
        pytest.param({"capacity": {"replicas": 4}}, False, id="its room"),
        pytest.param({"taints": [{"key": "gone", "effect": "NoExecute"}]}, False, id="a taint"),
        pytest.param({"region": "eu"}, False, id="where it lies"),
        pytest.param({"prometheus": {"url": "http://elsewhere"}}, True, id="its Prometheus"),
        pytest.param(
            {"clusterSource": {"kubeConfig": {"secretName": "other"}}}, True, id="its credentials"
        ),
    ],
)
def test_only_another_way_to_reach_it_connects_again(change: dict[str, Any], again: bool) -> None:  # noqa: FBT001
    async def scenario() -> None:
        async def secret(_: str) -> dict[str, bytes] | None:
            return None

        members = Registry("origin-1", secret, lambda *_: None, lambda _: None)
        members.update(Candidate("east", {}, SPEC))
        before = members.get("east")
        changed = type(SPEC).model_validate(
            {**SPEC.model_dump(by_alias=True, exclude_none=True), **change}
        )
        members.update(Candidate("east", {}, changed))
        after = members.get("east")
        await members.close()
        assert after is not None
        assert after.spec == changed
        assert (after is not before) is again

    asyncio.run(scenario())
