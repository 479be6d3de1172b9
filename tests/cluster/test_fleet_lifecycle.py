"""Fleets come and go without a trace, whatever happens to the process that makes them."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fleet import Fleet, cgroups, local, processes, state

pytestmark = pytest.mark.cluster

POD = """
apiVersion: v1
kind: Pod
metadata: {name: sleeper}
spec:
  containers:
  - {name: sleeper, image: "localhost/pause:1", volumeMounts: [{name: memory, mountPath: /memory}]}
  volumes: [{name: memory, emptyDir: {medium: Memory}}]
"""


@dataclass
class Traces:
    """What a fleet has on the machine. Remembers what it saw, to look for it again later."""

    name: str
    blocks: set[int] = field(default_factory=set)
    namespaces: set[int] = field(default_factory=set)
    pids: set[int] = field(default_factory=set)

    def remember(self) -> None:
        """Note the things that cannot be told by the fleet's name."""
        plan = state.read(self.name)
        if plan is None:
            return
        self.blocks.add(plan.block)
        for cluster in plan.cluster_plans:
            if cluster.netns.exists():
                self.namespaces.add(cluster.netns.stat().st_ino)
            self.pids |= cgroups.members(cluster.full_name)

    def found(self) -> list[str]:
        """Return all that is there now."""
        mark = f"assay-{self.name}-"
        places = (f"/fleets/{self.name}/", mark)
        found = [f"namespace file {path}" for path in Path("/run/netns").glob(f"{mark}*")]
        found += [f"plan {path}" for path in state.RUN.glob(f"{self.name}.json")]
        found += [f"directory {path}" for path in [state.directory_of(self.name)] if path.exists()]
        for line in Path("/proc/self/mounts").read_text().splitlines():
            found += [f"mount {line}" for place in places if place in line]
        for root in cgroups.hierarchies():
            found += [f"control group {path}" for path in root.rglob(f"{mark}*")]
        for entry in Path("/proc").glob("[0-9]*"):
            found += self._of_process(entry, places)
        for block in self.blocks:
            found += self._of_network(block)
        for directory in (
            "/run/containerd",
            "/var/log/pods",
            "/var/log/containers",
            "/var/lib/cni",
        ):
            found += [f"file {path}" for path in Path(directory).glob(f"**/*{self.name}*")]
        return sorted(set(found))

    def _of_process(self, entry: Path, places: tuple[str, ...]) -> list[str]:
        try:
            state_letter = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            groups = (entry / "cgroup").read_text()
            inode = (entry / "ns" / "net").stat().st_ino
        except OSError:  # it has ended
            return []
        if state_letter in "ZX":
            return []
        belongs = inode in self.namespaces or any(
            place in text for place in places for text in (command, groups)
        )
        return [f"process {entry.name}: {command[:100]}"] if belongs else []

    @staticmethod
    def _of_network(block: int) -> list[str]:
        found = []
        for what in ("link", "addr", "route"):
            words = ["show", "table", "all"] if what == "route" else ["show"]
            for item in json.loads(processes.run(["ip", "-json", what, *words])):
                text = json.dumps(item)
                if f'"assay{block}' in text or f'"10.{block}.' in text:
                    found.append(f"{what} {text[:100]}")
        return found


def eventually_nothing(traces: Traces) -> list[str]:
    """Return what stays; the kernel takes a moment to take apart a namespace whose last user died."""
    found = traces.found()
    deadline = time.monotonic() + 5.0
    while found and time.monotonic() < deadline:
        time.sleep(0.1)
        found = traces.found()
    return found


@pytest.fixture
def traces() -> Iterator[Traces]:
    """A name for a fleet that nobody has, and its traces; whatever the test leaves is removed."""
    name = f"t{uuid.uuid4().hex[:8]}"
    yield Traces(name)
    local.down(name)


