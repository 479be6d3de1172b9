"""How long from the scrape that carries the breach to the last answer of a bad canary.

Usage: ``ASSAY_FLEET=name python bench/rollout/reaction.py [RUNS]`` on a fleet that is up; without
ASSAY_FLEET a fleet is made and taken down. Scrape and analysis interval are 1 s.

Each run: version 1 serves two members under a steady stream, version 2 (worse) gets half of it.
Afterwards Prometheus is asked once more, instant by instant, what it held: the breach is the first
scrape of any member with which the judge says Rollback. The last answer is that of the client's
own log, in either member. The rollback that is measured is the operator's.
"""

import contextlib
import os
import pathlib
import statistics
import sys
import tempfile
import time

from prometheus_api_client import PrometheusConnect

from assay.api.deployment_status import ModelDeploymentStatus
from assay.evidence import combine
from assay.evidence.errors import EvidenceUnavailable
from assay.evidence.prometheus import Trial as TrialCounts
from assay.evidence.prometheus import query_text
from assay.evidence.reply import member_evidence
from assay.judge import Verdict, judge
from assay.rollout import settings
from demo.artifacts import ArtifactServer
from demo.manifests import NAMESPACE
from demo.models import Version, artifact
from demo.stage import Stage
from fleet import Fleet
from tests.e2e.trial import Trial, wait_until

RESOLUTION = 0.1
STEPS = {"rollout.canary.steps": [{"weight": 50}]}


def scrapes(client: PrometheusConnect, name: str, since: float, until: float) -> list[float]:
    """Times at which Prometheus took samples of the ledger."""
    query = (
        f'assay_ledger_info{{namespace="{NAMESPACE}",deployment="{name}"}}[{until - since:.0f}s]'
    )
    found = client.custom_query(query, {"time": str(until)})
    return sorted(float(at) for series in found for at, _ in series["values"])


def breach(
    clients: dict[str, PrometheusConnect], trial: Trial, status: ModelDeploymentStatus, end: float
) -> float:
    """Time of the first scrape after which what Prometheus holds means Rollback."""
    rollout, stable, canary = status.rollout, status.stable, status.rejected_revisions[0]
    assert rollout is not None
    assert stable is not None
    observed = trial.stage.read(trial.name)
    assert observed is not None
    began = rollout.started_at.timestamp()
    analysis = rollout.settings.analysis
    specs = settings.metric_specs(observed.spec, analysis)
    policy = settings.policy(analysis, members=len(clients))
    moments = sorted(
        {at for client in clients.values() for at in scrapes(client, trial.name, began, end)}
    )
    for moment in moments:
        seen = {}
        for member, client in clients.items():
            query = query_text(
                TrialCounts(NAMESPACE, trial.name, rollout.id), moment - began + 30.0
            )
            rows = client.custom_query(query, {"time": f"{moment + 0.001:.3f}"})
            with contextlib.suppress(EvidenceUnavailable):  # a member without labels yet
                seen[member] = member_evidence(rows, trial.name)
        if len(seen) < len(clients):
            continue
        counts = combine(seen, stable.revision, canary.revision, weights={0: 0.5})
        if judge(specs, policy, counts).verdict is Verdict.ROLLBACK:
            return moment
    raise AssertionError("Prometheus never held a breach")


def run(stage: Stage, store: ArtifactServer, number: int) -> tuple[float, int]:
    """Return (seconds from the breach to the last canary answer, failed requests)."""
    trial = Trial(stage, store, f"reaction-{number}")
    clients = {
        member: PrometheusConnect(url=cluster.prometheus_url())
        for member, cluster in stage.members.items()
    }
    try:
        trial.start(artifact(Version.FIRST), STEPS)
        with trial.stream(60.0) as stream:
            trial.apply(artifact(Version.CORRUPTED), STEPS)
            trial.verdict(artifact(Version.CORRUPTED))
            wait_until(
                "answers of stable alone",
                lambda: {row.version for row in stream.log.recent(2.0)} == {"1"},
            )
        found = trial.stage.read(trial.name)
        assert found is not None
        last = max(row.answered for row in stream.log.rows(lambda row: row.version == "2"))
        first = breach(clients, trial, found.status, time.time())
        return last - first, len(stream.log.failures)
    finally:
        trial.delete()


def main() -> None:
    """Measure and print one line a run and the median."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    name = os.environ.get("ASSAY_FLEET")
    fleet = Fleet.load(name) if name else Fleet.up("bench")
    hub, *members = fleet.clusters.values()
    stage = Stage(hub, {member.name: member for member in members})
    stage.install()
    try:
        with (
            tempfile.TemporaryDirectory() as directory,
            ArtifactServer(pathlib.Path(directory), fleet.bridge_address) as store,
        ):
            found = []
            for number in range(1, runs + 1):
                seconds, failed = run(stage, store, number)
                found.append(seconds)
                print(f"run {number}: {seconds:.2f} s, {failed} failed requests", flush=True)
            print(
                f"from the breaching scrape to the last canary answer: median "
                f"{statistics.median(found):.2f} s, max {max(found):.2f} s of {runs} runs"
            )
    finally:
        stage.uninstall()
        if not name:
            fleet.down()


if __name__ == "__main__":
    main()
