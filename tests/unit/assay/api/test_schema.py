"""The CRDs that the types make: structural, bounded, and what stands in crds/."""

import datetime
import pathlib
from collections.abc import Iterator
from typing import Any

import pydantic
import pytest
import yaml

from assay.api import schema
from assay.api.analysis import Costs, Metric
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


def test_a_metric_is_read_and_written_by_the_names_of_the_api() -> None:
    document = {
        "name": "cost",
        "type": "Cost",
        "class": "1",
        "margin": "2",
        "costs": {"falsePositive": "1", "falseNegative": "12.5"},
    }

    metric = Metric.model_validate(document)

    assert (metric.class_, metric.costs) == ("1", Costs(false_positive="1", false_negative="12.5"))
    assert metric.to_dict() == {**document, "average": "Binary", "mode": "Decide"}


@pytest.mark.parametrize("text", ["-1", "1e3", ".5", "1.", "", "1" * 10, "0." + "1" * 10])
def test_numbers_of_a_metric_are_plain_decimals(text: str) -> None:
    with pytest.raises(pydantic.ValidationError):
        Metric.model_validate({"name": "f1", "type": "F1", "margin": text})


@pytest.mark.parametrize(
    "url", ["https://user:pass@prometheus:9090", "http://user@p", "http://p/ q"]
)
def test_an_address_with_a_password_is_refused(url: str) -> None:
    with pytest.raises(pydantic.ValidationError, match="pattern"):
        PrometheusSource.model_validate({"url": url})
