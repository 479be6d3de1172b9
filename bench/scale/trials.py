"""What a hundred trials with their real queries cost the operator.

Run: ``python -m bench.scale.trials [--deployments N]`` (Linux, root; about six minutes). API servers
without nodes as in `operator_load`; a real Prometheus scrapes a server that exposes what the ledgers
of these trials would (`exposition`). Each look asks it for all counts of the trial, in three members.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from fleet import programs
from fleet.progress import Silent

from . import deployments
from .clusters import HUB, NAMESPACE, connect, control_planes
from .controller import Controller, Simulated
from .deployments import client, name_of
from .operator_load import LONGEST_SECONDS, MEMBERS, SETTLE_SECONDS, Bench, Report

PROMETHEUS, EXPOSITION = 19097, 19098
SCRAPES_SECONDS = 40.0
_CONFIG = """
global: {scrape_interval: 10s, scrape_timeout: 9s}
scrape_configs:
- job_name: trials
  honor_labels: true
  static_configs: [{targets: ['127.0.0.1:%d']}]
"""


def trial_of(status: dict[str, object], name: str) -> list[object]:
    """Return what `exposition` has to know of a trial."""
    found = json.loads(json.dumps(status))
    revisions = (found[arm]["revision"] for arm in ("stable", "canary"))
    return [NAMESPACE, name, *revisions, found["rollout"]["id"]]


def _started(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command)


async def measure(bench: Bench, directory: Path) -> None:
    """Bring every ModelDeployment into a trial with evidence, and see what looks take."""
    await deployments.create(bench.hub, range(bench.count), len(MEMBERS))
    await deployments.until(bench.hub, "ready", deployments.is_ready, LONGEST_SECONDS)
    new = {"model": {"version": "2", "digest": "sha256:" + "2" * 64}}
    names = [name_of(place) for place in range(bench.count)]
    await deployments.all_of([partial(deployments.patch, bench.hub, name, new) for name in names])
    await deployments.until(bench.hub, "on trial", deployments.on_trial, LONGEST_SECONDS)
    found = zip(await deployments.statuses(bench.hub), names, strict=True)
    trials = directory / "trials.json"
    trials.write_text(json.dumps([trial_of(status, name) for status, name in found]))
    (directory / "prometheus.yaml").write_text(_CONFIG % EXPOSITION)
    commands = (
        [sys.executable, "-m", "bench.scale.exposition", str(EXPOSITION), str(trials)],
        [
            str(programs.PROMETHEUS.path),
            f"--config.file={directory / 'prometheus.yaml'}",
            f"--storage.tsdb.path={directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{PROMETHEUS}",
            "--log.level=error",
        ],
    )
    started = [_started(command) for command in commands]
    try:
        await asyncio.sleep(SCRAPES_SECONDS + SETTLE_SECONDS)
        judged = [each for each in await deployments.statuses(bench.hub) if each.get("analysis")]
        bench.report.add("trials with evidence", f"{len(judged)} of {bench.count}")
        looks, written = bench.controller.looks(), bench.written()
        bench.report.add(f"CPU of {bench.count} trials with their queries", await bench.share())
        seen = (bench.controller.looks() - looks) / 60
        bench.report.add("looks per second meanwhile", f"{seen:.1f}")
        bench.report.add("writes per second", f"{(bench.written() - written) / 60:.1f}")
        bench.report.add("memory", f"{bench.controller.memory:.0f} MiB")
    finally:
        for process in started:
            process.terminate()
            process.wait(30)


async def run(count: int, report: Report, directory: Path) -> None:
    """Measure on API servers of our own."""
    programs.build((programs.PROMETHEUS,), Silent())
    with control_planes(MEMBERS) as clusters:
        url = f"http://127.0.0.1:{PROMETHEUS}"
        members = [clusters[name] for name in MEMBERS]
        connect(clusters[HUB], members, url)
        controller = Controller.start(clusters[HUB], directory / "operator.log")
        apis = list(map(client, members))
        bench = Bench(clusters, client(clusters[HUB]), apis, controller, report, count)
        simulated = Simulated.start(members)
        try:
            await measure(bench, directory)
        finally:
            controller.stop()
            simulated.stop()
            for api in (bench.hub, *apis):
                await api.close()


def main() -> None:
    """Measure, and print what came out."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--deployments", type=int, default=100)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="assay-trials-") as directory:
        asyncio.run(run(args.deployments, Report(), Path(directory)))


if __name__ == "__main__":
    main()
