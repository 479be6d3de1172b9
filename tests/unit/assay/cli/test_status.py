"""The screen for whoever is on call."""

import datetime
import io
import json
import os
import pathlib
import pty
import re
import select
import signal
import subprocess
import sys
import time
import urllib.parse

import pytest
import yaml
from click.testing import CliRunner, Result
from rich.console import Console

from assay.api.deployment_status import ModelDeploymentStatus
from assay.cli import main
from assay.cli.member_pods import Pods
from assay.cli.screen import Screen, show
from assay.cli.standing import Standing
from assay.judge import Judgement, MetricJudgement, Verdict

from ..rollout.world import (  # noqa: TID252
    EIGHT,
    SEVEN,
    World,
    judged,
    on_trial,
    serving,
    without_gateway,
)
from .world_hub import WorldHub

STEPS = [{"weight": 5}, {"pause": "Manual"}, {"weight": 50}]
METRICS = [
    {"name": "f1", "type": "F1", "margin": "0.02", "floor": "0.70"},
    {"name": "loss", "type": "LogLoss", "margin": "0.05"},
]
WAVES = [
    {"name": "pilot", "clusterSelector": {"matchLabels": {"tier": "pilot"}}},
    {"name": "rest", "soakSeconds": 600},
]


def measured() -> Judgement:
    """Two metrics with bands; of the second one less is better."""
    metrics = tuple(
        MetricJudgement(
            name,
            Verdict.HOLD,
            "Undecided",
            "undecided, evidence to promote 1.21 of 3.00",
            labels_stable=5220,
            labels_canary=1310,
            stable=stable,
            canary=canary,
            difference=canary - stable,
            lower=lower,
            upper=upper,
            past_burn_in=True,
        )
        for name, stable, canary, lower, upper in (
            ("f1", 0.82, 0.81, -0.031, 0.011),
            ("loss", 0.31, 0.29, -0.04, 0.002),
        )
    )
    return Judgement(Verdict.HOLD, "Undecided", metrics[0].message, metrics)


def screen(world: World, width: int = 100, later: float = 0.0, **known: object) -> str:
    now = world.now + datetime.timedelta(seconds=later)
    standing = Standing("ml/fraud", world.generation, world.spec, world.status, now, **known)  # type: ignore[arg-type]
    out = io.StringIO()
    show(Console(file=out, width=width, highlight=False), Screen(standing))
    return out.getvalue()


def test_it_says_what_is_waited_for_and_who_can_do_what() -> None:
    world = on_trial(canary={"steps": STEPS}).with_judgement(judged()).run()
    world.loses("west").person("resume").run()

    text = screen(world, width=200)
    words = " ".join(text.split())

    assert text.splitlines()[0] == "ml/fraud  Ready False, WaitingForApproval"
    assert "step 2 waits for a person: kubectl assay approve goes on" in words
    assert "time left a person is waited for: no clock ends the trial" in words
    assert "MembersReachable 1 of 2 members cannot be reached: west: connection refused" in words
    assert "steps 5 % done, 5 % (pause) now, 50 %" in words
    assert "stable version 7 (7777777777)" in words
    assert "canary version 8 (8888888888), on trial" in words
    assert "last request resume by alice@example.com at 2026-11-23 13:00:00 UTC: Refused." in words
    assert "verdict Hold (Undecided)" in words
    assert re.search(r"east +canary 5 %  ●● 2 of 2 pods ready", text)
    assert re.search(r"west +unreachable since .*: connection refused; last seen: 2 of 2", text)


def test_at_80_columns_every_line_fits_and_ends_where_its_words_do() -> None:
    world = on_trial(1, analysis={"metrics": METRICS}).with_judgement(measured()).run()

    for line in screen(world, width=80).splitlines():
        assert len(line) <= 80
        assert line == line.rstrip()
        assert "\x1b" not in line


def test_bars_show_the_band_of_the_canary_and_the_border_of_the_margin() -> None:
    world = on_trial(1, analysis={"metrics": METRICS}).with_judgement(measured()).run()

    text = screen(world, width=80)

    found = re.findall(r"(stable|canary)  ([\d.]+)  (\S+) +([\d ]+) labels", text)
    (_, _, f1_stable, _), (_, _, f1_canary, labels) = found[:2]
    (_, _, loss_stable, _), (_, _, loss_canary, _) = found[2:]
    assert labels == "1 310"
    # The border of the margin lies on the side where it would be worse.
    assert f1_stable.index("┊") < f1_stable.index("●")
    assert loss_stable.index("●") < loss_stable.index("┊")
    assert f1_canary.index("├") < f1_canary.index("┊") < f1_canary.index("●")
    assert f1_canary.index("●") < f1_stable.index("●") < f1_canary.index("┤")
    assert loss_canary.index("┤") < loss_stable.index("┊")
    assert "difference -0.0100, 95 % band -0.0310 .. 0.0110, margin 0.02, floor 0.70" in text


