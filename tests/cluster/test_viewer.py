"""What `kubectl assay` shows needs no more than the built-in ClusterRole view; what it does needs more."""

import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from assay.api import API_VERSION
from assay.cli import main
from demo.stage import CHART, SYSTEM
from fleet import Cluster
from fleet.processes import CommandError
from tests.unit.assay.rollout.world import ROLLBACK, on_trial

pytestmark = pytest.mark.cluster

SPACE, NAME, VIEWER = "viewed", "fraud", "viewer"

Run = Callable[..., Result]


def rbac(kind: str, name: str, **fields: Any) -> dict[str, Any]:
    version = "rbac.authorization.k8s.io/v1"
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": name, **fields.pop("where", {})},
        **fields,
    }


def a_viewer() -> list[dict[str, Any]]:
    """A namespace, and a ServiceAccount in it with the role `view` there."""
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}},
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": VIEWER, "namespace": SPACE},
        },
        rbac(
            "RoleBinding",
            VIEWER,
            where={"namespace": SPACE},
            roleRef={
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "view",
            },
            subjects=[{"kind": "ServiceAccount", "name": VIEWER, "namespace": SPACE}],
        ),
    ]


def a_story() -> list[dict[str, Any]]:
    """A ModelDeployment after a rollback, an event of it, and a pod that nobody starts."""
    world = on_trial().with_judgement(ROLLBACK).run()
    where = {"name": NAME, "namespace": SPACE}
    about = {"apiVersion": API_VERSION, "kind": "ModelDeployment", **where}
    return [
        {
            "apiVersion": API_VERSION,
            "kind": "ModelDeployment",
            "metadata": where,
            "spec": world.spec.to_dict(),
            "status": {**world.document, "observedGeneration": 1},
        },
        {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {**where, "name": "fraud.1"},
            "involvedObject": about,
            "type": "Warning",
            "reason": "RolledBack",
            "message": "version 8 was rolled back",
            "lastTimestamp": "2026-11-23T13:01:00Z",
        },
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                **where,
                "name": "fraud-7777777777-x",
                "labels": {"assay.dev/deployment": NAME, "assay.dev/revision": "7" * 10},
            },
            "spec": {
                "schedulingGates": [{"name": "assay.dev/never"}],
                "containers": [{"name": "server", "image": "none"}],
            },
        },
    ]


@pytest.fixture(scope="module")
def kubeconfig(
    hub_with_crds: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[pathlib.Path]:
    """What the viewer has, once the viewer's rights are in force."""
    hub = hub_with_crds
    template = ("template", "assay", str(CHART), "-n", SYSTEM, "-s", "templates/hub-requests.yaml")
    roles = [
        item for item in yaml.safe_load_all(hub.helm(*template)) if item["kind"] == "ClusterRole"
    ]
    documents = [*roles, *a_viewer(), *a_story()]
    items = json.dumps({"apiVersion": "v1", "kind": "List", "items": documents})
    hub.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=items)
    try:
        status = json.dumps({"status": documents[-3]["status"]})
        patch = ("patch", "mdep", NAME, "-n", SPACE, "--subresource=status", "--type=merge")
        hub.kubectl(*patch, "-p", status)
        path = tmp_path_factory.mktemp("viewer") / "kubeconfig"
        path.write_text(a_kubeconfig(hub))
        may = ("auth", "can-i", "get", "modeldeployments.assay.dev", "-n", SPACE)
        user = f"--as=system:serviceaccount:{SPACE}:{VIEWER}"
        deadline = time.monotonic() + 60
        while not _says_yes(hub, *may, user):  # a controller adds the chart's rules to view
            assert time.monotonic() < deadline
            time.sleep(0.2)
        yield path
    finally:
        hub.kubectl("delete", "--ignore-not-found", "--wait=false", "-f", "-", input=items)


@pytest.fixture
def run(kubeconfig: pathlib.Path) -> Run:
    """Run ``assay`` as the viewer; in this process, because its libraries take seconds to load."""

    def call(*words: str) -> Result:
        # $KUBECONFIG was read when the client was imported.
        return CliRunner().invoke(main, [*words, "--kubeconfig", str(kubeconfig)])

    return call


def _says_yes(hub: Cluster, *words: str) -> bool:
    try:
        return hub.kubectl(*words).strip() == "yes"
    except CommandError:
        return False


def a_kubeconfig(hub: Cluster) -> str:
    """The hub's kubeconfig with the ServiceAccount's token in place of the administrator."""
    document = yaml.safe_load(hub.kubectl("config", "view", "--raw", "--minify"))
    token = hub.kubectl("create", "token", VIEWER, "-n", SPACE).strip()
    document["users"] = [{"name": VIEWER, "user": {"token": token}}]
    (context,) = document["contexts"]
    context["name"] = "hub"
    context["context"].update(user=VIEWER, namespace=SPACE)
    document["current-context"] = "hub"
    text: str = yaml.safe_dump(document)
    return text


def test_it_sees_how_things_stand_with_pods_but_not_what_they_cost(run: Run) -> None:
    found = run("status", NAME, "--contexts", "east=hub")

    assert found.exit_code == 0, found.stderr
    assert "Ready False, RolledBack" in found.stdout
    assert "stable  SchedulingGated" in found.stdout or "stable  Pending" in found.stdout
    # ModelClusters have no namespace, so a RoleBinding does not give them.
    assert "prices are not readable: modelclusters.assay.dev is forbidden" in " ".join(
        found.stdout.split()
    )


def test_it_is_told_why(run: Run) -> None:
    found = run("explain", NAME, "8")

    assert found.exit_code == 0, found.stderr
    assert found.stdout.startswith("Version 8 was rolled back at 2026-11-23 13:00:00 UTC")
    assert "f1 0.61 vs 0.82, difference -0.21" in found.stdout


def test_it_sees_history_and_events(run: Run) -> None:
    history, events = (
        run("history", NAME, "-o", "json"),
        run("events", NAME, "--contexts", "east=hub"),
    )

    assert [each["version"] for each in json.loads(history.stdout)["history"]] == ["8", "7"]
    assert events.exit_code == 0, events.stderr
    assert "RolledBack  version 8 was rolled back" in events.stdout


def test_it_may_wait(run: Run) -> None:
    assert run("wait", NAME, "--for=rolled-back", "--timeout=0").exit_code == 0
    missed = run("wait", NAME, "--for=promoted", "--timeout=0")
    assert (missed.exit_code, missed.stdout.partition(":")[0]) == (1, "RolledBack")
    assert run("wait", "nobody", "--for=ready", "--timeout=0").exit_code == 2


def test_kubectl_itself_completes_names(hub_with_crds: Cluster, kubeconfig: pathlib.Path) -> None:
    # kubectl finds the plugin beside this Python.
    environment = {
        **os.environ,
        "PATH": f"{pathlib.Path(sys.executable).parent}:/usr/bin:/bin",
        "KUBECONFIG": str(kubeconfig),
    }
    command = [str(hub_with_crds.kubectl_program), "__complete", "assay", "explain", ""]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)

    assert found.stdout.splitlines() == [NAME, ":4"]


def test_it_may_ask_for_nothing(run: Run) -> None:
    found = run("retry", NAME)

    assert found.exit_code == 1
    assert "cannot patch resource" in found.stderr