def command(name: str, *words: str) -> subprocess.Popen[bytes]:
    """Run `fleet` as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "fleet.cli", *words, "--name", name],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def up_alone(name: str) -> subprocess.Popen[bytes]:
    return command(name, "up", "--clusters", "solo", "--addons", "none")


def reached(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    """Wait until the process has come so far."""
    while not condition():
        assert process.poll() is None, "it ended before"
        time.sleep(0.005)


def test_nothing_stays_behind(traces: Traces) -> None:
    fleet = Fleet.up(traces.name, ["solo"], addons=False)
    solo = fleet.clusters["solo"]
    solo.kubectl("apply", "-f", "-", input=POD)
    solo.kubectl("wait", "--for=condition=Ready", "pod/sleeper")
    traces.remember()
    kinds = {line.split()[0] for line in traces.found()}
    assert kinds >= {"process", "mount", "control", "link", "addr", "route", "plan", "directory"}

    fleet.down()

    assert eventually_nothing(traces) == []


def test_nothing_stays_behind_when_every_process_is_killed_at_once(traces: Traces) -> None:
    fleet = Fleet.up(traces.name, ["solo"], addons=False)
    traces.remember()
    processes.kill(cgroups.members(fleet.clusters["solo"].netns))

    fleet.down()

    assert eventually_nothing(traces) == []


MOMENTS: dict[str, Callable[[state.FleetPlan, Path], bool]] = {
    "the plan is written": lambda plan, directory: True,
    "the bridge is there": lambda plan, directory: Path(
        "/sys/class/net", plan.network.bridge
    ).exists(),
    "the namespace is there": lambda plan, directory: plan.cluster_plans[0].netns.exists(),
    "the images are being linked": lambda plan, directory: (directory / "containerd").exists(),
    "containerd runs": lambda plan, directory: (directory / "containerd.sock").exists(),
    "the node registers": lambda plan, directory: (directory / "log" / "kubelet.log").exists(),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_down_removes_what_a_killed_up_left(traces: Traces, moment: str) -> None:
    process = up_alone(traces.name)

    def has_come() -> bool:
        plan = state.read(traces.name)
        directory = state.directory_of(traces.name) / "solo"
        return plan is not None and MOMENTS[moment](plan, directory)

    reached(has_come, process)
    process.kill()
    process.wait()
    traces.remember()

    assert local.down(traces.name)

    assert eventually_nothing(traces) == []


def test_up_recovers_from_a_killed_up(traces: Traces) -> None:
    process = up_alone(traces.name)
    reached((state.directory_of(traces.name) / "solo/log/kubelet.log").exists, process)
    process.kill()
    process.wait()
    traces.remember()
    leftover = set(traces.pids)
    assert leftover

    fleet = Fleet.up(traces.name, ["solo"], addons=False)

    assert fleet.clusters["solo"].kubectl("get", "nodes", "-o", "name") == "node/solo\n"
    assert not leftover & cgroups.members(fleet.clusters["solo"].netns)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_up_cleans_up_after_itself(traces: Traces, number: signal.Signals) -> None:
    process = up_alone(traces.name)
    reached((state.directory_of(traces.name) / "solo/log/etcd.log").exists, process)
    traces.remember()

    process.send_signal(number)

    assert process.wait() != 0
    assert eventually_nothing(traces) == []


def test_up_of_a_fleet_that_is_up_changes_nothing(traces: Traces) -> None:
    fleet = Fleet.up(traces.name, ["solo"], addons=False)
    before = cgroups.first_process(fleet.clusters["solo"].netns)

    again = Fleet.up(traces.name, ["solo"], addons=False)

    assert again == fleet
    assert cgroups.first_process(again.clusters["solo"].netns) == before


def test_two_fleets_beside_each_other() -> None:
    names = [f"t{uuid.uuid4().hex[:8]}" for _ in range(2)]
    started = [command(name, "up", "--clusters", "a,b", "--addons", "none") for name in names]
    try:
        for process in started:
            _, errors = process.communicate()
            assert process.returncode == 0, errors.decode()
        fleets = [Fleet.load(name) for name in names]
        clusters = [cluster for fleet in fleets for cluster in fleet.clusters.values()]
        assert len({cluster.address for cluster in clusters}) == 4
        for fleet in fleets:
            a, b = fleet.clusters.values()
            # From inside one cluster's network to the other's API server, as a pod would.
            inside = ["nsenter", f"--net=/run/netns/{a.netns}", str(b.kubectl_program)]
            nodes = processes.run(
                [*inside, f"--kubeconfig={b.kubeconfig}", "get", "nodes", "-oname"]
            )
            assert nodes == "node/b\n"
    finally:
        for name in names:
            local.down(name)


def test_a_disconnected_cluster_comes_back(traces: Traces) -> None:
    fleet = Fleet.up(traces.name, ["solo"], addons=False)
    solo = fleet.clusters["solo"]

    solo.disconnect()
    with pytest.raises(processes.CommandError):
        solo.kubectl("get", "nodes", "--request-timeout=1s")
    solo.connect()

    assert solo.kubectl("get", "nodes", "-o", "name") == "node/solo\n"


def test_a_stopped_program_stays_down_until_it_is_started(traces: Traces) -> None:
    fleet = Fleet.up(traces.name, ["solo"], addons=False)
    solo = fleet.clusters["solo"]

    solo.stop("kube-apiserver")
    reached_down = False
    while not reached_down:
        reached_down = not solo.api().ready()
    solo.start("kube-apiserver")
    while not solo.api().ready():
        time.sleep(0.1)

    assert solo.kubectl("get", "nodes", "-o", "name") == "node/solo\n"


def test_a_cluster_whose_power_was_cut_goes_on_from_its_disk(traces: Traces) -> None:
    fleet = Fleet.up(traces.name, ["solo"], addons=False)
    solo = fleet.clusters["solo"]
    solo.kubectl("apply", "-f", "-", input=POD)
    solo.kubectl("wait", "--for=condition=Ready", "pod/sleeper")

    solo.cut_power()
    assert cgroups.others(solo.netns) == set()
    with pytest.raises(processes.CommandError):
        solo.kubectl("get", "nodes", "--request-timeout=1s")
    solo.restore_power()

    while not solo.api().ready():
        time.sleep(0.1)
    restarts = "jsonpath={.status.containerStatuses[0].restartCount}=1"
    solo.kubectl("wait", f"--for={restarts}", "pod/sleeper", "--timeout=60s")
    solo.kubectl("wait", "--for=condition=Ready", "pod/sleeper", "--timeout=60s")


def test_a_cluster_that_is_made_anew_knows_nothing(traces: Traces) -> None:
    fleet = Fleet.up(traces.name, ["a", "b"], addons=False)
    assert isinstance(fleet, local.LocalFleet)
    a, b = fleet.clusters.values()
    a.kubectl("create", "namespace", "known")
    others = cgroups.members(b.netns)
    address = a.address

    fleet.make_anew("a")

    names = a.kubectl("get", "namespaces", "-o", "name").split()
    assert "namespace/kube-system" in names
    assert "namespace/known" not in names
    assert a.address == address
    assert cgroups.members(b.netns) >= others


def test_other_users_are_told_what_to_do() -> None:
    code = "import os; os.geteuid = lambda: 1000; from fleet.cli import main; main(['up'])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=os.environ
    )
    assert done.returncode == 1
    assert "need root" in done.stderr
    assert "--contexts a,b" in done.stderr
