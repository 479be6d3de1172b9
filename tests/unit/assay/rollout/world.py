"""A small world to decide in: a hub that keeps status as JSON, members that do what render says."""

import copy
import datetime
import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Self

from assay.api.conditions import Condition
from assay.api.deployment_status import (
    ModelDeploymentStatus,
    RequestRecord,
    RolloutStatus,
    Stage,
)
from assay.api.model_deployment import ModelDeploymentSpec, Paused, StickyBy, Traffic, TrafficMode
from assay.api.request import parse
from assay.judge import Judgement, MetricJudgement, Verdict
from assay.render.member import running_revisions, staying_revisions
from assay.render.naming import Identity
from assay.render.record import read_record, record
from assay.rollout import (
    Decision,
    EvidenceProblem,
    GuardReading,
    MemberView,
    Observation,
    Order,
    PodsView,
    RecordView,
    RouteView,
    adopted,
    decide,
)
from assay.rollout.observation import Signals, StickyView
from assay.rollout.scaling import settled
from assay.rollout.sizing import wanted_pods
from assay.rollout.traffic import cluster_of, wanted_route

MONDAY = datetime.datetime(2026, 11, 23, 12, 0, tzinfo=datetime.UTC)
SEVEN, EIGHT, NINE = "7" * 10, "8" * 10, "9" * 10
"""Revisions as the tests name them; `assay.render` makes real ones."""

STEPS = [{"weight": 5}, {"weight": 20, "minSeconds": 60}, {"weight": 50}]


def a_spec(revision: str = SEVEN, **rollout: Any) -> ModelDeploymentSpec:
    """A spec whose version is the first digit of its revision."""
    return ModelDeploymentSpec.model_validate(
        {
            "model": {
                "uri": f"https://models.example.com/fraud-{revision[0]}.skops",
                "version": revision[0],
                "digest": "sha256:" + revision[0] * 64,
            },
            "serving": {"replicas": 2},
            "traffic": {"parentRefs": [{"name": "models"}]},
            "rollout": {"canary": {"steps": STEPS}, **rollout},
        }
    )


def judged(
    verdict: str = "Hold",
    reason: str = "Undecided",
    message: str = "f1 0.81 vs 0.82",
    *,
    burnt_in: bool = True,
    difference: float | None = -0.01,
) -> Judgement:
    """A judgement by one metric."""
    metric = MetricJudgement(
        "f1",
        Verdict(verdict),
        reason,
        message,
        labels_stable=900,
        labels_canary=100,
        stable=0.82,
        canary=0.81,
        difference=difference,
        past_burn_in=burnt_in,
    )
    return Judgement(Verdict(verdict), reason, message, (metric,))


PROMOTE = judged("Promote", "NotWorse", "f1 0.83 vs 0.82, not worse by 0.02")
ROLLBACK = judged("Rollback", "Worse", "f1 0.61 vs 0.82, difference -0.21 [-0.30, -0.12]")


