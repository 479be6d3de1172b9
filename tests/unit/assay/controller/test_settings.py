"""What the environment may say."""

import json
import logging
from pathlib import Path

import pytest

from assay.controller import logs, settings
from assay.render.revision import STRICT, Policy

GOOD = {"ASSAY_NAMESPACE": "assay-system", "ASSAY_SERVER_IMAGE": "server:1", "POD_NAME": "op-1"}


def test_defaults() -> None:
    found = settings.read(GOOD)
    assert (found.metrics_port, found.leader_election, found.identity) == (8080, True, "op-1")
    assert found.policy == STRICT
    assert found.stratum_lead_seconds == 120
    assert found.namespaces == ()
    assert settings.read({**GOOD, "ASSAY_NAMESPACES": "ml fraud"}).namespaces == ("ml", "fraud")
    assert settings.read({**GOOD, "ASSAY_TRUSTED_TYPES": "", "ASSAY_ALLOW_UNSAFE_MODELS": "False"})


def test_what_models_may_be_is_the_operators_to_say() -> None:
    types = '["sklearn.tree._tree.Tree", "a.B", "a.B"]'
    found = settings.read(
        {**GOOD, "ASSAY_TRUSTED_TYPES": types, "ASSAY_ALLOW_UNSAFE_MODELS": "true"}
    )
    assert found.policy == Policy(("a.B", "sklearn.tree._tree.Tree"), unsafe_models=True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ASSAY_NAMESPACE", ""),
        ("ASSAY_SERVER_IMAGE", ""),
        ("ASSAY_METRICS_PORT", "http"),
        ("ASSAY_LOG_LEVEL", "loud"),
        ("ASSAY_LEADER_ELECTION", "yes"),
        ("ASSAY_ALLOW_UNSAFE_MODELS", "yes"),
        ("ASSAY_STRATUM_LEAD_SECONDS", "0"),
        ("ASSAY_STRATUM_LEAD_SECONDS", "2m"),
        ("ASSAY_TRUSTED_TYPES", "sklearn.tree._tree.Tree"),
        ("ASSAY_TRUSTED_TYPES", '{"a.B": 1}'),
        ("ASSAY_TRUSTED_TYPES", '["Tree"]'),
        ("ASSAY_TRUSTED_TYPES", '["a.B, c.D"]'),
        ("ASSAY_TRUSTED_TYPES", "[1]"),
    ],
)
def test_what_is_wrong_is_named(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=name):
        settings.read({**GOOD, name: value})


def test_access_providers_come_from_their_file(tmp_path: Path) -> None:
    file = tmp_path / "providers.json"
    config = {"apiVersion": "client.authentication.k8s.io/v1", "command": "/plugins/a"}
    file.write_text(json.dumps({"providers": [{"name": "a", "execConfig": config}]}))
    given = {**GOOD, "ASSAY_ACCESS_PROVIDERS_FILE": str(file)}
    found = settings.read({**given, "ASSAY_CLUSTER_PROFILE_NAMESPACES": "fleet other"})
    assert [provider.name for provider in found.providers] == ["a"]
    assert found.profile_namespaces == ("fleet", "other")
    assert settings.read(GOOD).providers == ()
    file.write_text("{}")
    with pytest.raises(ValueError, match=r"ASSAY_ACCESS_PROVIDERS_FILE: .*providers: Field"):
        settings.read(given)
    file.unlink()
    with pytest.raises(ValueError, match=r"ASSAY_ACCESS_PROVIDERS_FILE: .*No such file"):
        settings.read(given)


def test_a_log_line_is_json_and_names_the_deployment() -> None:
    record = logging.LogRecord("assay", logging.INFO, "", 0, 'a "quoted" %s', ("word",), None)
    token = logs.deployment.set("ml/fraud")
    try:
        line = json.loads(logs.JsonFormatter().format(record))
    finally:
        logs.deployment.reset(token)
    assert (line["message"], line["deployment"]) == ('a "quoted" word', "ml/fraud")
