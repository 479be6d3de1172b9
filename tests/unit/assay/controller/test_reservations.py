"""What all ModelDeployments hold in the members."""

from typing import Any

import pytest

from assay.api.deployment_status import ModelDeploymentStatus
from assay.controller.hub import deployment
from assay.controller.reservations import Reservations, held, in_use
from assay.rollout import MemberView, PodsView

from .test_memory import a_document

FRAUD, CHURN = ("ml", "fraud"), ("ml", "churn")
REVISION = {"revision": "8" * 10, "version": "8", "digest": "sha256:" + "8" * 64}


def test_others_hold_what_all_hold_but_oneself() -> None:
    reservations = Reservations()
    reservations.hold(FRAUD, {"east": 2, "west": 1})
    reservations.hold(CHURN, {"east": 3})
    reservations.hold(CHURN, {"east": 1, "west": 4})

    assert reservations.of_others(FRAUD) == {"east": 1, "west": 4}
    assert reservations.of_others(CHURN) == {"east": 2, "west": 1}
    reservations.release(CHURN)
    assert reservations.of_others(FRAUD) == {"east": 0, "west": 0}


def test_the_hub_tells_a_new_operator() -> None:
    clusters = [{"name": "east", "reachable": True, "replicas": 3}]
    reservations = Reservations()
    reservations.fill([deployment(a_document(clusters=clusters))])

    assert reservations.of_others(CHURN) == {"east": 3}


def test_who_lacks_room_is_woken_when_some_becomes_free_and_nobody_else() -> None:
    woken: list[tuple[str, str]] = []
    reservations = Reservations(lambda *key: woken.append(key))
    reservations.hold(FRAUD, {"east": 4})
    reservations.hold(CHURN, {"east": 1}, lacking=True)
    reservations.hold(("ml", "clicks"), {"east": 1})
    reservations.hold(FRAUD, {"east": 4, "west": 1})
    assert woken == []

    reservations.hold(FRAUD, {"east": 3, "west": 2})
    assert woken == [CHURN]
    reservations.hold(CHURN, {"east": 2})
    reservations.release(FRAUD)
    assert woken == [CHURN]


@pytest.mark.parametrize(
    ("status", "replicas"),
    [
        pytest.param({"replicas": 3, "desired": 6}, 3, id="as placement wrote it"),
        pytest.param({"desired": 6}, 6, id="an older operator's, at rest"),
        pytest.param({"desired": 0, "revision": "8" * 10}, 1, id="unknown, but it serves"),
        pytest.param({"desired": 0}, 0, id="nothing yet"),
    ],
)
def test_what_a_status_says_is_held(status: dict[str, Any], replicas: int) -> None:
    cluster = {"name": "east", "reachable": True, **status}

    assert held(ModelDeploymentStatus.model_validate({"clusters": [cluster]})) == {"east": replicas}


def test_an_older_status_counts_both_revisions_of_a_trial() -> None:
    cluster = {"name": "east", "reachable": True, "desired": 6}
    status = {"clusters": [cluster], "stable": REVISION, "canary": REVISION}

    assert held(ModelDeploymentStatus.model_validate(status)) == {"east": 3}


def test_what_is_still_there_counts_until_it_is_gone() -> None:
    pods = {"8" * 10: PodsView(4, 4)}
    views = [
        MemberView("east", reachable=True, revisions=pods, replicas=2),
        MemberView("west", reachable=True, replicas=2),
        MemberView("south", reachable=True, revisions=pods),
        MemberView("north", reachable=False),
    ]

    assert in_use(views, {"north": 3}) == {"east": 4, "west": 2, "south": 4, "north": 3}
