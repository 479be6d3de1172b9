"""What a kubeconfig out of a Secret may hold, and what is refused."""

import base64
import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from assay.api.conditions import Reason
from assay.members import kubeconfig
from assay.members.errors import MemberError

PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


def a_kubeconfig(
    user: dict[str, Any] | None = None, cluster: dict[str, Any] | None = None
) -> dict[str, Any]:
    return {
        "current-context": "east",
        "contexts": [{"name": "east", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [
            {
                "name": "c",
                "cluster": {
                    "server": "https://east.example.com:6443/",
                    "certificate-authority-data": base64.b64encode(PEM.encode()).decode(),
                    **(cluster or {}),
                },
            }
        ],
        "users": [{"name": "u", "user": {"token": "t0ken"} if user is None else user}],
    }


def refusal(document: Any) -> str:
    with pytest.raises(MemberError) as caught:
        kubeconfig.parse(document if isinstance(document, str) else yaml.safe_dump(document))
    assert caught.value.reason is Reason.CREDENTIALS_INVALID
    return caught.value.message


def test_token_and_authority_are_read() -> None:
    found = kubeconfig.parse(yaml.safe_dump(a_kubeconfig()))
    assert (found.server, found.token, found.ca) == ("https://east.example.com:6443", "t0ken", PEM)


def test_repr_shows_no_secret() -> None:
    assert "t0ken" not in repr(kubeconfig.parse(yaml.safe_dump(a_kubeconfig())))


@pytest.mark.parametrize(
    ("user", "message"),
    [
        ({"exec": {"command": "aws"}}, "user.exec is refused"),
        ({"token": "t", "exec": {"command": "aws"}}, "user.exec is refused"),
        ({"auth-provider": {"name": "gcp"}}, "user.auth-provider is refused"),
        ({"tokenFile": "/etc/passwd"}, "user.tokenFile is refused"),
        ({"username": "a", "password": "b"}, "user.username is refused"),
        ({"client-certificate": "/etc/x", "client-key": "/etc/y"}, "names a file"),
        ({"client-certificate-data": "QQ=="}, "must both be there"),
        ({"client-certificate-data": "%", "client-key-data": "%"}, "is not base64"),
        ({}, "neither a token nor a client certificate"),
    ],
)
def test_user_is_refused(user: dict[str, Any], message: str) -> None:
    assert message in refusal(a_kubeconfig(user=user))


@pytest.mark.parametrize(
    ("cluster", "message"),
    [
        ({"insecure-skip-tls-verify": True}, "insecure-skip-tls-verify is refused"),
        ({"server": "http://east.example.com"}, "must be an https:// address"),
        ({"proxy-url": "http://proxy"}, "proxy-url is not supported"),
        ({"certificate-authority-data": "", "certificate-authority": "/etc/ca"}, "names a file"),
    ],
)
def test_cluster_is_refused(cluster: dict[str, Any], message: str) -> None:
    assert message in refusal(a_kubeconfig(cluster=cluster))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (": : bad", "is not YAML (line 1)"),
        ("hello", "is not a mapping"),
        ("{}", "no context named None"),
    ],
)
def test_text_is_refused(text: str, message: str) -> None:
    assert message in refusal(text)


def test_missing_user_is_named() -> None:
    document = copy.deepcopy(a_kubeconfig())
    document["users"] = []
    assert "there is no user named 'u' under users" in refusal(document)


def test_in_cluster_reads_the_token_again(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("first\n")
    (tmp_path / "ca.crt").write_text(PEM)
    environ = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    found = kubeconfig.in_cluster(environ, tmp_path)
    assert (found.server, found.current_token()) == ("https://[fd00::1]:443", "first")
    (tmp_path / "token").write_text("second\n")
    assert found.current_token() == "second"


def test_in_cluster_outside_of_a_pod(tmp_path: Path) -> None:
    with pytest.raises(MemberError, match="does not run in a pod"):
        kubeconfig.in_cluster({}, tmp_path)
