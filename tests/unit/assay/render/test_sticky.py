"""The policy that keeps users, and what the route tells servers of them."""

from typing import Any

import pytest

from assay.api.model_deployment import StickyBy, Traffic
from assay.render.naming import Identity
from assay.render.revision import pod_template, revision_hash
from assay.render.route import http_route, read_route
from assay.render.sticky import read_policy, sticky_policy
from assay.rollout.observation import RouteView, StickyView

from .builders import EIGHT, SEVEN, a_plan, a_spec, a_status, on_trial, rollout

IDENTITY = Identity("fraud", "ml", "hub")
HEADER, COOKIE = StickyBy(header="x-user-id"), StickyBy(cookie="session")


def accepted(manifest: dict[str, Any], **condition: Any) -> dict[str, Any]:
    """The policy as an API server returns it once a gateway has taken its generation 2."""
    said = {"type": "Accepted", "status": "True", "observedGeneration": 2, **condition}
    return {
        **manifest,
        "metadata": {**manifest["metadata"], "generation": 2},
        "status": {"ancestors": [{"conditions": [{"type": "Other", "status": "False"}, said]}]},
    }


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        (
            StickyBy(header="X-User-ID"),
            {"type": "Headers", "headers": [{"name": "x-user-id"}]},
        ),
        (COOKIE, {"type": "Cookie", "cookie": {"name": "session"}}),
    ],
    ids=["header", "cookie"],
)
def test_the_policy_hashes_what_names_the_user(by: StickyBy, expected: dict[str, Any]) -> None:
    policy = sticky_policy(IDENTITY, by)
    assert policy["spec"]["loadBalancer"] == {"type": "ConsistentHash", "consistentHash": expected}
    assert [item["name"] for item in policy["spec"]["targetRefs"]] == ["fraud"]
    assert policy["metadata"]["labels"]["assay.dev/origin"] == "hub"
    found = read_policy(accepted(policy)).by
    assert found is not None
    assert found.key == by.key


@pytest.mark.parametrize(
    ("live", "problem"),
    [
        (accepted(sticky_policy(IDENTITY, HEADER)), None),
        (
            accepted(
                sticky_policy(IDENTITY, HEADER),
                status="False",
                reason="Conflicted",
                message="another policy is older",
            ),
            "refuses the BackendTrafficPolicy: Conflicted: another policy is older",
        ),
        (
            accepted(
                sticky_policy(IDENTITY, HEADER),
                type="Overridden",
                reason="Overridden",
                message="by a policy for rule 0",
            ),
            "refuses the BackendTrafficPolicy: Overridden: by a policy for rule 0",
        ),
        (
            {"metadata": {}, "spec": {"loadBalancer": {"type": "Random"}}},
            "is not as it was written",
        ),
    ],
    ids=[
        "taken",
        "refused",
        "overridden",
        "changed by hand",
    ],
)
def test_users_are_kept_once_a_gateway_says_so(live: dict[str, Any], problem: str | None) -> None:
    said = read_policy(live).problem
    assert (said is None) == (problem is None)
    assert (problem or "") in (said or "")


@pytest.mark.parametrize(
    "live",
    [
        sticky_policy(IDENTITY, HEADER),
        accepted(sticky_policy(IDENTITY, HEADER), observedGeneration=1),
    ],
    ids=["nobody said anything", "an older generation was taken"],
)
def test_a_policy_does_nothing_before_a_gateway_has_taken_it(live: dict[str, Any]) -> None:
    assert read_policy(live) == StickyView()


def headers(route: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        backend["filters"][0]["requestHeaderModifier"]
        for backend in route["spec"]["rules"][0]["backendRefs"]
    ]


def test_both_arms_are_told_who_is_the_user_in_the_write_that_sets_the_weight() -> None:
    traffic = Traffic.model_validate({"parentRefs": [{"name": "models"}]})
    view = RouteView(SEVEN, EIGHT, 5, "0123456789/0", "header:x-user-id")
    route = http_route(IDENTITY, traffic, view, None)
    assert read_route(route) == view
    told = {"name": "assay-user-by", "value": "header:x-user-id"}
    assert [each["set"][1] for each in headers(route)] == [told, told]


def test_what_a_client_says_of_users_is_taken_away_where_users_are_not_kept() -> None:
    traffic = Traffic.model_validate({"parentRefs": [{"name": "models"}]})
    route = http_route(IDENTITY, traffic, RouteView(SEVEN, EIGHT, 5, "0123456789/0"), None)
    assert [each["remove"] for each in headers(route)] == [["assay-user-by"]] * 2


def a_sticky_trial(**fields: Any) -> Any:
    status = on_trial()
    assert status.rollout is not None
    return status.model_copy(update={"rollout": status.rollout.model_copy(update=fields)})


@pytest.mark.parametrize(
    ("status", "sticky_by", "expected"),
    [
        (a_status(), None, None),
        (a_status(), HEADER, HEADER),
        (a_status(rollout=rollout("Done")), HEADER, HEADER),
        (on_trial(), HEADER, None),
        (a_sticky_trial(sticky_by=HEADER), COOKIE, HEADER),
        (a_sticky_trial(sticky_by=HEADER), None, HEADER),
    ],
    ids=[
        "nobody asks for it",
        "at rest",
        "after a rollout",
        "asked for in the middle of a trial",
        "changed in the middle of a trial",
        "taken away in the middle of a trial",
    ],
)
def test_a_trial_keeps_the_users_that_it_began_with(
    status: Any, sticky_by: StickyBy | None, expected: StickyBy | None
) -> None:
    spec = a_spec(traffic__stickyBy=sticky_by.to_dict()) if sticky_by else a_spec()
    plan = a_plan(status, spec=spec)
    found = None if plan.sticky is None else read_policy(accepted(plan.sticky)).by
    assert found == expected
    assert plan.route is not None
    view = read_route(plan.route)
    assert view is not None
    on_trial_by = expected if status.rollout and status.rollout.stage.value == "Trial" else None
    assert view.user_by == (on_trial_by.key if on_trial_by else None)


def test_users_are_no_part_of_a_revision() -> None:
    plain, sticky = a_spec(), a_spec(traffic__stickyBy={"header": "x-user-id"})
    assert revision_hash(plain) == revision_hash(sticky)
    template = [pod_template("fraud", "ml", spec, SEVEN, "image") for spec in (plain, sticky)]
    assert template[0] == template[1]