@dataclass
class Member:
    """One cluster: pods by revision, a route, and whether it can be reached."""

    name: str
    reachable: bool = True
    pods: dict[str, PodsView] = field(default_factory=dict)
    route: RouteView | None = None
    record: RecordView | None = None
    store: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    sticky: StickyView = field(default_factory=StickyView)
    replicas: int = 1

    def view(self) -> MemberView:
        if not self.reachable:
            return MemberView(
                self.name,
                reachable=False,
                error="connection refused",
                labels=self.labels,
                replicas=self.replicas,
            )
        return MemberView(
            self.name,
            reachable=True,
            revisions=dict(self.pods),
            route=self.route,
            sticky=self.sticky,
            ledger_ready=True,
            record=self.record,
            ledger_store=self.store,
            labels=self.labels,
            replicas=self.replicas,
        )

    def follow(
        self, status: ModelDeploymentStatus, lingering: Collection[str] = frozenset()
    ) -> None:
        """Make real what status says; pods that are new are not ready yet, some take time to end."""
        made, staying = (
            running_revisions(status, self.name),
            staying_revisions(status, self.name),
        )
        cluster = cluster_of(status, self.name)
        replicas = (cluster.held_replicas if cluster else None) or self.replicas
        counts = {name: wanted_pods(status, name, replicas, self.name) for name in made}
        stayed = {
            name: pods if name in staying else PodsView(pods.desired, 0)
            for name, pods in self.pods.items()
            if name in {*staying, *lingering} - made
        }
        self.pods = stayed | {name: self._of(name, count) for name, count in counts.items()}
        wanted = wanted_route(status, self.name)
        if wanted is not None:
            for revision in {wanted.stable, wanted.canary_slot}:
                assert revision in self.pods, f"{self.name}: a route to {revision} without pods"
            self.route = wanted

    def _of(self, revision: str, count: int) -> PodsView:
        before = self.pods.get(revision, PodsView(count, 0))
        return replace(before, desired=count, ready=min(count, before.ready))

    def remember(self, status: ModelDeploymentStatus) -> None:
        """Keep the record that is written with every plan."""
        self.record = read_record(
            record(Identity("fraud", "ml", "hub"), "uid-1", status, self.name)
        )

    def follow_traffic(self, status: ModelDeploymentStatus) -> None:
        """Make the route what status says; pods stay as they are."""
        wanted = wanted_route(status, self.name)
        if self.route is None or wanted is None or self.route == wanted:
            return
        self.route = wanted
        staying = staying_revisions(status, self.name)
        self.pods = {name: pods for name, pods in self.pods.items() if name in staying}
        assert wanted.stable in self.pods, f"{self.name}: a route to nothing"

    @property
    def holds(self) -> bool:
        return bool(self.pods) or self.route is not None


