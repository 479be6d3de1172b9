"""`assay report`: from the hub's object and the members' Prometheus to one page and one document."""

import ast
import dataclasses
import datetime
import json
import pathlib
import re
import urllib.parse
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from assay.api import API_VERSION
from assay.api.conditions import Reason
from assay.api.deployment_status import DecisionRecord, ModelDeploymentStatus
from assay.api.model_deployment import ModelDeploymentSpec
from assay.cli import main, report
from assay.cli.cluster import Cluster, Refused
from assay.cli.report_document import FORMAT, Found, document
from assay.cli.report_replay import Look
from assay.cli.report_rollout import subject
from assay.cli.report_words import WHY, headline
from assay.evidence import ArmCounts, Evidence, ScoreHistogram, Stratum
from assay.evidence.reply import member_evidence
from assay.judge import reasons
from assay.judge.decision import REASONS
from assay.render.revision import revision_hash
from assay.rollout import changes
from assay_workbench import rollout_plots
from assay_workbench.rollout_page import page

from .fake_prometheus import Arm, Member, Server

SERVICE = "/api/v1/namespaces/monitoring/services/prometheus:9090/proxy/api/v1/query"
METRICS = [
    {"name": "f1", "type": "F1", "margin": "0.04"},
    {"name": "auc", "type": "ROCAUC", "margin": "0.03"},
]
STEPS = [{"weight": 10}, {"weight": 50}]
NOW = datetime.datetime(2026, 11, 23, 12, 0, tzinfo=datetime.UTC)
LASTED = 2410
START = NOW - datetime.timedelta(seconds=LASTED)
STABLE = "7" * 10


def a_spec(version: str = "8", **rollout: Any) -> ModelDeploymentSpec:
    return ModelDeploymentSpec.model_validate(
        {
            "model": {
                "uri": f"https://models.example.com/fraud-{version}.skops",
                "version": version,
                "digest": "sha256:" + version[0] * 64,
                "decision": {"positiveLabel": "1"},
            },
            "traffic": {"parentRefs": [{"name": "models"}]},
            "rollout": {
                "canary": {"steps": STEPS},
                "analysis": {"intervalSeconds": 240, "metrics": METRICS},
                **rollout,
            },
        }
    )


CANARY = revision_hash(a_spec())


def ref(revision: str, version: str) -> dict[str, str]:
    return {"revision": revision, "version": version, "digest": "sha256:" + version[0] * 64}


def stamp(seconds: float) -> str:
    return (START + datetime.timedelta(seconds=seconds)).isoformat()


def a_rollout(**fields: Any) -> dict[str, Any]:
    return {
        "id": "a" * 10,
        "stage": "Trial",
        "step": 1,
        "startedAt": stamp(0),
        "settings": a_spec().rollout.to_dict(),
        "steps": [
            {"weight": 10, "startedAt": stamp(0), "shownAt": stamp(9)},
            {"weight": 50, "startedAt": stamp(600), "by": "alice@example.com"},
        ],
        **fields,
    }


def on_trial(*members: str, **fields: Any) -> dict[str, Any]:
    return {
        "stable": ref(STABLE, "7"),
        "canary": ref(CANARY, "8"),
        "rollout": a_rollout(),
        "clusters": [
            {"name": name, "reachable": True, "weight": 50, "ready": 3, "desired": 4}
            for name in members or ("east", "west")
        ],
        "conditions": [
            {
                "type": "Ready",
                "status": "False",
                "reason": "TrialRunning",
                "message": "version 8 is on trial",
                "lastTransitionTime": stamp(0),
            }
        ],
        **fields,
    }


def decided(seconds: float, verdict: str, reason: str, **fields: Any) -> dict[str, Any]:
    return {
        "verdict": verdict,
        "reason": reason,
        "message": "F1 of the canary is worse",
        "at": stamp(seconds),
        **fields,
    }


