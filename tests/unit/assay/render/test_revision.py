"""What makes another revision, and what does not."""

from typing import Any

import pytest

from assay.render.revision import follows_spec

from .builders import EIGHT, SEVEN, a_hash, a_status, on_trial, ref, rollout


def test_the_hash_is_fixed() -> None:
    # Written down on purpose: if this changes, every model that runs would get a trial.
    assert a_hash() == "f190f83174"
    assert a_hash(model__decision={"threshold": "0.37"}) == "cd54b3aaaf"
    assert a_hash(model__format="Onnx") == "5772adf1a8"
    assert a_hash(model__score="Decision") == "b93838f374"


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"model__uri": "http://mirror.example.com/7.skops"}, id="another uri"),
        pytest.param({"model__version": "7-retagged"}, id="another name for the same artifact"),
        pytest.param({"model__format": "Skops"}, id="the default format, written out"),
        pytest.param({"model__decision": {}}, id="a decision that says nothing"),
        pytest.param({"model__unsafe": "Refuse"}, id="the default of unsafe, written out"),
        pytest.param({"model__credentials": {"secretName": "reader"}}, id="credentials"),
        pytest.param({"model__signature": {"publicKeySecretName": "keys"}}, id="a signature"),
        pytest.param({"serving__replicas": 9}, id="more replicas"),
        pytest.param(
            {
                "serving__resources": {
                    "requests": {"cpu": "100m", "memory": "192Mi"},
                    "limits": {"memory": "512Mi"},
                }
            },
            id="the default resources, written out",
        ),
        pytest.param({"serving__resources": {}}, id="resources that say nothing"),
        pytest.param({"placement__clusterSelector": {"matchLabels": {"a": "b"}}}, id="placement"),
        pytest.param({"rollout__maxSeconds": 600}, id="rollout settings"),
        pytest.param({"feedback__labelWindowSeconds": 600}, id="feedback"),
        pytest.param({"traffic__hostnames": ["models.example.com"]}, id="traffic"),
    ],
)
def test_the_same_revision(changes: dict[str, Any]) -> None:
    assert a_hash(**changes) == a_hash()


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"model__digest": "sha256:" + "8" * 64}, id="another artifact"),
        pytest.param({"model__decision": {"threshold": "0.37"}}, id="a threshold"),
        pytest.param({"model__decision": {"positiveLabel": "1"}}, id="a positive label"),
        pytest.param({"model__format": "Onnx"}, id="another format"),
        pytest.param({"model__score": "Probability"}, id="what scores mean"),
        pytest.param({"serving__image": "example.com/own:2"}, id="an image of the user's choice"),
        pytest.param({"serving__resources": {"limits": {"memory": "1Gi"}}}, id="other resources"),
    ],
)
def test_another_revision(changes: dict[str, Any]) -> None:
    assert a_hash(**changes) != a_hash()


def test_a_revision_follows_the_spec_only_until_it_was_ready() -> None:
    starting = a_status(canary=ref(EIGHT), rollout=rollout("Starting"))

    assert follows_spec(starting, EIGHT)
    assert not follows_spec(starting, SEVEN)
    assert not follows_spec(on_trial(), EIGHT)
    assert not follows_spec(a_status(), SEVEN)
