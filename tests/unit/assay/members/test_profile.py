"""From a ClusterProfile and the operator's list of programs to one way in, or to a clear refusal."""

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest

from assay.api.conditions import ConditionStatus, Reason
from assay.api.model_cluster import ModelClusterSpec
from assay.members import profile, providers
from assay.members.errors import MemberError
from assay.members.login import Credential
from assay.members.providers import Provider
from assay.members.registry import Registry
from assay.placement import Candidate

from .apiserver import until
from .test_plugin import credential, prints

CA = base64.b64encode(b"-----BEGIN CERTIFICATE-----").decode()
SPEC = ModelClusterSpec.model_validate(
    {
        "clusterSource": {"clusterProfileRef": {"namespace": "fleet", "name": "east"}},
        "prometheus": {"service": "monitoring/prometheus:9090"},
    }
)


def a_provider(name: str, **fields: Any) -> dict[str, Any]:
    config = {"apiVersion": "client.authentication.k8s.io/v1", "command": f"/plugins/{name}"}
    return {"name": name, "execConfig": {**config, **fields}}


def a_list(*documents: dict[str, Any]) -> tuple[Provider, ...]:
    return providers.parse(json.dumps({"providers": documents}))


def a_profile(*offers: tuple[str, dict[str, Any]], older: bool = False) -> dict[str, Any]:
    field = "credentialProviders" if older else "accessProviders"
    return {
        "metadata": {"namespace": "fleet", "name": "east"},
        "status": {field: [{"name": name, "cluster": cluster} for name, cluster in offers]},
    }


def at(host: str, **fields: Any) -> dict[str, Any]:
    return {"server": f"https://{host}:6443", "certificate-authority-data": CA, **fields}


def test_the_operators_order_decides() -> None:
    found = profile.access(
        a_profile(("b", at("b")), ("a", at("a")), ("c", at("c"))),
        a_list(a_provider("x"), a_provider("a"), a_provider("b")),
    )
    assert (found.provider.name, found.server) == ("a", "https://a:6443")
    assert found.ca == "-----BEGIN CERTIFICATE-----"


def test_the_older_name_of_the_list_gives_way() -> None:
    document = a_profile(("a", at("old")), ("b", at("b")), older=True)
    assert profile.access(document, a_list(a_provider("a"))).server == "https://old:6443"
    document["status"]["accessProviders"] = [{"name": "a", "cluster": at("new")}]
    assert profile.access(document, a_list(a_provider("a"))).server == "https://new:6443"


def test_a_program_of_the_profile_is_never_run() -> None:
    """Whatever it brings: only the reserved extension is handed on, as data."""
    config = {"clusterName": "east", "command": "/bin/sh"}
    extensions = [
        {"name": "client.authentication.k8s.io/exec", "extension": config},
        {
            "name": "clusterprofiles.multicluster.x-k8s.io/exec/additional-args",
            "extension": ["--output=/etc/passwd"],
        },
        {
            "name": "clusterprofiles.multicluster.x-k8s.io/exec/additional-envs",
            "extension": {"LD_PRELOAD": "/x.so"},
        },
    ]
    document = a_profile(("a", at("a", extensions=extensions)))
    document["status"]["accessProviders"][0]["exec"] = {"command": "/bin/sh"}
    listed = a_list(a_provider("a", provideClusterInfo=True))
    found = profile.access(document, listed)
    assert found.provider == listed[0]
    assert found.request["spec"] == {
        "interactive": False,
        "cluster": {**at("a"), "config": config},
    }


