"""Whatever users, clusters, Prometheus and the judge do, in any order: what must always hold."""

import datetime
import math
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from assay.api.deployment_status import (
    ModelDeploymentStatus,
    RejectedTrials,
    RolloutStatus,
    Stage,
    Verdict,
)
from assay.api.model_deployment import (
    ALL_TRAFFIC,
    ParentRef,
    Paused,
    RolloutType,
    Traffic,
    TrafficMode,
)
from assay.api.request import Verb, parse
from assay.judge import Judgement
from assay.render.entry import entry_service, read_entry
from assay.render.member import running_revisions
from assay.render.naming import Identity
from assay.render.route import http_route, read_route
from assay.rollout import Order
from assay.rollout.situation import is_ready
from assay.rollout.sizing import canary_pods
from assay.rollout.traffic import (
    IDLE_STRATUM,
    cluster_of,
    traffic_of,
    wanted_preview,
    wanted_route,
)

from .world import (
    EIGHT,
    NINE,
    PROMOTE,
    ROLLBACK,
    SEVEN,
    PodsView,
    World,
    judged,
    on_trial,
    serving,
    without_gateway,
)

NAMES = ("east", "north", "west")
REPLICAS = 3
"""A canary at 5 or 20 % has one pod of them, at 50 % two."""
REVISIONS = st.sampled_from((SEVEN, EIGHT, NINE))
MEMBERS = st.sampled_from(NAMES)
WAVES = st.sampled_from(
    (
        [],
        [{"name": "pilot", "clusterSelector": {"matchLabels": {"name": "east"}}}],
        [
            {
                "name": name,
                "clusterSelector": {"matchLabels": {"name": name}},
                "soakSeconds": 30,
                "maxFailures": failures,
            }
            for name, failures in (("west", 0), ("north", 1))
        ],
    )
)
P99 = {"name": "p99", "query": "x", "max": "0.2", "forSeconds": 60}
GUARDED = {"analysis": {"guards": [P99]}}
BY_GUARDS = {"analysis": {"metrics": [], "guards": [P99]}}
SWITCHED = {"type": "BlueGreen", **BY_GUARDS}
PREVIEWED = {**SWITCHED, "blueGreen": {"previewHostnames": ["preview.example.com"]}}
FAST = {**GUARDED, "fastTrackRevisions": 1}
KINDS = st.sampled_from((GUARDED, GUARDED, BY_GUARDS, SWITCHED, PREVIEWED, FAST))
JUDGEMENTS = st.sampled_from((None, judged(burnt_in=False), judged(), judged(), PROMOTE, ROLLBACK))


def _untimed(status: ModelDeploymentStatus) -> dict[str, Any]:
    """Return what a status says, without the words: they may name times."""
    document = status.to_dict()
    for each in document.get("conditions", ()):
        each.pop("message", None)
    return document