class Hub:
    """Answers for the ModelDeployment, its ModelClusters, and east's Prometheus behind the proxy."""

    def __init__(self) -> None:
        self.content_types: list[str | None] = []
        self.status: dict[str, Any] = on_trial()
        self.spec = a_spec()
        arms = {STABLE: Arm(1), CANARY: Arm(2)}
        self.east = Member(START.timestamp(), STABLE, CANARY, arms)
        self.west = Member(START.timestamp(), STABLE, CANARY, {STABLE: Arm(3), CANARY: Arm(4)})
        self.west_url = ""
        self.forbidden = False
        self.price: str | None = None

    def both(self) -> tuple[Member, Member]:
        return self.east, self.west

    def answer(self, method: str, path: str, body: Any) -> tuple[int, dict[str, Any]]:
        assert method == "GET", "a report writes nothing"
        plain, _, query = path.partition("?")
        if plain == SERVICE:
            return self.east.answer(dict(urllib.parse.parse_qsl(query)))
        if plain == f"/apis/{API_VERSION}/modelclusters":
            if self.forbidden:
                return 403, {"message": "modelclusters is forbidden"}
            return 200, {"items": [self._east(), *self._west()]}
        if plain == f"/apis/{API_VERSION}/namespaces/ml/modeldeployments/fraud":
            return 200, self.document()
        return 404, {"message": "not found"}

    def document(self) -> dict[str, Any]:
        metadata = {"name": "fraud", "namespace": "ml", "uid": "u", "resourceVersion": "1"}
        status = ModelDeploymentStatus.model_validate(self.status).to_dict()
        return {"metadata": metadata, "spec": self.spec.to_dict(), "status": status}

    def _east(self) -> dict[str, Any]:
        return {
            "metadata": {"name": "east"},
            "spec": {
                **({"cost": {"perReplicaHour": self.price}} if self.price else {}),
                "clusterSource": {"inCluster": {}},
                "prometheus": {"service": "monitoring/prometheus:9090"},
            },
        }

    def _west(self) -> Iterator[dict[str, Any]]:
        if self.west_url:
            source = {"kubeConfig": {"secretName": "west"}}
            prometheus = {"url": self.west_url}
            yield {
                "metadata": {"name": "west"},
                "spec": {"clusterSource": source, "prometheus": prometheus},
            }


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "clock", lambda: NOW)


@pytest.fixture
def hub() -> Iterator[Hub]:
    found = Hub()
    server = Server(found.west)
    found.west_url = server.url
    try:
        yield found
    finally:
        server.close()


def call(kubeconfig: pathlib.Path, *words: str, name: str = "fraud") -> Result:
    return CliRunner().invoke(
        main, ["report", name, "--kubeconfig", str(kubeconfig), *words], catch_exceptions=False
    )


def read(kubeconfig: pathlib.Path, *words: str) -> dict[str, Any]:
    result = call(kubeconfig, "-o", "json", *words)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_the_document_of_a_running_trial(hub: Hub, kubeconfig: pathlib.Path) -> None:
    found = read(kubeconfig)

    assert found["format"] == FORMAT
    assert found["rollout"]["stable"] == {"revision": STABLE, "version": "7"}
    last = found["evidence"][-1]
    assert len(found["evidence"]) == 11  # every four minutes of 40, and now
    assert last["seconds"] == LASTED
    [f1, auc] = last["metrics"]
    assert f1["labels"] == {"stable": 11_520, "canary": 7_680}
    assert auc["lower"] < auc["difference"] < auc["upper"]
    assert [each["name"] for each in found["members"]] == ["east", "west"]
    assert found["members"][0]["labels"] == {"stable": 5_760, "canary": 3_840}
    assert found["headline"].startswith("Version 8 is on trial, and nothing is decided yet.")
    assert [each["what"] for each in found["log"]] == [
        "started",
        "step 1: 10 %",
        "step 1 shown",
        "step 2: 50 % by alice@example.com",
    ]
    assert found["notes"] == []
    assert found["cost"] is None
    # Now is Prometheus's own; of the past it is asked once for each moment.
    assert hub.east.asked[0] is None
    assert sorted(hub.west.asked[1:]) == sorted(set(hub.west.asked[1:]))


