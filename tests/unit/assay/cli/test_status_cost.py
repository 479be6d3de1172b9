"""`assay status` says what a deployment costs, to whoever may read the prices."""

import json
import pathlib
from typing import Any

import pytest
from click.testing import CliRunner

from assay.cli import main

from ..rollout.world import PROMOTE, World, on_trial  # noqa: TID252

PATH = "/apis/assay.dev/v1alpha1/namespaces/ml/modeldeployments/fraud"
CLUSTERS = "/apis/assay.dev/v1alpha1/modelclusters"
DENIED = 'modelclusters.assay.dev is forbidden: User "alice" cannot list resource "modelclusters"'


class Hub:
    """A hub with a trial at 50 %: 4 pods of stable and 2 of the canary in each of two members."""

    def __init__(self) -> None:
        self.world: World = on_trial(2, replicas=4)
        self.prices: dict[str, str | None] = {"east": "0.03", "west": "0.02"}
        self.denied = False
        self.content_types: list[str | None] = []

    def answer(self, method: str, path: str, body: Any) -> tuple[int, dict[str, Any]]:
        path = path.partition("?")[0]
        if path == CLUSTERS and self.denied:
            return 403, {"message": DENIED}
        if path == CLUSTERS:
            return 200, {"items": [_cluster(*item) for item in self.prices.items()]}
        if path != PATH:
            return 404, {"message": "not found"}
        return 200, {
            "metadata": {"name": "fraud", "namespace": "ml", "generation": self.world.generation},
            "spec": self.world.spec.to_dict(),
            "status": self.world.document,
        }


def _cluster(name: str, price: str | None) -> dict[str, Any]:
    spec = {
        "clusterSource": {"inCluster": {}},
        "prometheus": {"url": "http://prometheus"},
        **({} if price is None else {"cost": {"perReplicaHour": price}}),
    }
    return {"metadata": {"name": name}, "spec": spec}


@pytest.fixture
def hub() -> Hub:
    return Hub()


def status(kubeconfig: pathlib.Path, *words: str) -> str:
    result = CliRunner().invoke(main, ["status", "fraud", "--kubeconfig", str(kubeconfig), *words])
    assert result.exit_code == 0, result.output
    return " ".join(result.stdout.split()) if "-o" not in words else result.stdout


def test_it_says_what_runs_now_and_what_the_trial_cost(hub: Hub, kubeconfig: pathlib.Path) -> None:
    text = status(kubeconfig)
    assert "cost per month 219.00 (east 131.40; west 87.60), 12 pods now" in text
    assert f"cost of rollout {hub.world.rollout.id} " in text
    assert " so far " in text


def test_json_has_status_and_cost(hub: Hub, kubeconfig: pathlib.Path) -> None:
    found = json.loads(status(kubeconfig, "-o", "json"))
    assert list(found) == ["namespace", "name", "generation", "status", "cost", "costUnknown"]
    assert found["status"] == hub.world.document
    cost = found["cost"]
    assert (list(cost), found["costUnknown"]) == (
        ["pods", "perHour", "perMonth", "trial", "past"],
        None,
    )
    assert cost["pods"] == {"east": 6, "west": 6}
    assert cost["perHour"] == {
        "total": "0.3", "members": {"east": "0.18", "west": "0.12"}, "unpriced": [],
    }  # fmt: skip
    assert list(cost["trial"]) == ["total", "members", "unpriced"]


def test_who_may_not_read_prices_is_told_and_sees_the_rest(
    hub: Hub, kubeconfig: pathlib.Path
) -> None:
    hub.denied = True
    text = status(kubeconfig)
    assert f"cost prices are not readable: {DENIED}" in text
    assert "stable version 7 (7777777777)" in text
    found = json.loads(status(kubeconfig, "-o", "json"))
    assert found["cost"] is None
    assert found["costUnknown"] == f"prices are not readable: {DENIED}"


def test_a_member_without_a_price_is_named(hub: Hub, kubeconfig: pathlib.Path) -> None:
    hub.prices = {"east": "0.03", "west": None}
    assert "cost per month 131.40 (no price for west), 12 pods now" in status(kubeconfig)
    hub.prices = {"east": None, "spare": "1"}
    assert "cost per month unknown (no price for east; west), 12 pods now" in status(kubeconfig)


def test_a_hub_without_prices_is_told_nothing_of_them(hub: Hub, kubeconfig: pathlib.Path) -> None:
    hub.prices = {"east": None, "west": None}
    assert "cost" not in status(kubeconfig)
    found = json.loads(status(kubeconfig, "-o", "json"))["cost"]
    assert found["perMonth"] == {"total": None, "members": {}, "unpriced": ["east", "west"]}


def test_a_model_cluster_of_a_newer_hub_has_no_price(hub: Hub, kubeconfig: pathlib.Path) -> None:
    hub.prices["east"] = "3e-2"
    assert "87.60 (no price for east)" in status(kubeconfig)


def test_it_says_what_rollouts_before_the_last_one_cost(hub: Hub, kubeconfig: pathlib.Path) -> None:
    world = hub.world
    first = world.rollout.id
    world.later(3600).with_judgement(PROMOTE).run()
    world.later(60).run()
    assert f"cost of rollout {first} " in status(kubeconfig)
    found = json.loads(status(kubeconfig, "-o", "json"))["cost"]
    assert found["past"] == {first: found["trial"]}

    world.later(3600).asks_for("9" * 10).run()
    text = status(kubeconfig)
    assert f"cost of rollout {world.rollout.id} " in text
    assert f"cost of rollout {first} " in text
    assert json.loads(status(kubeconfig, "-o", "json"))["cost"]["past"] == found["past"]