class Rollouts(RuleBasedStateMachine):
    """Users, failures and time act on the world; the operator looks now and then."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(*NAMES, replicas=REPLICAS)
        self.rolled_back: dict[str, str] = {}
        self.lost: dict[str, RejectedTrials | None] = {}
        self.answered: set[str] = set()
        self.served: set[str] = set()
        self.mixes: dict[tuple[str, str], tuple[int, int]] = {}

    @initialize(
        step=st.sampled_from((None, -1, 0, 1, 2)), kind=KINDS, mode=st.sampled_from(TrafficMode)
    )
    def begins(self, step: int | None, kind: dict[str, Any], mode: TrafficMode) -> None:
        """Random users rarely get far: most worlds begin at rest (-1) or in the middle of a trial."""
        if step == -1:
            self.world = serving(members=NAMES, replicas=REPLICAS).reads(0.1)
        elif step is not None:
            self.world = on_trial(step, members=NAMES, replicas=REPLICAS, **GUARDED)
            if kind is not GUARDED:
                self.world.asks_for(NINE, **kind).run()
        if mode is TrafficMode.REPLICAS:
            self._goes_without_gateway(step)
        self.world.keeps_records = True
        for name, member in self.world.members.items():
            member.labels = {"name": name}
        self._remember_lost()

    def _goes_without_gateway(self, step: int | None) -> None:
        """The same beginnings where pods make the shares; a step is in force after a while."""
        world = self.world = without_gateway(
            World(*NAMES, replicas=REPLICAS)
            if step is None
            else serving(members=NAMES, replicas=REPLICAS)
        )
        if step is None or step < 0:
            return
        world.later(60).asks_for(EIGHT, **GUARDED).reads(0.1).with_judgement(judged()).run()
        for _ in range(step):
            for _ in range(3):
                world.later(61).run()

    # What the world does

    @rule(mode=st.sampled_from(TrafficMode))
    def user_takes_another_mode(self, mode: TrafficMode) -> None:
        refs = None if mode is TrafficMode.REPLICAS else (ParentRef(name="models"),)
        traffic = Traffic(mode=mode, parent_refs=refs)
        self.world.spec = self.world.spec.model_copy(update={"traffic": traffic})

    @rule(revisions=st.sets(REVISIONS))
    def pods_take_long_to_end(self, revisions: set[str]) -> None:
        self.world.lingering = revisions

    @rule(replicas=st.integers(1, REPLICAS))
    def user_scales(self, replicas: int) -> None:
        """Pods that make the shares stand still meanwhile."""
        if self.world.status.rollout is not None and self.world.status.rollout.by_pods:
            for member in self.world.members.values():
                member.replicas = replicas

    @rule(revision=REVISIONS, waves=WAVES, kind=KINDS)
    def user_asks_for(
        self, revision: str, waves: list[dict[str, Any]], kind: dict[str, Any]
    ) -> None:
        by_pods = self.world.spec.traffic.mode is TrafficMode.REPLICAS
        if kind is PREVIEWED and by_pods:
            kind = SWITCHED  # a Service has no host names
        self.world.asks_for(revision, waves=waves, **kind)

    @rule(name=MEMBERS)
    def member_goes(self, name: str) -> None:
        self.world.loses(name)

    @rule(name=MEMBERS)
    def member_returns(self, name: str) -> None:
        self.world.finds(name)

    @rule(names=st.sets(MEMBERS))
    def placement_chooses(self, names: set[str]) -> None:
        self.world.takes(*NAMES).drops(*(set(NAMES) - names))

    @rule(revision=REVISIONS)
    def artifact_breaks(self, revision: str) -> None:
        self.world.breaks(revision, "DigestMismatch: sha256:aaa, sha256:bbb")

    @rule()
    def artifacts_are_mended(self) -> None:
        self.world.broken.clear()

    @rule(name=MEMBERS, revision=REVISIONS, ready=st.integers(0, REPLICAS))
    def pods_restart(self, name: str, revision: str, ready: int) -> None:
        if revision in self.world.members[name].pods:
            pods = self.world.members[name].pods
            pods[revision] = PodsView(pods[revision].desired, min(ready, pods[revision].desired))

    @rule()
    def pods_get_ready(self) -> None:
        self.world.pods_move()

    @rule(judgement=JUDGEMENTS)
    def judge_says(self, judgement: Judgement | None) -> None:
        self.world.judgement = judgement

    @rule(names=st.sets(MEMBERS))
    def prometheus_fails(self, names: set[str]) -> None:
        self.world.with_problems(*sorted(names))

    @rule(paused=st.sampled_from(Paused))
    def spec_pauses(self, paused: Paused) -> None:
        self.world.pauses(paused)

    @rule(verb=st.sampled_from((*Verb, "full", "nonsense")), revision=REVISIONS, old=st.booleans())
    def person_asks(self, verb: str, revision: str, *, old: bool) -> None:
        """For the present rollout, or for one that is long over."""
        fields = {"rolloutId": "f" * 10} if old else {}
        if verb == "full":
            self.world.person("promote", full=True, **fields)
        elif verb == "undo":
            self.world.person("undo", toRevision=revision, **fields)
        else:
            self.world.person(verb, **fields)

    @rule(name=MEMBERS, value=st.sampled_from((0.1, 0.3, None)), requests=st.sampled_from((9, 100)))
    def guard_reads(self, name: str, value: float | None, requests: int) -> None:
        self.world.reads(value, requests, name)

    @rule(seconds=st.sampled_from((1, 31, 61, 601, 90000)))
    def time_passes(self, seconds: int) -> None:
        self.world.later(seconds)

    @rule()
    def operator_dies_after_writing(self) -> None:
        """Status is written, the members are not."""
        before = {name: member.route for name, member in self.world.members.items()}
        pods = {name: dict(member.pods) for name, member in self.world.members.items()}
        self._look()
        for name, member in self.world.members.items():
            member.route, member.pods = before[name], pods[name]

    @precondition(
        lambda self: all(it.reachable and it.record for it in self.world.members.values())
    )
    @rule()
    def hub_is_lost(self) -> None:
        """A new one knows what the members remember, which is at least what they do."""
        before = {name: member.route for name, member in self.world.members.items()}
        self.world.rebuilds_the_hub()
        if (kept := self.world.status.last_request) is not None:
            self.answered.add(
                kept.id
            )  # a rollback that members alone had on record had answered it
        self._look()
        for name, route in before.items():
            if route is not None and name not in self.world.dropped:
                assert self.world.members[name].route is not None, (
                    "a hub that is new ends no service"
                )

    @rule()
    def operator_looks(self) -> None:
        self._look()

    @rule(judgement=JUDGEMENTS)
    def all_is_well_for_a_minute(self, judgement: Judgement | None) -> None:
        self.world.finds(*NAMES).takes(*NAMES).with_problems().with_judgement(judgement).reads(0.1)
        self.world.pauses(Paused.NONE)
        for _ in range(3):
            self._look()
            self.world.pods_move()
        self.world.later(61)
        self._look()

    @rule()
    def operator_dies_before_writing(self) -> None:
        """A rollback is acted on first: the members show it and record it, status does not."""
        world = self.world
        decision = world.decide()
        if decision.order is Order.RECORD_THEN_ACT or world.spec.paused is Paused.ALL:
            return
        for name, member in world.members.items():
            if member.reachable and name not in world.dropped:
                member.follow(decision.status)
                member.remember(decision.status)

    def _look(self) -> None:
        world = self.world
        old, judgement, problems = world.status, world.judgement, world.problems
        reachable = {
            name
            for name, member in world.members.items()
            if member.reachable and name not in world.dropped
        }
        kept = {
            item.member for item in world.readings if item.value == 0.1 and item.requests >= 100
        }
        routes = [member.route for member in world.members.values() if member.reachable]
        views = {name: member.view() for name, member in world.members.items()}
        ready_pods = {
            name: {revision: pods.ready for revision, pods in member.pods.items()}
            for name, member in world.members.items()
        }
        world.look()
        new = world.status
        by_hand = self._answered(old, new)
        if world.spec.paused is Paused.ALL:
            assert (new.stable, new.canary, new.history) == (old.stable, old.canary, old.history)
            assert routes == [it.route for it in world.members.values() if it.reachable]
        # Promotion of a successor needs a person, or the verdict and evidence of all that answer or
        # serve it.
        weighted = {item.name for item in old.clusters if item.weight} - world.dropped
        if old.stable is not None and new.stable != old.stable:
            assert world.spec.paused is Paused.NONE
            assert old.rollout is not None
            assert old.rollout.stage is Stage.TRIAL or old.rollout.undo is not None
            assert new.stable == old.canary
            ready = {
                name
                for name in reachable
                if old.canary is not None and is_ready(views[name], old.canary.revision)
            }
            if old.rollout.undo is not None:
                assert old.rollout.stage is Stage.STARTING
                assert new.stable is not None
                assert new.stable.revision in self.served
            elif by_hand == "promote":
                assert judgement is None or judgement.verdict != Verdict.ROLLBACK
            else:
                assert old.rollout.paused is None or by_hand == "resume"
                assert ready <= kept
                by_metrics = bool(old.rollout.settings.analysis.metrics)
                if not by_metrics:
                    assert ready
                elif old.rollout.latched is None:
                    assert judgement is not None
                    assert judgement.verdict == Verdict.PROMOTE
                    assert not any(item.member in reachable | weighted for item in problems)
                else:
                    assert judgement is None or judgement.verdict != Verdict.ROLLBACK
                assert old.rollout.step == len(old.rollout.settings.steps) - 1
        # A rollback ends when no route that can be reached shows the canary, chosen or not.
        ended = new.rollout is not None and new.rollout.stage is Stage.DONE
        if old.rollout and old.rollout.stage is Stage.ROLLING_BACK and ended:
            assert old.canary is not None
            assert old.canary.revision not in {item.canary_slot for item in routes if item}
        # One step at a time.
        if old.rollout and new.rollout and old.rollout.id == new.rollout.id:
            assert new.rollout.step - old.rollout.step in _climbs(old.rollout, new.rollout)
            assert new.rollout.settings == old.rollout.settings
            # Later waves follow the verdict, one at a time.
            assert len(new.rollout.waves) - len(old.rollout.waves) in {0, 1}
            if len(new.rollout.waves) > len(old.rollout.waves) and old.stable is not None:
                assert new.rollout.latched is not None
                promoted = judgement is not None and judgement.verdict == Verdict.PROMOTE
                by_guards = not old.rollout.settings.analysis.metrics
                assert old.rollout.latched is not None or promoted or by_guards
        self._retried(old, new, by_hand)
        self._switched(old, new, kept, by_hand)
        self._carried(old, new, ready_pods)

    def _switched(
        self, old: ModelDeploymentStatus, new: ModelDeploymentStatus, kept: set[str], by_hand: str
    ) -> None:
        """All traffic is switched while every guard is kept on what the preview brought, or by hand."""
        if old.rollout is None or new.rollout is None or old.canary is None or by_hand == "promote":
            return
        if old.rollout.id != new.rollout.id or new.rollout.step == old.rollout.step:
            return
        if old.rollout.settings.preview_hostnames:
            came = {item.name for item in old.clusters if item.wave is not None}
            views = [it.view() for name, it in self.world.members.items() if name in came]
            assert {it.name for it in views if is_ready(it, old.canary.revision)} <= kept

    def _carried(
        self,
        old: ModelDeploymentStatus,
        new: ModelDeploymentStatus,
        ready: dict[str, dict[str, int]],
    ) -> None:
        """Nothing gets a larger share in a member than the pods can carry that are ready there.

        Where pods make the shares, those of a larger one come with its weight, and no sooner.
        """
        if new.stable is None or old.rollout is None or new.rollout is None:
            return
        same = old.rollout.id == new.rollout.id
        for cluster in new.clusters:
            before = cluster_of(old, cluster.name)
            revision = (new.canary or new.stable).revision
            pods = ready[cluster.name].get(revision, 0)
            had = before.weight if before and same else 0
            if cluster.weight > had:
                follow = new.rollout.by_pods and had > 0
                assert pods >= (1 if follow else max(1, math.ceil(REPLICAS * cluster.weight / 100)))
                assert not by_switch(new) or pods >= REPLICAS
            switched = before is not None and before.revision not in {None, cluster.revision}
            if switched and same and new.canary is None and had != ALL_TRAFFIC:
                assert cluster.revision != revision or pods >= REPLICAS

    def _answered(self, old: ModelDeploymentStatus, new: ModelDeploymentStatus) -> str:
        """Every request is answered by the next look, and once; return the verb of one that is done."""
        answer = new.last_request
        if answer is None or answer == old.last_request:
            assert not self.world.request or parse(self.world.request).id in self.answered
            return ""
        # A hub that is new may refuse once more what no member was told of.
        assert answer.id not in self.answered or answer.result == "Refused"
        self.answered.add(answer.id)
        if answer.result == "Refused":
            return ""
        assert old.rollout is not None
        assert answer.rollout_id == old.rollout.id
        return answer.verb

    def _retried(
        self, old: ModelDeploymentStatus, new: ModelDeploymentStatus, by_hand: str
    ) -> None:
        """What lost is not tried again, but by a person: then with the evidence that it had.

        Only what was stable and has not lost begins with a verdict.
        """
        if new.canary is not None and new.canary != old.canary and new.rollout is not None:
            revision = new.canary.revision
            if by_hand == "retry":
                trials = self.lost.pop(revision, None)
                if trials is not None and new.stable and trials.stable == new.stable.revision:
                    assert new.rollout.earlier == trials.rollouts
                    assert new.rollout.steps == trials.steps
            if by_hand == "undo":
                assert revision in self.served
                self.lost.pop(revision, None)
            assert revision not in self.lost
            if new.rollout.latched is not None:
                assert new.rollout.settings.fast_track_revisions
                assert by_hand == ""
                assert revision in self.served
        self._remember_lost()

    def _remember_lost(self) -> None:
        stable = self.world.status.stable
        if stable is not None:
            self.served.add(stable.revision)
        for item in self.world.status.rejected_revisions:
            if item.generation is None:
                self.lost[item.revision] = item.trials

    # What must always hold

    @invariant()
    def time_alone_changes_nothing_before_it_is_due(self) -> None:
        """What a look that changed nothing found holds for as long as it said."""
        world, now = self.world, self.world.now
        first = world.decide()
        if _untimed(first.status) != _untimed(world.status) or first.holds_for == 0.0:
            return
        latest = 90000.0 if first.holds_for is None else first.holds_for - 1.0
        try:
            for later in (latest / 2, latest):
                world.now = now + datetime.timedelta(seconds=int(later))
                second = world.decide()
                assert _untimed(second.status) == _untimed(first.status)
                assert (second.order, second.events) == (first.order, first.events)
        finally:
            world.now = now

    @invariant()
    def rollback_is_absorbing(self) -> None:
        rollout = self.world.status.rollout
        if rollout is None:
            return
        verdict = rollout.decision.verdict if rollout.decision else None
        if verdict is Verdict.ROLLBACK:
            self.rolled_back[rollout.id] = rollout.started_at.isoformat()
        if rollout.id in self.rolled_back:
            assert verdict is Verdict.ROLLBACK
            assert rollout.stage in {Stage.ROLLING_BACK, Stage.DONE}

    @invariant()
    def decided_means_promoting_rolling_back_or_done(self) -> None:
        rollout = self.world.status.rollout
        if rollout is not None:
            undecided = rollout.stage in {Stage.STARTING, Stage.TRIAL}
            assert undecided == (rollout.decision is None)

    @invariant()
    def there_is_one_stable_and_it_is_not_the_canary(self) -> None:
        status = self.world.status
        if status.stable and status.canary:
            assert status.stable.revision != status.canary.revision
        retired = {item.revision for item in status.retired_revisions}
        assert not retired & {
            item.revision for item in (status.stable, status.canary) if item is not None
        }

    @invariant()
    def the_weights_of_every_route_sum_to_a_hundred_and_are_positive(self) -> None:
        status = self.world.status
        for name in NAMES:
            view = wanted_route(status, name)
            if view is None:
                continue
            identity, traffic = (
                Identity("fraud", "ml", "hub"),
                traffic_of(self.world.spec, status),
            )
            if traffic.mode is TrafficMode.REPLICAS:
                assert read_entry(entry_service(identity, view, None)) == view
                continue
            route = http_route(identity, traffic, view, None)
            weights = [item["weight"] for item in route["spec"]["rules"][0]["backendRefs"]]
            assert sum(weights) == 100
            assert min(weights) > 0
            assert read_route(route) == view

    @invariant()
    def no_traffic_goes_to_a_canary_outside_of_its_trial(self) -> None:
        status = self.world.status
        on_trial = status.rollout is not None and status.rollout.stage is Stage.TRIAL
        for name in NAMES:
            view = wanted_route(status, name)
            if view is not None and view.strata:
                assert on_trial
                assert status.canary is not None
                assert status.canary.revision in {view.canary_slot, view.stable} or (
                    view.stable == view.canary_slot
                )
            elif view is not None and status.canary is not None and by_pods(status):
                behind = {view.stable, view.canary_slot}
                assert on_trial or status.canary.revision not in behind
            elif view is not None and view.stratum != IDLE_STRATUM:
                assert on_trial
                assert status.canary is not None
                assert view.canary_slot == status.canary.revision
            elif view is not None and view.stable != view.canary_slot:
                # A winner that has not all its pods yet keeps the share that it had.
                assert status.canary is None
                assert status.stable is not None
                assert view.canary_slot == status.stable.revision
            if (preview := wanted_preview(status, name)) is not None:
                assert on_trial
                assert status.canary is not None
                assert preview.revision == status.canary.revision
                assert preview.revision in running_revisions(status, name)

    @invariant()
    def an_entry_for_all_pods_has_no_third_revision(self) -> None:
        """It is where the canary gets its traffic: whoever else has pods there would get some too."""
        if traffic_of(self.world.spec, self.world.status).mode is TrafficMode.GATEWAY:
            return
        for member in self.world.members.values():
            route = member.route
            if route is not None and route.stable != route.canary_slot:
                ready = {revision for revision, pods in member.pods.items() if pods.ready}
                assert ready <= {route.stable, route.canary_slot}

    @invariant()
    def a_stratum_is_of_one_mix_of_pods(self) -> None:
        """No step's stratum is in force while the numbers of pods are not those of the step."""
        for name, member in self.world.members.items():
            route = member.route
            if route is None or route.stable == route.canary_slot:
                continue
            told = (it for it in reversed(route.strata) if it.since <= self.world.now)
            present = next(told, None)
            if present is None or present.stratum == IDLE_STRATUM:
                continue
            numbers = {revision: pods.desired for revision, pods in member.pods.items()}
            mix = numbers[route.stable], numbers[route.canary_slot]
            assert self.mixes.setdefault((name, present.stratum), mix) == mix
            rollout = self.world.status.rollout
            _, _, step = present.stratum.partition("/")
            if rollout is not None and present.stratum.startswith(rollout.id):
                assert mix[1] == canary_pods(rollout, rollout.steps[int(step)].weight, mix[0])

    @invariant()
    def the_canary_is_only_where_its_wave_is(self) -> None:
        status = self.world.status
        if status.rollout is None or status.canary is None:
            return
        present = status.rollout.waves[-1].index
        for cluster in status.clusters:
            assert cluster.wave is None or cluster.wave <= present
            assert cluster.wave is not None or cluster.weight == 0

    @invariant()
    def stalled_and_reconciling_exclude_each_other_and_ready(self) -> None:
        states = {item.type: item.status.value for item in self.world.status.conditions}
        abnormal = {"Stalled", "Reconciling"} & set(states)
        assert len(abnormal) <= 1
        if abnormal:
            assert states["Ready"] != "True"

    @invariant()
    def everything_in_status_is_bounded(self) -> None:
        status = self.world.status
        limit = self.world.spec.revision_history_limit
        assert len(status.history) <= limit
        assert len(status.rejected_revisions) <= limit + 1
        assert len(status.retired_revisions) <= 8

    @precondition(lambda self: self.world.stage is not None)
    @rule()
    def every_state_has_a_way_out(self) -> None:
        """With everything in reach, nothing paused and no more news, time alone ends every rollout but
        the first."""
        world = self.world
        kept = (world.judgement, world.problems, dict(world.broken))
        world.finds(*NAMES).takes(*NAMES).with_judgement(None).pauses(Paused.NONE)
        world.person("resume").look()
        first = world.stable is None
        if first:
            world.broken.clear()
        for _ in range(3):
            world.run()
            world.pods_move()
            world.run().later(datetime.timedelta(days=2).total_seconds())
        assert world.run().stage is Stage.DONE
        self._remember_lost()
        if world.status.last_request is not None:
            self.answered.add(world.status.last_request.id)
        world.judgement, world.problems, world.broken = kept


def by_switch(status: ModelDeploymentStatus) -> bool:
    """Whether the canary gets all traffic at once."""
    return status.rollout is not None and status.rollout.settings.type is RolloutType.BLUE_GREEN


def by_pods(status: ModelDeploymentStatus) -> bool:
    """Whether numbers of pods make the shares of the present rollout."""
    return status.rollout is not None and status.rollout.by_pods


Rollouts.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def _climbs(old: RolloutStatus, new: RolloutStatus) -> set[int]:
    """So many steps a look may take; what begins with a verdict takes all of them when it is ready."""
    began = (old.stage, new.stage) == (Stage.STARTING, Stage.TRIAL)
    fast = new.latched is not None and new.latched.reason == "FastTrack"
    return {len(new.settings.steps) - 1} if began and fast else {0, 1}


TestRollouts = Rollouts.TestCase
