"""The story: version 1 serves, version 2 is rolled back, version 3 is promoted.

Every second: read the ModelDeployment, read and judge the evidence, show it, keep it for the plots.
The verdicts are the operator's; the story only changes the spec and watches.
"""

import functools
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from assay.api.deployment_status import HistoryEntry
from assay.api.deployment_status import Stage as RolloutStage
from assay.evidence import EvidenceUnavailable
from demo import evidence, plots
from demo.artifacts import ArtifactServer
from demo.log import Log, Prediction, confusion, f1
from demo.manifests import NAME, NAMESPACE, deployment_manifest
from demo.models import POSITIVE, Version, artifact, split
from demo.stage import Observed, Stage, StageError, describe
from demo.stream import BackgroundStream, Data, Load
from demo.view import Scene, Traffic, View

TICK_SECONDS = 0.5
RECENT_SECONDS = 3.0
CHECK_SECONDS = 15.0
TRIAL_STAGES = frozenset({RolloutStage.TRIAL, RolloutStage.PROMOTING, RolloutStage.ROLLING_BACK})
CLASSES = ("benign", POSITIVE)


class StoryError(Exception):
    """The story did not happen; the message says where it left its path."""


@dataclass
class Outcome:
    """What happened, for the summary and the plots.

    Attributes
    ----------
    trials
        By canary version.
    marks
        Moments of the story: Unix seconds and a few words.
    """

    trials: dict[str, evidence.TrialRecord] = field(default_factory=dict)
    marks: list[tuple[float, str]] = field(default_factory=list)