@pytest.mark.parametrize(
    ("document", "reason", "message"),
    [
        (a_profile(("b", at("b"))), Reason.ACCESS_PROVIDER_NOT_ALLOWED, "access providers b; the"),
        ({**a_profile(), "status": {}}, Reason.ACCESS_PROVIDER_NOT_ALLOWED, "providers none; the"),
        (a_profile(("a", {"server": "http://a"})), Reason.CREDENTIALS_INVALID, "https://"),
        (
            a_profile(("a", at("a", **{"insecure-skip-tls-verify": True}))),
            Reason.CREDENTIALS_INVALID,
            "access provider a: insecure-skip-tls-verify is refused",
        ),
        (
            a_profile(("a", {"server": "https://a", "certificate-authority": "/etc/shadow"})),
            Reason.CREDENTIALS_INVALID,
            "certificate-authority names a file",
        ),
        (a_profile(("a", at("a", **{"proxy-url": "http://x"}))), Reason.CREDENTIALS_INVALID, "proxy"),
    ],
)  # fmt: skip
def test_what_cannot_be_used(document: dict[str, Any], reason: Reason, message: str) -> None:
    with pytest.raises(MemberError, match=message) as caught:
        profile.access(document, a_list(a_provider("a")))
    assert caught.value.reason is reason


def test_health_is_the_managers_word() -> None:
    document = a_profile()
    assert profile.health(document) is None
    document["status"]["conditions"] = [
        {"type": "Joined", "status": "True"},
        {"type": "ControlPlaneHealthy", "status": "False", "reason": "Down"},
    ]
    assert profile.health(document) == (ConditionStatus.FALSE, "Down")


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"name": "a"}, r"providers\.0\.execConfig: Field required"),
        (a_provider("a", command="kubelogin"), r"providers\.0\.execConfig\.command"),
        (a_provider("a", apiVersion="v1beta1"), r"execConfig\.apiVersion"),
        (a_provider("a", interactiveMode="Always"), r"execConfig\.interactiveMode"),
        (a_provider("a", env=[{"name": "A=B", "value": "hunter2"}]), r"execConfig\.env\.0\.name"),
        ({**a_provider("a"), "profileSourcedCLIArgsPolicy": "Append"}, "CLIArgsPolicy"),
        ({**a_provider("a"), "profileSourcedEnvVarsPolicy": "Replace"}, "EnvVarsPolicy"),
    ],
)
def test_a_list_that_is_wrong_names_the_field(item: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        a_list(item)
    assert "hunter2" not in str(caught.value)


def test_a_name_is_there_once() -> None:
    with pytest.raises(ValueError, match="name 'a' is there twice"):
        a_list(a_provider("a"), a_provider("a"))
    with pytest.raises(ValueError, match="JSON"):
        providers.parse("{")


def test_a_connection_made_anew_goes_on_with_the_same_credentials(tmp_path: Path) -> None:
    """And one to another server does not."""
    access = prints(tmp_path, credential({"token": "t"}))

    async def scenario() -> None:
        served = [a_profile(("test", at("127.0.0.1")))]

        async def read(namespace: str, name: str) -> dict[str, Any]:
            assert (namespace, name) == ("fleet", "east")
            return served[-1]

        async def secret(_: str) -> None:
            return None

        members = Registry(
            "origin-1",
            secret,
            lambda *_: None,
            lambda _: None,
            profile=read,
            providers=(access.provider,),
        )
        members.update(Candidate("east", {}, SPEC))
        ask = members._credentials
        try:
            first, second = await ask("east", SPEC), await ask("east", SPEC)
            assert first.current_token() == "t"
            assert first.login is second.login
            served.append(a_profile(("test", at("127.0.0.2"))))
            moved = await ask("east", SPEC)
            assert moved.login is not first.login
            assert moved.server == "https://127.0.0.2:6443"
            assert moved.login
            assert moved.login.credential == Credential(token="t")
        finally:
            await members.close()

    asyncio.run(scenario())


def test_without_a_list_nothing_is_read(tmp_path: Path) -> None:
    async def scenario() -> None:
        async def secret(_: str) -> None:
            return None

        members = Registry("origin-1", secret, lambda *_: None, lambda _: None)
        members.update(Candidate("east", {}, SPEC))
        member = members.get("east")
        assert member
        await until(lambda: member.state.reason is Reason.ACCESS_PROVIDER_NOT_ALLOWED)
        assert "operator.accessProviders" in member.state.message
        await members.close()

    asyncio.run(scenario())
