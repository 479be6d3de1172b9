"""`make demo`: three clusters, three versions, two verdicts, and the plots."""

import argparse
import os
import signal
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from demo.artifacts import ArtifactServer
from demo.manifests import NAME, NAMESPACE
from demo.models import Version, held_out_quality
from demo.stage import Stage, StageError
from demo.story import Story, StoryError, check, draw
from demo.stream import Load
from demo.view import choose
from fleet import Fleet
from fleet.addresses import AddressError
from fleet.images import ImageError
from fleet.local import down
from fleet.packages import UnsuitableMachineError
from fleet.processes import CommandError
from fleet.progress import Screen
from fleet.state import StateError

FLEET = "demo"
HUB, MEMBERS = "hub", ("east", "west")
LOAD = Load(requests_per_second=60.0, several_rows_share=0.25, rows_max=6)
EXPECTED = (
    AddressError,
    CommandError,
    ImageError,
    StageError,
    StateError,
    StoryError,
    TimeoutError,
    UnsuitableMachineError,
)


def main() -> int:
    """Run the demo; return the exit code: 0 when the story happened."""
    options = _options()
    console = Console(highlight=False)
    began = time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return _run(console, options)
    except KeyboardInterrupt:
        console.print("\nstopped")
        return 130
    except EXPECTED as error:
        console.print(f"[bold red]The demo failed:[/] {error}", markup=True)
        return 1
    finally:
        if not options.keep:
            _take_down(console, options.name)
        console.print(f"[dim]{time.monotonic() - began:.0f} s in all[/]")


def _run(console: Console, options: argparse.Namespace) -> int:
    _introduce(console)
    with Screen(console) as screen:
        fleet = Fleet.up(options.name, [HUB, *MEMBERS], reporter=screen)
        stage = Stage(fleet.clusters[HUB], {name: fleet.clusters[name] for name in MEMBERS})
        with screen.step("install Assay: operator on the hub, its account on the members", 20):
            stage.install(screen.note)
    options.output.mkdir(parents=True, exist_ok=True)
    load = replace(LOAD, requests_per_second=options.rate)
    with (
        tempfile.TemporaryDirectory(prefix="assay-demo-") as directory,
        ArtifactServer(Path(directory), fleet.bridge_address) as store,
    ):
        with choose(console) as view:
            story = Story(stage, store, view, load)
            try:
                story.tell()
            except (StageError, StoryError):
                console.print(stage.operator_log(), markup=False)
                raise
            finally:
                drawn = draw(story.outcome, story.log, options.output)
        _conclude(console, story, drawn)
        if options.keep:
            _invite(console, stage, options)
            _wait(console)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--name", default=FLEET, help="name of the local fleet")
    parser.add_argument("--output", type=Path, default=Path("demo-output"), help="where plots go")
    parser.add_argument(
        "--rate", type=float, default=LOAD.requests_per_second, help="requests a second"
    )
    parser.add_argument(
        "--keep",
        action="store_true",
        default=os.environ.get("KEEP", "") not in {"", "0"},
        help="leave the fleet when the story is told (also KEEP=1)",
    )
    return parser.parse_args()


def _introduce(console: Console) -> None:
    console.print("[bold]Assay demo[/]: one model, two clusters, three versions.")
    for version, what in (
        (Version.FIRST, "three columns of thirty; becomes stable"),
        (Version.CORRUPTED, "trained on a corrupted column; should be rolled back"),
        (Version.GOOD, "all columns; should be promoted"),
    ):
        f1, auc = held_out_quality(version)
        console.print(f"  version {version.value}: F1 {f1:.3f}, AUC {auc:.3f}  {what}")
    console.print(
        "Assay does not know these numbers: it finds out from live predictions and late labels.\n"
        "[dim]Takes under 5 minutes when everything is built; the first time programs are built "
        "from source, which takes up to 30.[/]"
    )


def _conclude(console: Console, story: Story, drawn: list[Path]) -> None:
    log = story.log
    rows = log.rows()
    console.print()
    for trial in story.outcome.trials.values():
        verdict, reason = trial.decided or ("-", "-")
        labels = trial.looks[-1].labels if trial.looks else (0, 0)
        console.print(
            f"[bold]version {trial.canary_version}: {verdict}[/] ({reason}) "
            f"after {labels[1]:,} labels of the canary and {labels[0]:,} of stable"
        )
    for trial in story.outcome.trials.values():
        console.print(f"  {check(trial, rows)}")
    failed = log.failures_by_kind()
    what = ", ".join(f"{count} {kind}" for kind, count in failed.items()) or "none"
    console.print(
        f"{log.requests:,} requests, {len(rows):,} predictions, failed requests: {what} "
        "(no retries)"
    )
    console.print("plots: " + ", ".join(str(path) for path in drawn))


def _invite(console: Console, stage: Stage, options: argparse.Namespace) -> None:
    hub = stage.hub.kubeconfig
    url = stage.members[MEMBERS[0]].gateway_url()
    kubectl = f".venv/bin/fleet kubectl --name {options.name}"
    body = (
        '{"inputs":[{"name":"rows","datatype":"FP64","shape":[1,30],"data":['
        + ",".join(["15"] * 30)
        + "]}]}"
    )
    console.print(
        f"""
[bold]The fleet is yours.[/] Things to try, in another terminal:

  export KUBECONFIG={hub}
  {kubectl} get mdep -A
  {kubectl} describe mdep {NAME} -n {NAMESPACE}
  curl -s {url}/v2/models/{NAME}
  curl -s {url}/v2/models/{NAME}/infer -d '{body}'
  .venv/bin/assay --help

Ctrl-C here ends the artifact store only; `.venv/bin/fleet down --name {options.name}` ends the fleet.""",
        markup=True,
        soft_wrap=True,
    )


def _wait(console: Console) -> None:
    """Keep the artifact store up until Ctrl-C; without a terminal there is nobody to wait for."""
    if not console.is_terminal:
        return
    with suppress(KeyboardInterrupt):
        while True:
            time.sleep(3600)


def _take_down(console: Console, name: str) -> None:
    """Remove the fleet, if there is one, also when somebody is impatient."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Screen(console) as screen, suppress(UnsuitableMachineError):
        down(name, screen)


if __name__ == "__main__":
    sys.exit(main())
