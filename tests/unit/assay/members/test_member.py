"""One member against a real HTTP server: states, plans in order, other hubs, slowness."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from assay.api.conditions import Reason
from assay.api.model_cluster import ModelClusterSpec
from assay.members import member as module
from assay.members.errors import ApiError, MemberError
from assay.members.kubeconfig import Credentials
from assay.members.member import Member

from .apiserver import ApiServer, running, until
from .test_apply import R7, a_plan, a_revision, an_entry_plan

SPEC = ModelClusterSpec.model_validate(
    {
        "clusterSource": {"kubeConfig": {"secretName": "east"}},
        "prometheus": {"service": "monitoring/prometheus:9090"},
    }
)
LEASE = "/apis/coordination.k8s.io/v1/namespaces/assay-system/leases/assay"
ROUTE = "/apis/gateway.networking.k8s.io/v1/namespaces/ml/httproutes/fraud"
RECORD = "/api/v1/namespaces/ml/configmaps/fraud-rollout"


@contextlib.asynccontextmanager
async def a_member(*, connected: bool = True) -> AsyncIterator[tuple[ApiServer, Member]]:
    async with running() as (server, _):
        server.objects["/version"] = {"gitVersion": "v1.35.4"}

        async def credentials() -> Credentials:
            return Credentials(server=server.url, token="t")

        member = Member("east", SPEC, credentials, "origin-1", lambda *_: None, lambda _: None)
        task = asyncio.create_task(member.run())
        try:
            if connected:
                await until(lambda: member.state.reachable)
            yield server, member
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def test_it_connects_and_takes_the_lease() -> None:
    async def scenario() -> None:
        async with a_member() as (server, member):
            assert member.state.version == "v1.35.4"
            assert server.objects[LEASE]["spec"]["holderIdentity"] == "origin-1"
            view = await member.view("ml", "fraud")
            assert view.reachable
            assert view.route is None

    asyncio.run(scenario())


def test_a_member_of_another_hub_is_not_written() -> None:
    async def scenario() -> None:
        async with a_member(connected=False) as (server, member):
            lease = {
                "metadata": {"name": "assay"},
                "spec": {"holderIdentity": "other", "leaseDurationSeconds": 30},
            }
            server.put(LEASE, lease)
            await until(lambda: member.state.reason is Reason.HELD_BY_OTHER_HUB)
            assert "held by hub other" in member.state.message
            with pytest.raises(MemberError):
                await member.submit("ml", "fraud", a_plan())
            assert server.writes() == []
            assert not (await member.view("ml", "fraud")).reachable

    asyncio.run(scenario())


def test_missing_rights_are_said_in_the_servers_words() -> None:
    async def scenario() -> None:
        async with a_member(connected=False) as (server, member):
            server.refuse[f"GET {LEASE}"] = (403, "leases is forbidden")
            await until(lambda: member.state.reason is Reason.CREDENTIALS_INVALID)
            assert member.state.message == "not allowed: leases is forbidden"

    asyncio.run(scenario())


def test_only_the_newest_waiting_plan_is_applied() -> None:
    async def scenario() -> None:
        async with a_member() as (server, member):
            server.delay[f"PATCH {RECORD}"] = 0.05
            first = member.submit("ml", "fraud", a_plan(1))
            await asyncio.sleep(0.01)
            second = member.submit("ml", "fraud", a_plan(2))
            third = member.submit("ml", "fraud", a_plan(3))
            await third
            assert first.cancelled()
            assert second.cancelled()
            assert server.objects[ROUTE]["spec"] == {"weight": 3}
            records = [item for item in server.writes() if item == f"PATCH {RECORD}"]
            assert len(records) == 2

    asyncio.run(scenario())


def test_the_same_plan_again_waits_for_the_first() -> None:
    async def scenario() -> None:
        async with a_member() as (server, member):
            server.delay[f"PATCH {RECORD}"] = 0.05
            first = member.submit("ml", "fraud", a_plan(1))
            assert member.submit("ml", "fraud", a_plan(1)) is first
            await first

    asyncio.run(scenario())


def test_a_rollback_overtakes_what_hangs() -> None:
    async def scenario() -> None:
        async with a_member() as (server, member):
            server.delay[f"PATCH {RECORD}"] = 3600
            hanging = member.submit("ml", "fraud", a_plan(1, a_revision(R7)))
            await until(lambda: f"PATCH {RECORD}" in server.requests)
            server.delay.clear()
            rollback = member.submit("ml", "fraud", a_plan(2, a_revision(R7)), urgent=True)
            await rollback
            assert hanging.cancelled()
            after = server.writes()[server.writes().index(f"PATCH {RECORD}") + 1 :]
            assert after[0] == f"PATCH {ROUTE}"

    asyncio.run(scenario())


def test_an_error_comes_back_with_the_plan() -> None:
    async def scenario() -> None:
        async with a_member() as (server, member):
            server.refuse[f"PATCH {RECORD}"] = (404, 'namespaces "ml" not found')
            with pytest.raises(Exception, match='namespaces "ml" not found'):
                await member.submit("ml", "fraud", a_plan(1))
            assert ROUTE not in server.objects

    asyncio.run(scenario())


def test_removal_stops_what_is_being_applied() -> None:
    async def scenario() -> None:
        async with a_member() as (server, member):
            server.delay[f"PATCH {RECORD}"] = 3600
            applying = member.submit("ml", "fraud", a_plan(1))
            await until(lambda: f"PATCH {RECORD}" in server.requests)
            await member.remove("ml", "fraud")
            assert applying.cancelled()
            assert ROUTE not in server.objects

    asyncio.run(scenario())


def test_another_hub_ends_what_is_being_applied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.05)

    async def scenario() -> None:
        async with a_member() as (server, member):
            server.delay[f"PATCH {RECORD}"] = 3600
            applying = member.submit("ml", "fraud", a_plan(1))
            await until(lambda: f"PATCH {RECORD}" in server.requests)
            found = server.objects[LEASE]
            server.put(LEASE, {**found, "spec": {**found["spec"], "holderIdentity": "other"}})
            with pytest.raises(MemberError, match="held by hub other"):
                await applying
            assert ROUTE not in server.objects

    asyncio.run(scenario())


def test_nothing_more_is_written_once_the_lease_has_run_out() -> None:
    async def scenario() -> None:
        async with a_member() as (server, member):
            server.delay[f"PATCH {RECORD}"] = 0.1
            applying = member.submit("ml", "fraud", a_plan(1))
            await until(lambda: f"PATCH {RECORD}" in server.requests)
            assert member.session
            monotonic = member.session.lease._clock
            member.session.lease._clock = lambda: monotonic() + 25  # a pause of the process
            with pytest.raises(MemberError, match="could not be renewed in time"):
                await applying
            assert RECORD in server.objects
            assert ROUTE not in server.objects

    asyncio.run(scenario())


def test_a_plan_is_taken_again_after_it_was_ended() -> None:
    async def scenario() -> None:
        async with a_member() as (server, member):
            server.delay[f"PATCH {RECORD}"] = 3600
            ended = member.submit("ml", "fraud", a_plan(1))
            await until(lambda: f"PATCH {RECORD}" in server.requests)
            member._stop_work(MemberError(Reason.HELD_BY_OTHER_HUB, "held by hub other"))
            server.delay.clear()
            await member.submit("ml", "fraud", a_plan(1))
            assert isinstance(ended.exception(), MemberError)
            assert ROUTE in server.objects

    asyncio.run(scenario())


def test_what_was_removed_in_part_is_still_held(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with a_member() as (server, member):
            services = "DELETE /api/v1/namespaces/ml/services"
            server.refuse[services] = (500, "etcd is away")
            with pytest.raises(ApiError):
                await member.remove("ml", "fraud")
            assert member.holds("ml", "fraud")
            del server.refuse[services]
            server.delay[services] = 3600
            with monkeypatch.context() as patch:
                patch.setattr(module, "REMOVE_SECONDS", 0.1)
                with pytest.raises(MemberError, match=r"not removed within 0\.1 s"):
                    await member.remove("ml", "fraud")
            server.delay.clear()
            await member.remove("ml", "fraud")
            assert not member.holds("ml", "fraud")

    asyncio.run(scenario())


def test_with_new_credentials_it_is_not_believed_empty_before_it_was_seen() -> None:
    async def scenario() -> None:
        async with a_member() as (server, member):
            server.delay["GET /version"] = 0.1
            before = member.session
            member.reconnect()
            await until(lambda: member.session not in (None, before))
            assert not (await member.view("ml", "fraud")).reachable
            await until(lambda: member.state.reachable)

    asyncio.run(scenario())


ROUTES = "GET /apis/gateway.networking.k8s.io/v1/httproutes"


def test_a_member_without_gateways_is_in_reach_and_takes_an_entry_service() -> None:
    async def scenario() -> None:
        async with a_member(connected=False) as (server, member):
            server.refuse[ROUTES] = (404, "the server could not find the requested resource")
            await until(lambda: member.state.reachable)
            with pytest.raises(MemberError, match="no HTTPRoute in member east; install the Gate"):
                await member.submit("ml", "fraud", a_plan())
            plan = an_entry_plan(R7)
            await member.submit("ml", "fraud", plan, "mark")
            assert "/api/v1/namespaces/ml/services/fraud" in server.objects
            assert not any("httproutes/" in item for item in server.requests)
            view = await member.view("ml", "fraud")
            assert view.route is None
            assert view.entry is not None
            assert view.entry.stable == R7
            assert member.has_applied("ml", "fraud", "mark")
            await member.remove("ml", "fraud")
            assert "/api/v1/namespaces/ml/services/fraud" not in server.objects

    asyncio.run(scenario())


POLICIES = "GET /apis/gateway.envoyproxy.io/v1alpha1/backendtrafficpolicies"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (
            404,
            "no BackendTrafficPolicy in member east; install Envoy Gateway 1.9 there or take "
            "traffic.stickyBy away",
        ),
        (
            403,
            "the hub may not use BackendTrafficPolicy in member east; upgrade Assay's chart there "
            "(role=member) or take traffic.stickyBy away: nothing for you",
        ),
    ],
    ids=["another gateway", "an older chart"],
)
def test_a_member_that_cannot_keep_users_is_in_reach_and_says_why(code: int, expected: str) -> None:
    async def scenario() -> None:
        async with a_member(connected=False) as (server, member):
            server.refuse[POLICIES] = (code, "nothing for you")
            await until(lambda: member.state.reachable)
            view = await member.view("ml", "fraud")
            assert (view.sticky.by, view.sticky.problem) == (None, expected)

    asyncio.run(scenario())
