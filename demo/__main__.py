"""`make demo`: three clusters, three versions, two verdicts, and the plots."""

import argparse
import json
import os
import re
import signal
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from demo.artifacts import ArtifactServer
from demo.manifests import NAME, NAMESPACE
from demo.models import Version, held_out_quality, split
from demo.stage import OPERATOR_IMAGE, SERVER_IMAGE, Stage, StageError
from demo.story import Story, StoryError, draw
from demo.stream import Load
from demo.view import choose
from fleet import Fleet, local
from fleet.contexts import ContextFleet
from fleet.errors import FleetError
from fleet.progress import Screen

FLEET = "demo"
HUB, MEMBERS = "hub", ("east", "west")
# Rows of one request share their fate at the gateway; many large ones would look to the judge like a
# split that is not the one asked for.
LOAD = Load(requests_per_second=75.0, several_rows_share=0.1, rows_max=4)
EXPECTED = (FleetError, LookupError, StageError, StoryError)


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
        console.print(f"[bold red]The demo failed:[/] {escape(str(error))}")
        return 1
    finally:
        if not options.keep:
            _take_down(console, options)
        console.print(f"[dim]{time.monotonic() - began:.0f} s in all[/]")


def _run(console: Console, options: argparse.Namespace) -> int:
    _introduce(console)
    with Screen(console) as screen:
        fleet = _fleet(options, screen)
        hub, *members = fleet.clusters.values()
        stage = Stage(
            hub,
            {_member_name(cluster.name): cluster for cluster in members},
            operator_image=options.operator_image,
            server_image=options.server_image,
            scrape_interval_seconds=options.scrape_interval_seconds,
        )
        with screen.step("install Assay: operator on the hub, its account on the members", 20):
            _install(stage, screen)
    try:
        return _play(console, options, fleet, stage)
    finally:
        if options.contexts is not None and not options.keep:
            with Screen(console) as screen, screen.step("uninstall Assay", 20):
                stage.uninstall()


def _play(console: Console, options: argparse.Namespace, fleet: Fleet, stage: Stage) -> int:
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
    parser.add_argument(
        "--contexts",
        type=lambda text: text.split(","),
        help="use these contexts of your kubeconfig, the hub first, instead of a local fleet",
    )
    parser.add_argument("--operator-image", default=OPERATOR_IMAGE, help="for --contexts")
    parser.add_argument("--server-image", default=SERVER_IMAGE, help="for --contexts")
    parser.add_argument(
        "--scrape-interval-seconds", type=int, default=1, help="of the members' Prometheus"
    )
    options = parser.parse_args()
    if options.contexts is not None and len(options.contexts) < 2:
        parser.error("--contexts needs a hub and at least one member")
    return options


def _fleet(options: argparse.Namespace, screen: Screen) -> Fleet:
    if options.contexts is not None:
        return ContextFleet.adopt(options.name, options.contexts)
    return Fleet.up(options.name, [HUB, *MEMBERS], reporter=screen)


def _member_name(context: str) -> str:
    """Return a context's name as a DNS label, which names of ModelClusters are."""
    return re.sub(r"[^a-z0-9]+", "-", context.lower()).strip("-")[:63]


def _install(stage: Stage, screen: Screen) -> None:
    try:
        stage.install(screen.note)
    except (FleetError, StageError):
        screen.note(escape(stage.operator_log()))
        raise


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
    failed = log.failures_by_kind()
    what = ", ".join(f"{count} {kind}" for kind, count in failed.items()) or "none"
    console.print(
        f"{log.requests:,} requests, {len(rows):,} predictions, failed requests: {what} "
        "(no retries)"
    )
    console.print("plots: " + ", ".join(str(path) for path in drawn))


def _invite(console: Console, stage: Stage, options: argparse.Namespace) -> None:
    url = next(iter(stage.members.values())).gateway_url()
    row = split().held_out_rows[0].tolist()
    body = json.dumps(
        {"inputs": [{"name": "rows", "datatype": "FP64", "shape": [1, len(row)], "data": row}]},
        separators=(",", ":"),
    )
    path = options.output / "request.json"
    path.write_text(body)
    fleet = f".venv/bin/fleet env --name {options.name}"
    console.print(
        f"""
[bold]The fleet is yours.[/] In another terminal:

  eval "$({fleet})"                  # KUBECTL, KUBECONFIG (the hub's), KUBECONFIG_EAST, ...
  $KUBECTL get mdep -A
  $KUBECTL describe mdep {NAME} -n {NAMESPACE}
  $KUBECTL get modelclusters
  $KUBECTL --kubeconfig $KUBECONFIG_EAST get pods,httproutes -n {NAMESPACE}
  curl -s {url}/v2/models/{NAME}
  curl -s {url}/v2/models/{NAME}/infer -d @{path}
  .venv/bin/assay --help

To end it: .venv/bin/fleet down --name {options.name}""",
        soft_wrap=True,
    )


def _wait(console: Console) -> None:
    """Keep the artifact store up until Ctrl-C; without a terminal there is nobody to wait for."""
    if not console.is_terminal:
        return
    console.print("\nThe artifact store serves new pods as long as this runs (Ctrl-C ends it).")
    with suppress(KeyboardInterrupt):
        while True:
            time.sleep(3600)


def _take_down(console: Console, options: argparse.Namespace) -> None:
    """Remove the fleet, if there is one, also when somebody is impatient."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Screen(console) as screen, suppress(FleetError):
        if options.contexts is None:
            local.down(options.name, screen)
        elif fleet := ContextFleet.find(options.name):
            fleet.down(screen)


if __name__ == "__main__":
    sys.exit(main())