class Structure(HTMLParser):
    """What a page is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_page_needs_nothing_else_and_can_be_read_aloud(
    hub: Hub, kubeconfig: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = call(kubeconfig)

    assert result.exit_code == 0, result.output
    path = tmp_path / f"fraud-{'a' * 10}.html"
    assert result.stdout.splitlines()[-1] == path.name
    text = path.read_text()
    assert len(text) < 2_000_000
    page = Structure()
    page.feed(text)
    for tag, attributes in page.tags:
        assert tag not in {"script", "link", "img", "iframe"}
        assert not (attributes.get("href") or "#").startswith("http")
    drawn = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert len(drawn) == 4  # two metrics, ROC, precision and recall
    assert all(each["role"] == "img" and each["aria-labelledby"] for each in drawn)
    assert text.count("<desc id=") == 4
    ids = [attributes["id"] for _, attributes in page.tags if attributes.get("id")]
    assert len(ids) == len(set(ids))
    assert "prefers-color-scheme: dark" in text
    assert "#0a0" not in text  # every colour of the drawings is one of the page
    for words in (
        "Evidence over time: auc",
        "What happened",
        "Confusion matrices",
        "alice@example.com",
    ):
        assert words in text, words
    assert list(tmp_path.glob(".*")) == []


def test_a_worse_canary_is_rolled_back_at_the_moment_at_which_it_was(
    hub: Hub, kubeconfig: pathlib.Path
) -> None:
    for member in hub.both():
        member.arms[CANARY] = Arm(9, noise=1.5)
    hub.status = on_trial(
        canary=None,
        rollout=a_rollout(stage="Done", decision=decided(1500, "Rollback", "Worse")),
        history=[
            {
                "id": "a" * 10,
                **ref(CANARY, "8"),
                **decided(1510, "Rollback", "Worse"),
                "startedAt": stamp(0),
            }
        ],
    )
    found = read(kubeconfig)

    assert found["headline"].startswith("Version 8 was rolled back at ")
    assert "it is shown to be worse than the old version" in found["headline"]
    last = found["evidence"][-1]
    assert last["seconds"] == 1500
    assert (last["verdict"], last["reason"]) == ("Rollback", "Worse")
    assert found["evidence"][0]["verdict"] == "Hold"
    assert max(at for at in hub.east.asked if at is not None) == 1501
    assert None not in hub.east.asked
    assert found["notes"] == []


def test_of_an_earlier_rollout_only_the_end_is_kept_and_the_page_says_so(
    hub: Hub, kubeconfig: pathlib.Path
) -> None:
    hub.status = on_trial(
        stable=ref(CANARY, "8"),
        canary=None,
        rollout=a_rollout(id="c" * 10, stage="Done", decision=decided(5000, "Hold", "Superseded")),
        history=[
            {
                "id": "a" * 10,
                **ref(CANARY, "8"),
                **decided(2390, "Promote", "NotWorse"),
                "startedAt": stamp(0),
                "trialPods": [{"name": "east", "seconds": 7200}],
            },
            {
                "id": "b" * 10,
                **ref(STABLE, "7"),
                **decided(-9000, "Promote", "FirstRevision"),
                "startedAt": stamp(-9900),
            },
        ],
    )
    # More than 20 moments, from which on the judge knows how rows hang together.
    wide = [{**each, "margin": "0.08"} for each in METRICS]
    hub.spec = a_spec(analysis={"intervalSeconds": 100, "metrics": wide})
    hub.price = "0.5"
    found = read(kubeconfig, "--rollout", "a" * 10)

    assert found["cost"]["lines"] == [{"what": "cost of rollout " + "a" * 10, "says": "1.00"}]
    assert found["rollout"]["stable"] == {"revision": STABLE, "version": "7"}  # by the counts
    assert found["rollout"]["settingsOfThen"] is False
    assert found["evidence"][-1]["verdict"] == "Promote"
    assert found["rollout"]["steps"] == []
    assert "only its end is kept" in found["notes"][0]


def test_the_first_version_has_a_page_without_evidence(
    hub: Hub, kubeconfig: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    done = decided(10, "Promote", "FirstRevision")
    hub.status = on_trial(
        stable=ref(CANARY, "8"),
        canary=None,
        rollout=a_rollout(stage="Done", decision=done, steps=[]),
        history=[{"id": "a" * 10, **ref(CANARY, "8"), **done, "startedAt": stamp(0)}],
    )
    path = tmp_path / "first.html"
    found = read(kubeconfig, "--html", str(path))
    assert found["evidence"] == []
    assert found["notes"] == ["This was a first version: there was no other to compare it with."]
    assert hub.east.asked == []
    assert found["notes"][0] in path.read_text()


def test_a_member_that_cannot_be_read_is_named(hub: Hub, kubeconfig: pathlib.Path) -> None:
    hub.west_url = ""
    result = call(kubeconfig, "-o", "json")
    found = json.loads(result.stdout)

    assert "warning: member west is not in the report: where its Prometheus is" in result.stderr
    assert "--prometheus west=URL" in result.stderr
    assert found["evidence"][-1]["metrics"][0]["labels"]["canary"] == 3_840
    assert found["members"][1]["evidence"]["problem"].endswith("Give --prometheus west=URL")
    assert found["notes"][0].startswith("Member west is missing in all figures here")


def test_a_forwarded_port_stands_in_for_what_the_hub_says(
    hub: Hub, kubeconfig: pathlib.Path
) -> None:
    hub.forbidden = True
    result = call(kubeconfig, "-o", "json", "--prometheus", f"west={hub.west_url}")
    found = json.loads(result.stdout)
    assert "note: ModelClusters cannot be read: modelclusters is forbidden" in result.stderr
    assert [each["evidence"]["problem"] is None for each in found["members"]] == [False, True]


def test_a_prometheus_that_has_forgotten_the_rollout(hub: Hub, kubeconfig: pathlib.Path) -> None:
    for member in hub.both():
        member.kept_from = 99_999
    hub.status = on_trial(
        rollout=a_rollout(stage="RollingBack", decision=decided(1500, "Rollback", "Worse"))
    )
    found = read(kubeconfig)
    assert found["evidence"] == []
    assert "its Prometheus keeps samples for a shorter time" in found["notes"][0]
    assert found["notes"][-1] == (
        "No member's counts could be read, so there is no evidence on this page."
    )


def test_a_retention_that_ends_in_the_middle_is_told(hub: Hub, kubeconfig: pathlib.Path) -> None:
    hub.west.kept_from = 700
    found = read(kubeconfig)
    [note] = found["notes"]
    assert note.startswith("Member west told ")
    assert "DataStale" in note
    assert found["evidence"][0]["silent"] == ["west"]
    assert found["evidence"][-1]["silent"] == []


def test_a_ledger_that_is_not_there(hub: Hub, kubeconfig: pathlib.Path) -> None:
    hub.west.first = 1e9
    found = read(kubeconfig)
    assert found["members"][1]["evidence"]["problem"].endswith("is its ledger there, and scraped?")


def test_a_prometheus_that_refuses_is_told(hub: Hub, kubeconfig: pathlib.Path) -> None:
    hub.east.error = 403
    found = read(kubeconfig)
    assert "403" in found["members"][0]["evidence"]["problem"]
    assert len(hub.east.asked) == 2  # and once again


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--rollout", "nonsense"], 1, "has no rollout nonsense; known are aaaaaaaaaa"),
        (["--prometheus", "west"], 2, "--prometheus: 'west' is not MEMBER=URL"),
        (["--contexts", "mars"], 2, "the kubeconfig cannot be used"),
        (["--html", "/nowhere/page.html"], 2, "--html: /nowhere is no directory"),
    ],
)
def test_what_cannot_be_done_is_said(
    hub: Hub, kubeconfig: pathlib.Path, words: list[str], code: int, message: str
) -> None:
    result = call(kubeconfig, *words)
    assert result.exit_code == code
    assert message in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("verdict", "fields"),
    [
        ("Promote", {"stable": ref(CANARY, "8")}),
        (
            "Rollback",
            {
                "rejectedRevisions": [
                    {
                        "revision": CANARY,
                        "version": "8",
                        "reason": "Worse",
                        "at": stamp(900),
                        "trials": {
                            "rollouts": ["a" * 10],
                            "stable": STABLE,
                            "startedAt": stamp(0),
                            "steps": [],
                        },
                    }
                ]
            },
        ),
    ],
)
def test_without_a_history_the_last_rollout_is_known_all_the_same(
    verdict: str, fields: dict[str, Any]
) -> None:
    hub = Hub()
    done = a_rollout(stage="Done", decision=decided(900, verdict, "Worse"))
    hub.status = on_trial(canary=None, rollout=done, **fields)
    found = subject(hub.document(), None)
    assert (found.canary, found.version) == (CANARY, "8")
    assert found.stable == (None if verdict == "Promote" else STABLE)


def test_an_api_server_that_does_not_answer_is_no_traceback(
    hub: Hub, kubeconfig: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise Refused(0, "the hub does not answer: no route")

    monkeypatch.setattr(Cluster, "get", refused)
    found = read(kubeconfig)
    assert "the hub does not answer: no route" in found["members"][0]["evidence"]["problem"]


def test_nothing_half_written_is_left_when_somebody_interrupts(
    hub: Hub, kubeconfig: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> Iterator[object]:
        raise KeyboardInterrupt

    monkeypatch.setattr(report, "read_moments", interrupted)
    result = call(kubeconfig, "--html", str(tmp_path / "page.html"))
    assert result.exit_code == 1
    assert "Aborted!" in result.output
    assert [each.name for each in tmp_path.iterdir()] == ["kubeconfig"]


def test_counts_that_say_something_else_than_what_was_decided_are_pointed_at(
    hub: Hub, kubeconfig: pathlib.Path
) -> None:
    decision = decided(900, "Rollback", "Worse")
    hub.status = on_trial(rollout=a_rollout(stage="RollingBack", decision=decision))
    found = read(kubeconfig)
    assert found["notes"][-1].startswith(
        "Read again, the counts at the time of the decision say Hold (Undecided), not Rollback"
    )


@pytest.mark.parametrize(
    ("decision", "words"),
    [
        ({"reason": "AbortedByHand", "by": "bob", "requestReason": "too slow"}, "by bob at "),
        ({"reason": "GuardBreached"}, "a guard was breached"),
        ({"reason": "SomethingNew"}, "(SomethingNew)"),
    ],
)
def test_whoever_decided_and_why_is_told_in_words(decision: dict[str, str], words: str) -> None:
    record = DecisionRecord.model_validate(
        {**decided(900, "Rollback", "Worse"), **decision, "verdict": "Rollback"}
    )
    shown = dataclasses.replace(subject(Hub().document(), None), decision=record)
    text = headline(shown, None)
    assert text.startswith("Version 8 was rolled back")
    assert words in text
    assert ("In their words: too slow." in text) == ("requestReason" in decision)


DECIDES = ("decision_now", "changes.promote", "DecisionRecord")
"""What makes a decision in `assay.rollout`."""


def test_every_reason_of_a_decision_has_words() -> None:
    """Those that `assay.rollout` decides by, and those of the judge that are no hold."""
    decided_by = {
        Reason[each.attr].value
        for path in pathlib.Path(changes.__file__).parent.glob("*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and ast.unparse(call.func).endswith(DECIDES)
        for each in ast.walk(call)
        if isinstance(each, ast.Attribute) and ast.unparse(each.value) == "Reason"
    }
    assert {"Inconclusive", "AbortedByHand", "FirstRevision", "FastTrack"} <= decided_by
    assert decided_by <= WHY.keys()
    ends = [reason for reason, kind in zip(REASONS, _kinds(), strict=True) if kind != "Hold"]
    assert set(ends) <= WHY.keys()


def _kinds() -> list[str]:
    """Return what each reason of the judge leads to, as its reference says."""
    source = pathlib.Path(reasons.__file__).read_text()
    told = dict(re.findall(r'^[A-Z_]+ = "(\w+)"\n"""(\w+)', source, re.MULTILINE))
    return [{"No": "Hold"}.get(told[reason], told[reason]) for reason in REASONS]