def test_time_left_counts_down() -> None:
    world = on_trial(1).with_judgement(judged(burnt_in=False)).run()

    assert "46 s: step 2 has lasted long enough (13:02:00 UTC)" in screen(world, later=14)
    late = screen(world, later=61)
    assert "now: step 2 has lasted long enough" in late
    assert "24 h: rolled back without a verdict (13:00:00 UTC)" in late


def test_waves_come_between_deployment_and_members() -> None:
    world = World()
    world.members["east"].labels = {"tier": "pilot"}
    world.run().later(3600).asks_for(EIGHT, waves=WAVES).with_judgement(judged()).run()

    lines = screen(world, labels={"east": {"tier": "pilot"}, "west": {}}).splitlines()
    start = lines.index("├── wave pilot, on trial")
    assert lines[start + 1].startswith("│   └── east  canary 20 %")
    assert lines[start + 2] == "└── wave rest, waits"
    assert lines[start + 3].startswith("    └── west  canary 0 %")

    # Who may not read ModelClusters is not told which.
    assert "└── a later wave" in screen(world)


def test_it_says_the_share_that_pods_really_make() -> None:
    world = without_gateway(serving(replicas=2)).later(60).asks_for(EIGHT).run()

    text = screen(world)

    assert "the canary gets 33 % by its ready pods" in text
    assert text.count("canary 5 %, by pods 33 %") == 2


def test_after_a_rollback_it_says_why_and_what_the_last_evidence_was() -> None:
    world = on_trial(1, analysis={"metrics": METRICS}).with_judgement(measured()).run()
    world.with_judgement(judged("Rollback", "Worse", "f1 0.61 vs 0.82")).run().later(60).run()

    text = screen(world)

    assert text.splitlines()[0] == "ml/fraud  Ready False, RolledBack"
    assert "Worse: f1 0.61 vs 0.82." in text
    assert "evidence of the last rollout" in text
    assert "time left" not in text
    assert "canary version" not in text
    assert "version 8: Rollback (Worse)" in text


def test_it_says_that_the_operator_has_not_looked() -> None:
    world = World()
    standing = Standing("ml/fraud", 1, world.spec, ModelDeploymentStatus(), world.now)
    out = io.StringIO()
    show(Console(file=out, width=80), Screen(standing))

    assert out.getvalue().splitlines()[:2] == [
        "ml/fraud  not looked at yet",
        "the operator has not seen generation 1 of the spec yet",
    ]


def test_a_terminal_without_unicode_gets_letters_that_it_has() -> None:
    world = on_trial(1, analysis={"metrics": METRICS}).with_judgement(measured()).run()
    standing = Standing("ml/fraud", world.generation, world.spec, world.status, world.now)
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii")
    show(Console(file=out, width=80, highlight=False), Screen(standing))
    out.flush()

    text = raw.getvalue().decode("ascii")
    assert re.search(r"canary  0\.8100  [.:\[\]o-]{30}", text)
    assert re.search(r"east  canary 20 %  ### 3 of 3 pods", text) or "## 2 of 2 pods" in text


# The command


@pytest.fixture
def hub() -> WorldHub:
    hub = WorldHub(on_trial(1, analysis={"metrics": METRICS}).with_judgement(measured()).run())
    hub.pods = [
        a_pod("fraud-7777777777-6d9f7-x2k4p", SEVEN),
        a_pod("fraud-8888888888-5c4d8-9wq2z", EIGHT, waiting="CrashLoopBackOff", restarts=3),
        a_pod("fraud-ledger-0", None),
    ]
    return hub


def a_pod(
    name: str, revision: str | None, waiting: str = "", restarts: int = 0
) -> dict[str, object]:
    component = {"app.kubernetes.io/component": "server" if revision else "ledger"}
    labels = {**component, "assay.dev/deployment": "fraud"}
    if revision:
        labels["assay.dev/revision"] = revision
    state = {"waiting": {"reason": waiting}} if waiting else {"running": {}}
    return {
        "metadata": {"name": name, "labels": labels},
        "status": {
            "phase": "Running",
            "startTime": "2026-11-23T12:00:00Z",
            "conditions": [{"type": "Ready", "status": "False" if waiting else "True"}],
            "containerStatuses": [{"state": state, "restartCount": restarts}],
        },
    }