class World:
    """Hub and members. `look` decides once, `run` decides until nothing changes any more."""

    def __init__(self, *members: str, replicas: int = 1) -> None:
        self.spec = a_spec()
        self.revision = SEVEN
        self.generation = 1
        self.now = MONDAY
        self.document: dict[str, Any] = {}
        self._read: tuple[dict[str, Any], ModelDeploymentStatus] | None = None
        names = members or ("east", "west")
        self.members = {name: Member(name, replicas=replicas) for name in names}
        self.broken: dict[str, str] = {}
        self.slow: set[str] = set()
        self.lingering: set[str] = set()
        self.judgement: Judgement | None = None
        self.problems: tuple[EvidenceProblem, ...] = ()
        self.readings: tuple[GuardReading, ...] = ()
        self.invalid = ""
        self.signals: Signals | None = None
        self.events: list[str] = []
        self.dropped: set[str] = set()
        self.keeps_records = False
        self.request = ""
        self.requests = 0

    # What status says

    @property
    def status(self) -> ModelDeploymentStatus:
        """As it was written last; read once from JSON, as it cannot change."""
        if self._read is None or self._read[0] is not self.document:
            self._read = self.document, ModelDeploymentStatus.model_validate(self.document)
        return self._read[1]

    @property
    def rollout(self) -> RolloutStatus:
        rollout = self.status.rollout
        assert rollout is not None
        return rollout

    @property
    def stage(self) -> Stage | None:
        return self.status.rollout.stage if self.status.rollout else None

    @property
    def stable(self) -> str | None:
        return self.status.stable.revision if self.status.stable else None

    @property
    def canary(self) -> str | None:
        return self.status.canary.revision if self.status.canary else None

    def condition(self, name: str) -> Condition | None:
        return next((item for item in self.status.conditions if item.type == name), None)

    def says(self, name: str) -> tuple[str, str]:
        """Status and reason of a condition; ("absent", "") if it is not there."""
        item = self.condition(name)
        return ("absent", "") if item is None else (item.status.value, item.reason)

    # What happens

    def asks_for(self, revision: str, **rollout: Any) -> Self:
        traffic = self.spec.traffic
        self.spec, self.revision = a_spec(revision, **rollout), revision
        if traffic.mode is TrafficMode.REPLICAS:
            self.spec = self.spec.model_copy(update={"traffic": traffic})
        self.generation += 1
        return self

    def pauses(self, paused: Paused) -> Self:
        """The spec says from now on what must not be done; the revision stays."""
        self.spec = self.spec.model_copy(update={"paused": paused})
        self.generation += 1
        return self

    def person(self, verb: str, **fields: Any) -> Self:
        """Alice asks for something by the annotation."""
        self.requests += 1
        rollout = self.status.rollout
        document = {
            "id": f"request-{self.requests}",
            "verb": verb,
            "rolloutId": rollout.id if rollout else "0" * 10,
            "by": "alice@example.com",
            "reason": "the labels of today are wrong",
            **fields,
        }
        self.request = json.dumps(document)
        return self

    @property
    def answer(self) -> RequestRecord:
        """What became of the last request."""
        record = self.status.last_request
        assert record is not None
        return record

    def keeps_users(self, *names: str, by: StickyBy, problem: str | None = None) -> Self:
        """The spec asks for it, and the gateways of these members do it (or have a problem)."""
        traffic = self.spec.traffic.model_copy(update={"sticky_by": by})
        self.spec = self.spec.model_copy(update={"traffic": traffic})
        for name in names:
            self.members[name].sticky = StickyView(by, problem)
        return self

    def loses(self, *names: str) -> Self:
        for name in names:
            self.members[name].reachable = False
        return self

    def drops(self, *names: str) -> Self:
        """Placement does not choose them any more."""
        self.dropped |= set(names)
        return self

    def takes(self, *names: str) -> Self:
        """Placement chooses them again."""
        self.dropped -= set(names)
        return self

    def finds(self, *names: str) -> Self:
        for name in names:
            self.members[name].reachable = True
        return self

    def rebuilds_the_hub(self) -> Self:
        """The hub is lost; a new one has the same manifests and asks the members."""
        self.document, self.generation = {}, 1
        views = [member.view() for member in self.members.values()]
        found = adopted(self.status, self.generation, views)
        assert found is not None, "nobody remembers anything"
        status, event = found
        assert event.reason == "Adopted"
        self.document = json.loads(json.dumps(status.to_dict()))
        return self

    def breaks(self, revision: str, failure: str) -> Self:
        self.broken[revision] = failure
        return self

    def later(self, seconds: float) -> Self:
        self.now += datetime.timedelta(seconds=seconds)
        return self

    def with_judgement(self, judgement: Judgement | None) -> Self:
        self.judgement = judgement
        return self

    def with_problems(self, *members: str, reason: str = "PrometheusUnreachable") -> Self:
        self.problems = tuple(EvidenceProblem(name, reason, "no answer") for name in members)
        return self

    def reads(self, value: float | None, requests: int = 1000, *members: str) -> Self:
        """What the guard p99 of the spec reads, everywhere or only in `members`."""
        asked = members or tuple(self.members)
        others = tuple(item for item in self.readings if item.member not in asked)
        new = (GuardReading("p99", name, value, requests) for name in asked)
        self.readings = (*others, *new)
        return self

    # What the operator does

    def observation(self) -> Observation:
        on_trial = self.stage is Stage.TRIAL
        members = self.members.values()
        served = {item.name for item in self.status.clusters}
        return Observation(
            self.revision,
            tuple(
                settled(self.status, item.view())
                for item in members
                if item.name not in self.dropped
            ),
            self.judgement if on_trial else None,
            self.problems,
            tuple(
                replace(item.view(), replicas=0)
                for item in members
                if item.name in self.dropped
                and (item.holds or (item.name in served and not item.reachable))
            ),
            request=parse(self.request) if self.request else None,
            guards=tuple(item for item in self.readings if self.members[item.member].reachable)
            if on_trial
            else None,
            invalid=self.invalid,
            signals=self.signals,
        )

    def decide(self) -> Decision:
        """Decide, and check that deciding again with the same observation changes nothing."""
        seen = self.observation()
        decision = self._decide(self.status, seen)
        written = ModelDeploymentStatus.model_validate_json(json.dumps(decision.status.to_dict()))
        assert written == decision.status, "status does not survive JSON"
        if _id(written) == _id(self.status):
            again = self._decide(written, seen).status
            assert again.to_dict() == written.to_dict(), "deciding twice differs"
        return decision

    def _decide(self, status: ModelDeploymentStatus, seen: Observation) -> Decision:
        return decide("uid-1", self.generation, self.spec, status, seen, self.now)

    def look(self) -> Decision:
        """One reconcile: decide, write, act."""
        decision = self.decide()
        seen = self.observation()
        self.document = json.loads(json.dumps(decision.status.to_dict()))
        self.events += [item.reason for item in decision.events]
        if self.spec.paused is Paused.ALL:
            return decision
        for member in self.members.values():
            if member.reachable and member.name in self.dropped:
                member.follow_traffic(self.status)
            elif member.reachable:
                member.follow(self.status, self.lingering)
            if member.reachable and self.keeps_records:
                member.remember(self.status)
        if decision.order is not Order.ACT_THEN_RECORD:
            self._leave(seen)
        return decision

    def _leave(self, seen: Observation) -> None:
        """Clean the dropped members once the others serve, as `controller.act.leave` does."""
        stable = self.stable or ""
        if not seen.members or not all(_serves(view, stable) for view in seen.members):
            return
        for name in self.dropped:
            if self.members[name].reachable:
                self.members[name].pods, self.members[name].route = {}, None

    def pods_move(self) -> None:
        """Let pods get ready, as kubelets do whether the hub sees it or not."""
        for member in self.members.values():
            for revision, pods in member.pods.items():
                if revision in self.broken:
                    member.pods[revision] = replace(pods, ready=0, failure=self.broken[revision])
                elif revision not in self.slow:
                    member.pods[revision] = PodsView(pods.desired, pods.desired)

    def run(self, limit: int = 30) -> Self:
        """Reconcile until nothing changes."""
        for _ in range(limit):
            before = (copy.deepcopy(self.document), copy.deepcopy(self.members))
            self.look()
            self.pods_move()
            if before == (self.document, self.members):
                return self
        raise AssertionError(f"still changing after {limit} looks: {self.document}")


