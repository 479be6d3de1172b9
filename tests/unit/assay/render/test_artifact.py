"""How the artifact comes: what the container that fetches gets, and the one that serves does not."""

import json
from typing import Any

import pytest

from assay.render.artifact import CLAIMS_DIRECTORY, CREDENTIALS_DIRECTORY, SIGNERS_DIRECTORY
from assay.render.revision import STRICT, Policy, pod_template

from .builders import IMAGE, SEVEN, a_spec

Template = dict[str, Any]


def a_template(policy: Policy = STRICT, **model: Any) -> Template:
    spec = a_spec(**{f"model__{name}": value for name, value in model.items()})
    template: Template = pod_template("fraud", "ml", spec, SEVEN, IMAGE, policy)["spec"]
    return template


def mounts(container: dict[str, Any]) -> dict[str, str]:
    return {item["name"]: item["mountPath"] for item in container["volumeMounts"]}


def settings(template: Template) -> dict[str, str]:
    [server] = template["containers"]
    return {item["name"]: item["value"] for item in server["env"]}


def fetch_and_server(template: Template) -> tuple[dict[str, Any], dict[str, Any]]:
    [fetch], [server] = template["initContainers"], template["containers"]
    return fetch, server


SOURCES = {
    "credentials": (
        {"uri": "s3://models/7.skops", "credentials": {"secretName": "reader"}},
        ["--credentials-dir", CREDENTIALS_DIRECTORY],
        {"credentials": CREDENTIALS_DIRECTORY},
    ),
    "a signature": (
        {"signature": {"publicKeySecretName": "signers"}},
        ["--signers-dir", SIGNERS_DIRECTORY],
        {"signers": SIGNERS_DIRECTORY},
    ),
    "a signature elsewhere": (
        {"signature": {"publicKeySecretName": "signers", "uri": "https://h/$(X).sig"}},
        ["--signers-dir", SIGNERS_DIRECTORY, "--signature-uri", "https://h/$$(X).sig"],
        {"signers": SIGNERS_DIRECTORY},
    ),
    "a claim": (
        {"uri": "pvc://models/fraud/7.skops"},
        [],
        {"claim-0": f"{CLAIMS_DIRECTORY}/models"},
    ),
    "two claims": (
        {
            "uri": "pvc://models/fraud/7.skops",
            "signature": {"publicKeySecretName": "signers", "uri": "pvc://signatures/7.sig"},
        },
        ["--signers-dir", SIGNERS_DIRECTORY, "--signature-uri", "pvc://signatures/7.sig"],
        {
            "signers": SIGNERS_DIRECTORY,
            "claim-0": f"{CLAIMS_DIRECTORY}/models",
            "claim-1": f"{CLAIMS_DIRECTORY}/signatures",
        },
    ),
    "one claim for both": (
        {
            "uri": "pvc://models/7.skops",
            "signature": {"publicKeySecretName": "signers", "uri": "pvc://models/7.sig"},
        },
        ["--signers-dir", SIGNERS_DIRECTORY, "--signature-uri", "pvc://models/7.sig"],
        {"signers": SIGNERS_DIRECTORY, "claim-0": f"{CLAIMS_DIRECTORY}/models"},
    ),
}


@pytest.mark.parametrize(("model", "arguments", "more"), SOURCES.values(), ids=list(SOURCES))
def test_only_the_container_that_fetches_gets_what_opens_the_store(
    model: dict[str, Any], arguments: list[str], more: dict[str, str]
) -> None:
    plain, template = a_template(), a_template(**model)

    fetch, server = fetch_and_server(template)
    assert mounts(fetch) == mounts(fetch_and_server(plain)[0]) | more
    assert server == fetch_and_server(plain)[1]
    assert fetch["args"][7:] == arguments
    assert fetch["args"][2] == model.get("uri", fetch_and_server(plain)[0]["args"][2])
    assert "env" not in fetch
    assert "envFrom" not in fetch
    new = template["volumes"][len(plain["volumes"]) :]
    assert [volume["name"] for volume in new] == list(more)
    assert all(item["readOnly"] for item in fetch["volumeMounts"] if item["name"] in more)


def test_secrets_are_named_and_readable_by_the_group_only() -> None:
    template = a_template(
        credentials={"secretName": "reader"}, signature={"publicKeySecretName": "signers"}
    )

    secrets = {item["name"]: item.get("secret") for item in template["volumes"]}
    # Optional, so that the container itself says in status that a Secret is missing.
    assert secrets["credentials"] == {
        "secretName": "reader",
        "defaultMode": 0o440,
        "optional": True,
    }
    assert secrets["signers"] == {"secretName": "signers", "defaultMode": 0o440, "optional": True}


def test_claims_are_mounted_read_only() -> None:
    [*_, volume] = a_template(uri="pvc://models/7.skops")["volumes"]

    assert volume["persistentVolumeClaim"] == {"claimName": "models", "readOnly": True}


def test_the_restricted_profile_stays() -> None:
    template = a_template(uri="pvc://m/7", credentials={"secretName": "reader"})

    kinds = {kind for item in template["volumes"] for kind in item if kind != "name"}
    assert kinds <= {"emptyDir", "secret", "persistentVolumeClaim"}
    assert template["securityContext"] == a_template()["securityContext"]
    fetch, server = fetch_and_server(template)
    assert fetch["securityContext"] == server["securityContext"]
    assert fetch["securityContext"]["readOnlyRootFilesystem"]


def test_a_server_is_told_what_is_not_the_default() -> None:
    loading = {"ASSAY_FORMAT", "ASSAY_SCORE", "ASSAY_UNSAFE", "ASSAY_TRUSTED_TYPES"}

    assert not loading & settings(a_template()).keys()
    assert settings(a_template(format="Onnx"))["ASSAY_FORMAT"] == "Onnx"
    assert settings(a_template(score="Decision"))["ASSAY_SCORE"] == "Decision"


def test_trusted_types_are_the_operators() -> None:
    policy = Policy(trusted_types=("sklearn.tree._tree.Tree", "a.B"))

    found = settings(a_template(policy))["ASSAY_TRUSTED_TYPES"]
    assert json.loads(found) == ["sklearn.tree._tree.Tree", "a.B"]
    # What an ONNX file holds are no Python types.
    assert "ASSAY_TRUSTED_TYPES" not in settings(a_template(policy, format="Onnx"))


@pytest.mark.parametrize(
    ("policy", "model", "told"),
    [
        (STRICT, {"format": "Joblib", "unsafe": "Allow"}, None),
        (Policy(unsafe_models=True), {"format": "Joblib", "unsafe": "Allow"}, "Allow"),
        (Policy(unsafe_models=True), {"format": "Joblib"}, "Refuse"),
        (Policy(unsafe_models=True), {}, None),
    ],
)
def test_pickles_need_the_permission_of_both(
    policy: Policy, model: dict[str, str], told: str | None
) -> None:
    assert settings(a_template(policy, **model)).get("ASSAY_UNSAFE") == told
