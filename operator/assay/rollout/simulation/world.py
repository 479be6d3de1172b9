"""The world of one simulated rollout: members that do at once what status says.

The state machine itself is the real one, `assay.rollout.decide`. What is simulated is what it sees:
pods that are ready, routes that show the step that was decided, and the judgement.
"""

import datetime
from dataclasses import dataclass

from assay.api.deployment_status import ModelDeploymentStatus, RolloutStatus, Stage
from assay.api.model_deployment import ModelDeploymentSpec
from assay.judge import Judgement
from assay.rollout.decision import decide
from assay.rollout.observation import MemberView, Observation, PodsView, StickyView
from assay.rollout.traffic import wanted_route

START = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
"""When trials begin; no decision depends on it."""

STABLE, CANARY = "0" * 10, "1" * 10
"""Their revisions."""

_UID = "00000000-0000-0000-0000-000000000000"
_PODS = {STABLE: PodsView(1, 1), CANARY: PodsView(1, 1)}


@dataclass(frozen=True)
class World:
    """What does not change while a rollout runs.

    Attributes
    ----------
    members
        Names of the member clusters, all of them in reach.
    """

    spec: ModelDeploymentSpec
    members: tuple[str, ...]

    def begin(self) -> ModelDeploymentStatus:
        """Return the status at the start of the canary's trial, in its first step."""
        status = ModelDeploymentStatus()
        for revision, stage in ((STABLE, Stage.DONE), (CANARY, Stage.TRIAL)):
            for _ in range(8):
                status = self._decide(status, revision, None, START)
                if rollout_of(status).stage is stage:
                    break
            else:
                raise AssertionError(f"the rollout stays in {rollout_of(status).stage}")
        return self._shown(status, START)

    def look(
        self, status: ModelDeploymentStatus, judgement: Judgement, seconds: float
    ) -> ModelDeploymentStatus:
        """Return the status after a look at `seconds` since the start, and after its routes are shown."""
        now = START + datetime.timedelta(seconds=seconds)
        return self._shown(self._decide(status, CANARY, judgement, now), now)

    def _shown(
        self, status: ModelDeploymentStatus, now: datetime.datetime
    ) -> ModelDeploymentStatus:
        """Return the status in which a step that was just taken is shown, in the same second."""
        rollout = rollout_of(status)
        if rollout.stage is not Stage.TRIAL or rollout.steps[-1].shown_at is not None:
            return status
        return self._decide(status, CANARY, None, now)

    def _decide(
        self,
        status: ModelDeploymentStatus,
        revision: str,
        judgement: Judgement | None,
        now: datetime.datetime,
    ) -> ModelDeploymentStatus:
        members = tuple(
            MemberView(
                name,
                reachable=True,
                revisions=_PODS,
                route=wanted_route(status, name),
                sticky=StickyView(self.spec.traffic.sticky_by),
                ledger_ready=True,
                ledger_store=name,
            )
            for name in self.members
        )
        generation = 1 if revision == STABLE else 2
        seen = Observation(revision, members, judgement)
        return decide(_UID, generation, self.spec, status, seen, now).status


def rollout_of(status: ModelDeploymentStatus) -> RolloutStatus:
    """Return the rollout that a simulated status always has."""
    if status.rollout is None:
        raise AssertionError("a rollout began")
    return status.rollout


def elapsed(moment: datetime.datetime) -> float:
    """Return the seconds since the start of the trial."""
    return (moment - START).total_seconds()
