"""The node of a cluster, which is all of it: making it, waiting for it, removing it."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from fleet import cgroups, components, imagestore, network, processes, programs
from fleet.cluster import condition
from fleet.kubeapi import KubeApi, NotReadyError, wait_for

if TYPE_CHECKING:
    import threading

    from fleet.state import ClusterPlan, FleetPlan

START_SECONDS = 180


def start(fleet: FleetPlan, plan: ClusterPlan, store: Path) -> subprocess.Popen[bytes]:
    """Make a cluster and start its programs; does not wait for any of them.

    The process that is returned lives as long as the cluster.
    """
    plan.directory.mkdir(parents=True)
    cgroups.create(plan.full_name)
    network.create_namespace(fleet, plan)
    spec = components.write_configuration(plan, programs.HYPER.directory)
    imagestore.link(store, plan.directory / "containerd")
    entrances = " ".join(str(path) for path in cgroups.entrances(plan.full_name))
    # Joins the control groups first: from then on `down` finds it and all that comes from it.
    script = f'for file in {entrances}; do echo 0 > "$file"; done; exec "$@"'
    command = [
        *("sh", "-e", "-c", script, "sh"),
        *("nsenter", f"--net={plan.netns}", "--"),
        *("unshare", "--mount", "--propagation=private", "--pid", "--fork", "--mount-proc", "--"),
        *(sys.executable, "-I", str(Path(__file__).with_name("supervisor.py")), str(spec)),
    ]
    with (plan.directory / "log" / "supervisor.log").open("wb") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
        )


def wait_for_api(
    plan: ClusterPlan, process: subprocess.Popen[bytes], ending: threading.Event
) -> KubeApi:
    """Wait until the API server is ready and return a connection to it."""
    api = KubeApi(plan.kubeconfig)
    log = plan.directory / "log" / "kube-apiserver.log"

    def check() -> bool:
        if process.poll() is not None:
            supervisor = plan.directory / "log" / "supervisor.log"
            raise processes.CommandError(f"{plan.name} has died: {_end(supervisor)}")
        return api.ready()

    try:
        wait_for(f"the API server of {plan.name}", check, START_SECONDS, 0.1, ending)
    except NotReadyError as error:
        raise NotReadyError(f"{error}; its log ends with\n{_end(log)}") from None
    return api


def is_ready(api: KubeApi, plan: ClusterPlan) -> bool:
    """Tell whether the node takes pods."""
    node = api.find(f"/api/v1/nodes/{plan.node}")
    return node is not None and condition(node, "Ready")


def destroy(plan: ClusterPlan) -> None:
    """Remove all that a cluster has made on the machine, however far it had come."""
    cgroups.destroy(plan.full_name)
    network.destroy_namespace(plan)
    processes.remove_tree(plan.directory)


def _end(log: Path, lines: int = 15) -> str:
    with suppress(OSError):
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    return "(no log)"
