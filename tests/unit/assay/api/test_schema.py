"""The CRDs that the types make: structural, bounded, and what stands in crds/."""

import datetime
import pathlib
from collections.abc import Iterator
from typing import Any

import pydantic
import pytest
import yaml

from assay.api import schema
from assay.api.deployment_status import ModelDeploymentStatus, RolloutStatus, Stage
from assay.api.model_cluster import PrometheusSource
from assay.api.model_deployment import ModelDeploymentSpec, Rollout

ROOT = pathlib.Path(__file__).parents[4]


def nodes(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from nodes(value)
    elif isinstance(node, list):
        for value in node:
            yield from nodes(value)


@pytest.mark.parametrize("name", schema.definitions())
def test_files_on_disk_are_what_the_types_say(name: str) -> None:
    chart = next((ROOT / "charts/assay").glob(f"**/{name}"))

    assert yaml.safe_load((ROOT / "crds" / name).read_text()) == schema.definitions()[name]
    assert chart.read_text() == (ROOT / "crds" / name).read_text()


@pytest.mark.parametrize("name", schema.definitions())
def test_schema_is_structural_and_bounded(name: str) -> None:
    versions = schema.definitions()[name]["spec"]["versions"]
    properties = versions[0]["schema"]["openAPIV3Schema"]["properties"]
    for node in nodes([properties["spec"], properties["status"]]):
        assert not {"$ref", "anyOf", "title", "$defs"} & node.keys()
        if node.get("type") == "string":
            assert {"maxLength", "enum", "format"} & node.keys(), node
        if node.get("type") == "array":
            assert "maxItems" in node, node
        assert node.get("type") != "number", "no floats in the API"


def test_every_field_of_a_spec_is_documented() -> None:
    def undocumented(node: dict[str, Any], path: str) -> Iterator[str]:
        for name, field in node.get("properties", {}).items():
            if "description" not in field:
                yield f"{path}.{name}"
            yield from undocumented(field, f"{path}.{name}")
            yield from undocumented(field.get("items", {}), f"{path}.{name}[]")

    assert list(undocumented(schema.structural(ModelDeploymentSpec), "spec")) == []


def test_status_survives_the_way_to_the_api_server_and_back() -> None:
    status = ModelDeploymentStatus(
        observed_generation=3,
        rollout=RolloutStatus(
            id="0123456789",
            stage=Stage.TRIAL,
            started_at=datetime.datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=datetime.UTC),
            settings=Rollout(),
        ),
    )

    assert ModelDeploymentStatus.model_validate(status.to_dict()) == status
    assert "canary" not in status.to_dict()


@pytest.mark.parametrize(
    "url", ["https://user:pass@prometheus:9090", "http://user@p", "http://p/ q"]
)
def test_an_address_with_a_password_is_refused(url: str) -> None:
    with pytest.raises(pydantic.ValidationError, match="pattern"):
        PrometheusSource.model_validate({"url": url})