def test_several_classes(hub: Hub, kubeconfig: pathlib.Path) -> None:
    names = ("unsure", "犬", "猫")
    dice = np.random.default_rng(5)

    def arm(shift: int) -> ArmCounts:
        scores = {
            own: ScoreHistogram.by_label(
                own,
                {
                    label: np.bincount(
                        np.clip(dice.normal(12 + shift * (own == label), 4, 300), 0, 31).astype(
                            int
                        ),
                        minlength=32,
                    )
                    for label in names
                },
            )
            for own in names
        }
        return ArmCounts(
            names, np.full((3, 3), 50) + np.eye(3, dtype=int) * 150, scores, labelled=900
        )

    evidence = Evidence((Stratum("east/0", arm(8), arm(6)),))
    found = Found(STABLE, evidence=evidence)
    made = document(subject(hub.document(), None), found, NOW)
    assert [each["class"] for each in made["curves"]] == list(names)
    assert made["confusion"]["canary"][1] == [50, 200, 50]
    text = page(json.loads(json.dumps(made, allow_nan=False)))
    assert text.count("<svg role=") == 6
    assert "ROC curves of 猫" in text
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    ("analysis", "words"),
    [
        (
            {},
            "wholly below the dotted zero line, the canary is shown to be worse; when it lies wholly "
            "above the dashed margin (0.04), it is shown not to be worse by that much.",
        ),
        (
            {"rollbackOn": "WorseThanMargin", "promoteOn": "Better"},
            "wholly below the dashed margin (0.04), the canary is shown to be worse by more than "
            "that; when it lies wholly above the dotted zero line, it is shown to be better.",
        ),
    ],
)
def test_how_to_read_a_band_follows_from_the_settings(analysis: dict[str, Any], words: str) -> None:
    hub = Hub()
    settings = a_spec(analysis={"metrics": METRICS, **analysis}).rollout.to_dict()
    hub.status = on_trial(rollout=a_rollout(settings=settings))
    shown = subject(hub.document(), None)
    said = {"east": hub.east, "west": hub.west}
    evidence = {
        name: member_evidence(
            [{"metric": labels, "value": [0, str(value)]} for labels, value in each.rows(2400)],
            "fraud",
        )
        for name, each in said.items()
    }
    judgement = shown.question(STABLE).judgement(evidence, {}, 2400)
    found = Found(STABLE, (Look(2400, judgement),), shown.question(STABLE).evidence(evidence, {}))
    made = json.loads(json.dumps(document(shown, found, NOW), allow_nan=False))
    [f1, _] = rollout_plots.evidence(made)
    assert words in f1.caption