class Story:
    """Tells the story on a stage.

    Parameters
    ----------
    stage
        With Assay installed.
    store
        Serves the directory into which the artifacts are written.
    view
        Shows what happens.
    """

    def __init__(self, stage: Stage, store: ArtifactServer, view: View, load: Load) -> None:
        self.outcome = Outcome()
        self.log = Log()
        self._stage = stage
        self._store = store
        self._view = view
        self._load = load
        self._connections = stage.prometheus()
        self._past: dict[str, evidence.Past] = {}
        self._chapter = ""

    def tell(self) -> None:
        """Tell the story from beginning to end.

        Raises
        ------
        StoryError
            If a version is not judged as it deserves.
        StageError
            If something does not come in time.
        """
        try:
            self._begin()
            data = split()
            with BackgroundStream(
                NAME,
                self._stage.targets(NAME),
                Data(data.held_out_rows, [str(label) for label in data.held_out_labels]),
                self._load,
            ) as stream:
                self.log = stream.log
                self._until("requests flow through both gateways", self._flows, seconds=60)
                self._roll_back()
                self._promote()
                stream.pause()
                stream.drain(15.0)
                self._check()
        finally:
            for connection in self._connections.values():
                connection.close()

    def _begin(self) -> None:
        self._stage.delete(NAME)  # of an earlier run on this fleet, with what it remembers
        self._chapter = "version 1 becomes stable: nothing to compare it with"
        self._apply(Version.FIRST)
        self._until("version 1 serves in both members", lambda found: found.is_ready, seconds=180)
        self._note("version 1 is stable in " + " and ".join(self._stage.members))

    def _roll_back(self) -> None:
        self._chapter = "version 2 on trial (it is worse)"
        self._apply(Version.CORRUPTED)
        self._until("the verdict on version 2", self._judged(Version.CORRUPTED), seconds=240)
        entry = self._verdict(Version.CORRUPTED, "Rollback")
        self._chapter = "version 2 is rolled back, all traffic is stable's again"
        self._until(
            "the last answer of version 2",
            lambda _: self._shares().keys() == {Version.FIRST.value},
            seconds=30,
        )
        self._note(f"version 2 rolled back: {entry.message}")

    def _promote(self) -> None:
        self._chapter = "version 3 on trial (it is better)"
        self._apply(Version.GOOD)
        self._until("the verdict on version 3", self._judged(Version.GOOD), seconds=240)
        entry = self._verdict(Version.GOOD, "Promote")
        self._chapter = "version 3 is promoted and takes all traffic"
        self._until(
            "version 3 everywhere",
            lambda found: found.is_ready and self._shares().keys() == {Version.GOOD.value},
            seconds=60,
        )
        self._note(f"version 3 promoted: {entry.message}")

    def _check(self) -> None:
        """Compare the canaries' counts in Prometheus with our own log, once the last labels are in.

        Raises
        ------
        StoryError
            If they differ: then the verdicts rested on wrong numbers.
        """
        for trial in self.outcome.trials.values():
            rows = self.log.rows(functools.partial(_of_canary, trial))
            own = confusion(rows, CLASSES)
            counted = self._counted(trial, int(own.sum()))
            if not np.array_equal(own, counted):
                raise StoryError(
                    f"version {trial.canary_version}: Prometheus holds {counted.tolist()}, "
                    f"the client's own log says {own.tolist()}"
                )
            self._note(
                f"version {trial.canary_version}: F1 {f1_of(counted):.6f} from the counts in "
                f"Prometheus, {f1(rows, POSITIVE):.6f} by scikit-learn on the client's own log: "
                f"the same {len(rows):,} labelled predictions"
            )

    def _counted(self, trial: evidence.TrialRecord, expected: int) -> npt.NDArray[np.int64]:
        """Return the counts in Prometheus, as soon as a scrape has brought as many as expected."""
        deadline = time.monotonic() + CHECK_SECONDS + 2 * self._stage.scrape_interval_seconds
        while True:
            counted = evidence.outcomes(
                self._connections,
                NAMESPACE,
                NAME,
                trial,
                CLASSES,
                scrape_interval_seconds=self._stage.scrape_interval_seconds,
            )
            if int(counted.sum()) >= expected or time.monotonic() > deadline:
                return counted
            time.sleep(TICK_SECONDS)

    def _apply(self, version: Version) -> None:
        model = artifact(version)
        model.write(self._store.directory)
        self._stage.apply(deployment_manifest(model, self._store.url))
        self.outcome.marks.append((time.time(), f"version {version.value} applied"))

    def _verdict(self, version: Version, wanted: str) -> HistoryEntry:
        found = self._stage.read(NAME)
        assert found is not None
        entry = _history(found, version)
        assert entry is not None
        if entry.verdict.value != wanted:
            raise StoryError(
                f"version {version.value} should have ended with {wanted}, the operator decided "
                f"{entry.verdict.value} ({entry.reason}): {entry.message}"
            )
        trial = self.outcome.trials.get(version.value)
        if trial is not None:
            trial.decided = (entry.verdict.value, entry.reason)
        self.outcome.marks.append((entry.at.timestamp(), f"{wanted} ({entry.reason})"))
        return entry

    def _judged(self, version: Version) -> Callable[[Observed], bool]:
        return lambda found: _history(found, version) is not None

    def _flows(self, _: Observed) -> bool:
        seen = {item.member for item in self.log.recent(RECENT_SECONDS)}
        return seen == self._stage.members.keys()

    def _until(self, what: str, holds: Callable[[Observed], bool], *, seconds: float) -> None:
        """Watch, look after look, until `holds`."""
        deadline = time.monotonic() + seconds
        while True:
            began = time.monotonic()
            found = self._stage.read(NAME)
            if found is not None:
                self._watch(found)
                if holds(found):
                    return
            if began > deadline:
                raise StageError(f"{what} did not come in {seconds:.0f} s: {describe(found)}")
            time.sleep(max(0.0, TICK_SECONDS - (time.monotonic() - began)))

    def _watch(self, found: Observed) -> None:
        status = found.status
        rollout = status.rollout
        running = rollout is not None and rollout.stage is not RolloutStage.DONE
        look = self._look(found)
        self._view.show(
            Scene(
                chapter=self._chapter,
                stable=status.stable.version if status.stable else "",
                canary=status.canary.version if status.canary and running else "",
                stage=rollout.stage.value if rollout and running else "",
                steps=rollout.settings.canary.weights if rollout and running else (),
                step=rollout.step if rollout else 0,
                look=look,
                traffic=self._traffic(),
                members=tuple(
                    f"{item.name}: {item.ready} of {item.desired} pods ready, "
                    f"canary gets {item.weight} %{' ' + item.message if item.message else ''}"
                    for item in status.clusters
                ),
                events=tuple(
                    f"{event.reason}: {event.message}" for event in self._stage.events(NAME)
                ),
            )
        )

    def _look(self, found: Observed) -> evidence.Look | None:
        """Read, judge and keep what Prometheus holds of the running trial."""
        status = found.status
        rollout, canary, stable = status.rollout, status.canary, status.stable
        if rollout is None or canary is None or stable is None:
            return None
        if rollout.stage not in TRIAL_STAGES:
            return None
        trial = self.outcome.trials.setdefault(
            canary.version,
            evidence.TrialRecord(rollout.id, stable.version, canary.version, canary.revision),
        )
        if rollout.decision is not None:
            trial.decided_at = trial.decided_at or rollout.decision.at.timestamp()
        now = time.time()
        try:
            counts = evidence.read_trial(
                self._connections,
                NAMESPACE,
                NAME,
                status,
                now=now,
                scrape_interval_seconds=self._stage.scrape_interval_seconds,
                past=self._past.setdefault(rollout.id, evidence.Past()),
            )
        except EvidenceUnavailable as error:
            return evidence.look(found.spec, status, error, now)
        look = evidence.look(found.spec, status, counts, now)
        trial.looks.append(look)
        trial.scores = evidence.sum_scores(counts) or trial.scores
        return look

    def _traffic(self) -> Traffic:
        counts = Counter(item.version for item in self.log.recent(RECENT_SECONDS))
        return Traffic(
            requests=self.log.requests,
            failed=len(self.log.failures),
            labels=self.log.label_results["counted"],
            shares={version: rows / counts.total() for version, rows in counts.items()},
        )

    def _shares(self) -> dict[str, float]:
        return self._traffic().shares

    def _note(self, text: str) -> None:
        self._view.note(text)


def draw(outcome: Outcome, log: Log, directory: Path) -> list[Path]:
    """Write every plot and every record of the story into `directory`; return the plots."""
    drawn = []
    for version, trial in sorted(outcome.trials.items()):
        trial.write(directory / f"trial-{version}.json")
        for name, function in (("evidence", plots.draw_evidence), ("roc", plots.draw_roc)):
            path = directory / f"{name}-version-{version}.png"
            function(trial, path)
            drawn.append(path)
    path = directory / "traffic.png"
    plots.draw_traffic(log.rows(), path, outcome.marks)
    log.write(directory / "log.jsonl")
    return [*drawn, path]


def _of_canary(trial: evidence.TrialRecord, row: Prediction) -> bool:
    of_trial = (row.rollout, row.revision) == (trial.rollout, trial.canary_revision)
    return of_trial and row.in_evidence


def f1_of(matrix: npt.NDArray[np.int64]) -> float:
    """Return the F1 of the second class of a two by two confusion matrix."""
    (_, false_positive), (false_negative, true_positive) = matrix.tolist()
    return float(2 * true_positive / max(1, 2 * true_positive + false_positive + false_negative))


def _history(found: Observed, version: Version) -> HistoryEntry | None:
    for entry in found.status.history:
        if entry.version == version.value:
            return entry
    return None
