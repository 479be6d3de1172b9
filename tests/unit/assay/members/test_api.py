"""How an API server's answers, and its silence, come back."""

import asyncio

import pytest

from assay.api.conditions import Reason
from assay.members.api import Api
from assay.members.errors import ApiError, MemberError
from assay.members.kubeconfig import Credentials

from .apiserver import running

PATH = "/api/v1/namespaces/ml/configmaps/one"


def error_of(path_answer: tuple[int, str]) -> Exception:
    async def scenario() -> None:
        async with running() as (server, api):
            server.refuse[f"GET {PATH}"] = path_answer
            await api.get(PATH)

    with pytest.raises((ApiError, MemberError)) as caught:
        asyncio.run(scenario())
    return caught.value


def test_a_refusal_keeps_the_servers_words() -> None:
    error = error_of((403, "configmaps is forbidden"))
    assert isinstance(error, ApiError)
    assert (error.status, error.message) == (403, "configmaps is forbidden")


def test_unauthorized_concerns_the_whole_member() -> None:
    error = error_of((401, "Unauthorized"))
    assert isinstance(error, MemberError)
    assert error.reason is Reason.CREDENTIALS_INVALID


def test_the_token_is_in_no_message() -> None:
    assert "secret-token" not in str(error_of((401, "Unauthorized")))


def test_a_black_hole_is_left_in_time() -> None:
    async def scenario() -> None:
        async with running() as (server, api):
            server.delay[f"GET {PATH}"] = 3600
            await api.request("GET", PATH, seconds=0.1)

    with pytest.raises(MemberError, match=r"no answer within 0\.1 s"):
        asyncio.run(scenario())


def test_a_closed_port_is_unreachable() -> None:
    async def scenario() -> None:
        api = Api(Credentials(server="http://127.0.0.1:1"), "nobody")
        try:
            await api.get("/version")
        finally:
            await api.close()

    with pytest.raises(MemberError) as caught:
        asyncio.run(scenario())
    assert caught.value.reason is Reason.MEMBERS_UNREACHABLE


def test_unusable_certificates_are_named() -> None:
    credentials = Credentials(server="https://x", certificate="no PEM", key="no PEM")
    with pytest.raises(MemberError, match="certificates cannot be used"):
        Api(credentials, "x")


def test_what_is_missing_is_none() -> None:
    async def scenario() -> None:
        async with running() as (_, api):
            assert await api.find(PATH) is None
            await api.delete(PATH)

    asyncio.run(scenario())


def test_apply_forces_and_names_us() -> None:
    async def scenario() -> None:
        async with running() as (server, api):
            document = {"kind": "ConfigMap", "metadata": {"namespace": "ml", "name": "one"}}
            await api.apply(document)
            assert server.requests == [f"PATCH {PATH}"]
            assert server.queries == [{"fieldManager": "assay", "force": "true"}]

    asyncio.run(scenario())


def test_a_write_asks_the_fences_first_and_takes_no_longer_than_they_say() -> None:
    def down() -> float:
        raise MemberError(Reason.MEMBERS_UNREACHABLE, "the Lease is over")

    async def scenario() -> None:
        async with running() as (server, api):
            server.objects[PATH] = {"metadata": {}}
            api.fences = (lambda: 5.0, down)
            await api.get(PATH)
            for method in ("POST", "PUT", "PATCH", "DELETE"):
                with pytest.raises(MemberError, match="the Lease is over"):
                    await api.request(method, PATH)
            assert server.writes() == []
            api.fences = (lambda: 5.0, lambda: 0.1)
            server.delay[f"DELETE {PATH}"] = 3600
            with pytest.raises(MemberError, match=r"no answer within 0\.1 s"):
                await api.delete(PATH)

    asyncio.run(scenario())