def test_it_says_what_the_rollout_cost(
    hub: Hub, kubeconfig: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    hub.price = "0.5"
    hub.status = on_trial("east")
    path = tmp_path / "page.html"
    found = read(kubeconfig, "--html", str(path))
    assert found["cost"]["pods"] == {"east": 4}
    assert found["cost"]["perHour"]["members"] == {"east": "2"}
    [month, trial] = found["cost"]["lines"]
    assert month["says"].startswith("1 460.00")
    assert trial["what"] == "cost of rollout " + "a" * 10
    assert month["says"] in path.read_text()


def test_there_is_no_such_deployment(hub: Hub, kubeconfig: pathlib.Path) -> None:
    result = call(kubeconfig, name="nobody")
    assert result.exit_code == 1
    assert "there is no ModelDeployment ml/nobody" in result.output


def test_there_was_no_rollout(hub: Hub, kubeconfig: pathlib.Path) -> None:
    hub.status = {}
    result = call(kubeconfig)
    assert result.exit_code == 1
    assert "ml/fraud has had no rollout yet" in result.output


def test_without_the_workbench_the_page_says_what_to_install(
    hub: Hub, kubeconfig: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise ImportError(name="matplotlib")

    monkeypatch.setattr(report.importlib, "import_module", missing)
    assert 'pip install "assay[workbench]"' in _without(kubeconfig)
    assert hub.east.asked == []


def _without(kubeconfig: pathlib.Path) -> str:
    result = CliRunner().invoke(report.report_command, ["fraud", "--kubeconfig", str(kubeconfig)])
    assert result.exit_code == 2
    return result.output
