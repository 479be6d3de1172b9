"""containerd's store of unpacked images: prepared once per set of images, then linked per cluster.

Unpacking 700 MB of images in every cluster would be most of the time that a fleet takes to start.
Blobs and committed snapshots never change, so every cluster gets hard links to one prepared store
(which shares their pages in memory too) and a copy of its databases.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from fleet import images, processes, state
from fleet.processes import CommandError, run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fleet.archives import Image
    from fleet.progress import Reporter

NAMESPACE = "k8s.io"
CONTENT = Path("io.containerd.content.v1.content/blobs/sha256")
# Unpacking changes with containerd; raise it when stores are to be made anew all the same.
FORMAT = "1"
KEPT_STORES = 3


def prepare(wanted: Sequence[Image], reporter: Reporter) -> Path:
    """Return a store that holds exactly these images, prepared now if it is not there yet."""
    stores = state.cache_directory() / "stores"
    with state.locked(
        state.cache_directory() / "stores.lock",
        lambda pid: reporter.note(f"waiting for process {pid}, which unpacks images"),
    ):
        store = stores / _digest(wanted)
        if not store.exists():
            with reporter.step("unpack images", 20):
                _make(store, wanted)
        store.touch()
        for old in sorted(_complete(stores), key=_age)[KEPT_STORES:]:
            processes.remove_tree(old)
        return store


def link(store: Path, target: Path) -> None:
    """Give a cluster its own store: links to all that never changes, copies of the databases."""
    target.parent.mkdir(parents=True, exist_ok=True)
    run(["cp", "--archive", "--link", store / "root", target])
    for database in target.glob("*/*.db"):
        copy = database.with_suffix(".copy")
        shutil.copy2(database, copy)
        copy.replace(database)


def load(socket: Path, root: Path, wanted: Sequence[Image]) -> None:
    """Bring images into a running containerd; what it has already is not sent again.

    containerd collects garbage while it unpacks: layers that only the old image of a name had may be
    gone in the middle of it. So what fails is tried once more.
    """
    if not wanted:
        return
    if _failure(socket, root, wanted) and (failure := _failure(socket, root, wanted)):
        raise CommandError(f"images cannot be imported: {failure[-2000:]}")


def _failure(socket: Path, root: Path, wanted: Sequence[Image]) -> str | None:
    """Import images; return what was said if that failed."""
    content = root / CONTENT
    present = {path.name for path in content.iterdir()} if content.exists() else set()
    command = _ctr(socket, "images", "import", "-")
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            images.layout().write_archive(process.stdin.write, wanted, present)
            process.stdin.close()
        except BrokenPipeError:
            pass  # it has said why
        output = process.stdout.read().decode()
    return output or "no reason given" if process.returncode != 0 else None


def _make(store: Path, wanted: Sequence[Image]) -> None:
    """Make a store, beginning with a copy of a similar one: most images are in it already."""
    temporary = store.with_name("new.tmp")
    processes.remove_tree(temporary)
    temporary.mkdir(parents=True)
    root = temporary / "root"
    previous, have = _similar(store.parent, wanted)
    if previous is not None:
        link(previous, root)
    socket = temporary / "containerd.sock"
    (temporary / "containerd.toml").write_text(
        f'version = 2\nroot = "{root}"\nstate = "/run/containerd"\n'
        f'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\naddress = "{socket}"\n'
        # Garbage is collected at the end, when asked, and not while images are unpacked.
        '[plugins."io.containerd.gc.v1.scheduler"]\nstartup_delay = "1h"\nmutation_threshold = 0\n'
    )
    script = (
        "mount -t tmpfs tmpfs /run && exec containerd "
        f"--config {temporary / 'containerd.toml'} --log-level warn"
    )
    with (
        (temporary / "containerd.log").open("wb") as log,
        subprocess.Popen(
            processes.isolated(["sh", "-c", script]), stdout=log, stderr=log
        ) as daemon,
    ):
        try:
            _wait_for(socket, daemon, temporary / "containerd.log")
            load(socket, root, [item for item in wanted if (item.name, item.manifest) not in have])
            if previous is not None:  # also collects what images with new content no longer use
                gone = {name for name, _ in have} - {item.name for item in wanted}
                run([*_ctr(socket, "images", "rm", "--sync"), *(gone or {"none"})])
        finally:
            daemon.kill()
    socket.unlink(missing_ok=True)
    _list_file(temporary).write_text(json.dumps([[item.name, item.manifest] for item in wanted]))
    temporary.rename(store)


def _similar(stores: Path, wanted: Sequence[Image]) -> tuple[Path | None, set[tuple[str, str]]]:
    """Return the newest store with mostly the same images, and what it holds."""
    names = {item.name for item in wanted}
    for store in sorted(_complete(stores), key=_age):
        have = {(name, digest) for name, digest in json.loads(_list_file(store).read_text())}
        different = names ^ {name for name, _ in have}
        if len(different) <= len(names) / 2:
            return store, have
    return None, set()


def _wait_for(socket: Path, daemon: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 30
    while True:
        try:
            run(_ctr(socket, "version"))
        except CommandError:
            if daemon.poll() is not None or time.monotonic() > end:
                raise CommandError(f"containerd does not start:\n{log.read_text()}") from None
            time.sleep(0.05)
        else:
            return


def _ctr(socket: Path, *words: str) -> list[str]:
    return ["ctr", "--address", str(socket), "--namespace", NAMESPACE, *words]


def _digest(wanted: Sequence[Image]) -> str:
    containerd = run(["containerd", "--version"])
    names = sorted(f"{item.name}\0{item.manifest}" for item in wanted)
    return hashlib.sha256("\0".join((FORMAT, containerd, *names)).encode()).hexdigest()[:16]


def _list_file(store: Path) -> Path:
    return store / "images.json"


def _complete(stores: Path) -> list[Path]:
    return [path for path in stores.glob("*") if path.suffix != ".tmp"]


def _age(store: Path) -> float:
    return -store.stat().st_mtime