def _serves(view: MemberView, stable: str) -> bool:
    pods = view.revisions.get(stable)
    if not view.reachable or view.route is None or pods is None:
        return False
    return pods.is_ready and pods.ready >= view.replicas


def _id(status: ModelDeploymentStatus) -> str | None:
    return status.rollout.id if status.rollout else None


def serving(
    revision: str = SEVEN, members: Iterable[str] = ("east", "west"), replicas: int = 1
) -> World:
    """A world at rest in which `revision` is stable."""
    world = World(*members, replicas=replicas)
    world.spec, world.revision = a_spec(revision), revision
    return world.run()


def without_gateway(world: World) -> World:
    """The world, with a spec from now on that shares by numbers of pods."""
    traffic = Traffic(mode=TrafficMode.REPLICAS)
    world.spec = world.spec.model_copy(update={"traffic": traffic})
    return world


def on_trial(
    step: int = 0,
    members: Iterable[str] = ("east", "west"),
    replicas: int = 1,
    **rollout: Any,
) -> World:
    """Version 7 is stable, 8 on trial at `step`, the evidence undecided."""
    world = (
        serving(members=members, replicas=replicas)
        .later(3600)
        .asks_for(EIGHT, **rollout)
        .reads(0.1)
    )
    world.with_judgement(judged(burnt_in=False)).run()
    assert world.stage is Stage.TRIAL
    for _ in range(step):
        world.with_judgement(judged()).later(60).look()
        world.with_judgement(judged(burnt_in=False)).run()
    assert world.rollout.step == step
    return world
