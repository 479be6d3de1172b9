"""Argo CD's actions: offered when the operator would do it, and then it does it."""

import copy
from collections.abc import Callable

import pytest
import yaml

from assay.api.request import ANNOTATION, Request, Verb, parse
from tests.unit.assay.rollout.world import World, on_trial, serving
from tests.unit.gitops import argocd, states

VERBS = {name: Verb(name) for name in ("pause", "resume", "approve", "promote", "abort", "retry")}
VERBS["promote-full"] = Verb.PROMOTE

# What status does not say: whether every pod and route is there at this moment.
_MOMENTARY = ("the canary is not ready in every reachable member", "the routes do not all show")


def blue_green() -> World:
    """A blue-green trial that waits for approval of its switch."""
    return on_trial(type="BlueGreen", blueGreen={"approval": "Manual"})


STATES = {
    **{
        name: make
        for name, make in states.STATES.items()
        # The look that takes a request may be the one that ends a rollback: then a retry is taken, too.
        if make not in {states.new, states.changed, states.rolling_back}
    },
    "trial in its last step": lambda: on_trial(2),
    "blue-green, waits for approval": blue_green,
}


@pytest.mark.parametrize("make", STATES.values(), ids=STATES.keys())
def test_an_action_is_offered_if_the_operator_would_do_it(make: Callable[[], World]) -> None:
    before = make()
    offered = argocd.actions(states.shown(before))
    assert offered.keys() == VERBS.keys()

    for name, verb in VERBS.items():
        world = copy.deepcopy(before)
        document = argocd.act(name, states.shown(world))
        request = parse(document["metadata"]["annotations"][ANNOTATION])
        assert isinstance(request, Request), request
        assert request.verb is verb
        world.request = document["metadata"]["annotations"][ANNOTATION]
        world.look()
        answer = world.answer
        assert answer.id == f"argocd-{name}-4711"
        momentary = any(why in answer.message for why in _MOMENTARY)
        assert (answer.result == "Done") == (offered[name] and not momentary), (name, answer)


@pytest.mark.parametrize("make", [states.new, states.changed])
def test_nothing_is_offered_before_the_operator_has_looked(make: Callable[[], World]) -> None:
    assert not any(argocd.actions(states.shown(make())).values())


def test_other_annotations_stay() -> None:
    document = states.shown(on_trial())
    document["metadata"]["annotations"] = {"team": "fraud"}

    changed = argocd.act("pause", document)

    assert changed["metadata"]["annotations"].keys() == {"team", ANNOTATION}
    assert changed["spec"]["model"] == document["spec"]["model"]


def test_the_config_map_has_every_script() -> None:
    path = argocd.ROOT / "gitops/argocd/argocd-cm.yaml"
    data = yaml.safe_load(path.read_text())["data"]
    actions = yaml.safe_load(data["resource.customizations.actions.assay.dev_ModelDeployment"])

    assert {item["name"] for item in actions["definitions"]} == VERBS.keys()
    for kind in ("ModelDeployment", "ModelCluster"):
        script = argocd.SCRIPTS / kind / "health.lua"
        assert data[f"resource.customizations.health.assay.dev_{kind}"] == script.read_text()


def test_serving_offers_nothing() -> None:
    assert not any(argocd.actions(states.shown(serving())).values())