def call(kubeconfig: pathlib.Path, *words: str) -> Result:
    result = CliRunner().invoke(main, ["status", "fraud", "--kubeconfig", str(kubeconfig), *words])
    assert result.exit_code == 0, result.output
    return result


def test_pods_are_shown_of_members_that_can_be_asked(
    hub: WorldHub, kubeconfig: pathlib.Path
) -> None:
    text = call(kubeconfig, "--contexts", "west=hub").stdout

    # East is the hub itself, west is reached by its context.
    assert text.count("canary  CrashLoopBackOff, 3 restarts, ") == 2
    assert text.count("stable  ready, ") == 2
    assert text.count("ledger  ready, ") == 2
    assert "labelSelector=assay.dev/deployment=fraud" in map(urllib.parse.unquote, hub.queries)


def test_without_contexts_no_member_is_asked(hub: WorldHub, kubeconfig: pathlib.Path) -> None:
    assert "CrashLoopBackOff" not in call(kubeconfig).stdout
    assert not any("labelSelector" in query for query in hub.queries)


def test_json_and_yaml_are_the_same_document(hub: WorldHub, kubeconfig: pathlib.Path) -> None:
    as_json = json.loads(call(kubeconfig, "-o", "json", "--contexts", "west=hub").stdout)
    as_yaml = yaml.safe_load(call(kubeconfig, "-o", "yaml", "--contexts", "west=hub").stdout)

    # The cost of a trial moves on between two looks.
    del as_json["cost"], as_yaml["cost"]
    assert as_yaml == as_json
    assert as_json["status"] == hub.world.document
    assert as_json["pods"]["west"]["pods"][1]["restarts"] == 3
    assert as_json["pods"]["west"]["problem"] is None


def test_a_member_that_may_not_be_asked_is_said_beside_the_rest(
    hub: WorldHub,
) -> None:
    refused = Pods(problem='pods is forbidden: User "alice" cannot list resource "pods"')
    text = screen(hub.world, width=100, pods={"west": refused})

    assert "    └── pods not known: pods is forbidden" in text


def watching(kubeconfig: pathlib.Path) -> list[str]:
    program = pathlib.Path(sys.executable).with_name("kubectl-assay")
    command = [str(program), "status", "fraud", "-w", "--kubeconfig", str(kubeconfig)]
    # A shell starts what is in the background with Ctrl-C ignored, and that is inherited.
    return ["env", "--default-signal=INT", *command]


def test_watching_draws_in_place_and_ends_cleanly_at_ctrl_c(
    hub: WorldHub, kubeconfig: pathlib.Path
) -> None:
    """In a real terminal of 80 columns."""
    primary, secondary = pty.openpty()
    environment = {
        **{key: value for key, value in os.environ.items() if key != "NO_COLOR"},
        "TERM": "xterm-256color",
        "COLUMNS": "80",
        "LINES": "50",
    }
    with subprocess.Popen(
        watching(kubeconfig),
        stdin=secondary,
        stdout=secondary,
        stderr=secondary,
        env=environment,
        start_new_session=True,
    ) as process:
        os.close(secondary)
        first = _until(primary, "before")
        hub.world.person("pause").run()
        second = _until(primary, "PausedByHand")
        process.send_signal(signal.SIGINT)
        last = _until(primary, "\x1b[?25h")
    os.close(primary)

    assert "Hold" in first
    assert "\x1b[?25l" in first  # the cursor is hidden, and shown again at the end
    assert "\x1b[1A" in second  # what was drawn is drawn over
    assert "Traceback" not in last
    assert process.returncode == 0


def _until(terminal: int, text: str) -> str:
    """Read what a program draws until it has drawn `text`."""
    seen = b""
    while text.encode() not in seen:
        ready, _, _ = select.select([terminal], [], [], 60.0)
        assert ready, f"{text!r} was not drawn: {seen!r}"
        seen += os.read(terminal, 65536)
    return seen.decode(errors="replace")  # a letter may be read by halves


def test_watching_without_a_terminal_prints_what_changes(
    hub: WorldHub, kubeconfig: pathlib.Path
) -> None:
    with subprocess.Popen(watching(kubeconfig), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        looks = hub.looks
        while hub.looks < looks + 2:  # twice more, and nothing is new
            time.sleep(0.1)
        hub.world.person("pause").run()
        heads = [first]
        while "PausedByHand" not in heads[-1]:
            line = process.stdout.readline()
            if line.startswith("ml/fraud"):
                heads.append(line)
        process.send_signal(signal.SIGINT)
        process.stdout.read()

    assert heads == [
        "ml/fraud  Ready False, TrialRunning\n",
        "ml/fraud  Ready False, PausedByHand\n",
    ]
    assert process.returncode == 0
