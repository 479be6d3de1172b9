"""One ModelDeployment of a test's own on the shared stage, and what a test wants to know of it."""

import json
import os
import pathlib
import signal
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from assay.api.deployment_status import HistoryEntry
from assay.api.deployment_status import Stage as RolloutStage
from demo.artifacts import ArtifactServer
from demo.labels import LabelSettings
from demo.manifests import NAMESPACE, Manifest, deployment_manifest
from demo.models import Artifact, split
from demo.stage import Observed, Stage
from demo.stream import BackgroundStream, Data, Load, Target
from fleet import Cluster, cgroups
from fleet.cluster import LocalCluster

QUICK_STEPS = [{"weight": 20, "minSeconds": 3}, {"weight": 50}]
DECIDING = 240.0
"""Seconds after which a test gives up on a verdict; far more than one takes."""


class Trial:
    """A ModelDeployment under the name of the test, from its first version to its end."""

    def __init__(self, stage: Stage, store: ArtifactServer, name: str) -> None:
        self.stage = stage
        self.store = store
        self.name = name

    def manifest(self, artifact: Artifact, changes: Mapping[str, object] | None = None) -> Manifest:
        """The example's manifest for `artifact` with quick steps; `changes` by dotted spec path."""
        artifact.write(self.store.directory)
        manifest = deployment_manifest(artifact, self.store.url, self.name)
        for path, value in {"rollout.canary.steps": QUICK_STEPS, **(changes or {})}.items():
            node: Any = manifest["spec"]
            *parents, last = path.split(".")
            for key in parents:
                node = node[int(key)] if isinstance(node, list) else node[key]
            node[int(last) if isinstance(node, list) else last] = value
        return manifest

    def apply(self, artifact: Artifact, changes: Mapping[str, object] | None = None) -> None:
        self.stage.apply(self.manifest(artifact, changes))

    def start(self, artifact: Artifact, changes: Mapping[str, object] | None = None) -> None:
        """Bring up the first version and wait until it serves everywhere."""
        self.apply(artifact, changes)
        self.until(f"version {artifact.version} serves", lambda found: found.is_ready)

    def until(
        self, what: str, holds: Callable[[Observed], bool], seconds: float = DECIDING
    ) -> Observed:
        return self.stage.wait_for(what, self.name, holds, seconds=seconds)

    def until_stage(self, stage: RolloutStage, version: str) -> Observed:
        def holds(found: Observed) -> bool:
            rollout, canary = found.status.rollout, found.status.canary
            return (
                rollout is not None
                and rollout.stage is stage
                and canary is not None
                and canary.version == version
            )

        return self.until(f"stage {stage.value} of version {version}", holds)

    def verdict(self, artifact: Artifact) -> HistoryEntry:
        """Wait for the end of the rollout of `artifact` and return how it ended."""

        def ended(found: Observed) -> HistoryEntry | None:
            history = found.status.history
            return next((item for item in history if item.version == artifact.version), None)

        found = self.until(f"a verdict on version {artifact.version}", lambda it: bool(ended(it)))
        entry = ended(found)
        assert entry is not None
        return entry

    def stream(
        self,
        requests_per_second: float = 50.0,
        labels: LabelSettings | None = None,
        *,
        users: int = 0,
        targets: Sequence[Target] | None = None,
        members: Collection[str] | None = None,
    ) -> BackgroundStream:
        """A steady stream of held-out rows, labels following.

        It goes to `targets`, or through the gateways of `members`, or through all.
        """
        data = split()
        return BackgroundStream(
            self.name,
            targets or self.stage.targets(self.name, members=members),
            Data(data.held_out_rows, [str(label) for label in data.held_out_labels]),
            Load(
                requests_per_second=requests_per_second,
                users=users,
                labels=labels or LabelSettings(),
            ),
        )

    def pods(self, revision: str) -> dict[str, tuple[str, int]]:
        """Uid and restarts of the serving pods of a revision, by member and pod name."""
        return {
            f"{member}/{pod['metadata']['name']}": (
                pod["metadata"]["uid"],
                sum(item["restartCount"] for item in pod["status"].get("containerStatuses", [])),
            )
            for member in self.stage.members
            for pod in self.objects(member, "pods", f"assay.dev/revision={revision}")
        }

    def objects(self, member: str, kind: str, selector: str = "") -> list[dict[str, Any]]:
        """Objects of this deployment in a member."""
        mine = f"assay.dev/deployment={self.name}"
        found = self.stage.members[member].kubectl(
            *("get", kind, "-n", NAMESPACE, "-o", "json"),
            *("-l", f"{mine},{selector}" if selector else mine),
        )
        items: list[dict[str, Any]] = json.loads(found)["items"]
        return items

    def delete(self) -> None:
        """Delete it and wait until it is gone."""
        self.stage.delete(self.name)


def kill(cluster: Cluster, word: str) -> int:
    """Kill -9 every process of a local cluster whose command line holds `word`; return how many."""
    assert isinstance(cluster, LocalCluster), "processes of clusters elsewhere cannot be killed"
    killed = 0
    for pid in cgroups.members(cluster.plan.full_name):
        try:
            command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
        except OSError:
            continue
        if word.encode() in command:
            os.kill(pid, signal.SIGKILL)
            killed += 1
    return killed


def wait_until(what: str, holds: Callable[[], bool], seconds: float = 60.0) -> None:
    """Poll until `holds`; an AssertionError that says `what` if it never does."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"{what} did not come in {seconds:.0f} s"
        time.sleep(0.25)
