"""Whether our images come out the same when they are built twice, each time from nothing.

``python -m fleet.reproducible`` builds each image twice on the same base, with empty caches, and compares
the digests; names of images (``assay-server``) choose some. Where they differ it names the files that do. It writes
what it found into docs/supply-chain.md.
"""

from __future__ import annotations

import datetime
import hashlib
import shutil
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fleet import images, state
from fleet.errors import FleetError
from fleet.progress import Screen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fleet.archives import Image, Layout

SHOWN = 20
"""At most so many files are named."""
PAGE = images.REPOSITORY / "docs" / "supply-chain.md"
MARKS = ("<!-- fleet.reproducible: begin -->\n", "<!-- fleet.reproducible: end -->\n")


@dataclass(frozen=True)
class Pair:
    """One image, built twice: both digests, and the files in which the two differ."""

    name: str
    digests: tuple[str, str]
    differences: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Whether both builds gave the same image."""
        return self.digests[0] == self.digests[1]


def pair(source: images.Source, base: Image) -> Pair:
    """Build an image twice, from nothing but its base, and compare."""
    files = sorted(set(images.context_files(source.dockerfile, images.REPOSITORY)))
    first, second = (_alone(source, base, files) for _ in range(2))
    found = () if first.manifest == second.manifest else differences(images.layout(), first, second)
    return Pair(source.name, (first.manifest, second.manifest), found)


def differences(store: Layout, first: Image, second: Image) -> tuple[str, ...]:
    """Return what differs: files by path, and the configuration if all files are the same."""
    left, right = (_files(store, image) for image in (first, second))
    paths = sorted(path for path in left | right if left.get(path) != right.get(path))
    return tuple(paths) or ("(the image's configuration)",)


def _alone(source: images.Source, base: Image, files: list[Path]) -> Image:
    with tempfile.TemporaryDirectory(dir=state.cache_directory()) as root:
        storage = Path(root) / "buildah"
        try:
            return images.build(source, base, files, storage)
        finally:
            shutil.rmtree(storage, ignore_errors=True)


def _files(store: Layout, image: Image) -> dict[str, tuple[object, ...]]:
    """Return what each path of an image is, by layer, for comparison."""
    found: dict[str, tuple[object, ...]] = {}
    for number, digest in enumerate(image.blobs[2:]):
        with tarfile.open(store.blob(digest)) as tar:
            for entry in tar:
                content = tar.extractfile(entry) if entry.isfile() else None
                data = hashlib.sha256(content.read()).hexdigest() if content else entry.linkname
                meta = (entry.type, entry.mode, entry.uid, entry.gid, entry.mtime)
                found[f"{entry.name} (layer {number})"] = (*meta, data)
    return found


def reported(pairs: Sequence[Pair], base: Image, date: datetime.date) -> str:
    """Return what was found, for people."""
    lines = [
        f"`make reproducible`, {date}, buildah, on the base image `sha256:{base.manifest[:16]}…` of the local clusters:",
        "",
        "| image | first build | second build | |",
        "|---|---|---|---|",
    ]
    for item in pairs:
        shown = " | ".join(f"`sha256:{digest[:16]}…`" for digest in item.digests)
        verdict = "the same" if item.same else f"{len(item.differences)} files differ"
        lines.append(f"| {item.name.partition('/')[2].partition(':')[0]} | {shown} | {verdict} |")
    return "\n".join(lines) + "\n"


def written(page: str, report: str) -> str:
    """Return `page` with the report between its marks."""
    before, rest = page.split(MARKS[0])
    _, after = rest.split(MARKS[1])
    return f"{before}{MARKS[0]}\n{report}\n{MARKS[1]}{after}"


def main() -> int:
    """Build, compare, report; return the exit code: 0 if every image came out the same."""
    chosen = [item for item in images.OURS if not sys.argv[1:] or _short(item) in sys.argv[1:]]
    pairs = []
    try:
        with Screen() as screen:
            base = images.base_image(screen)
            for source in chosen:
                with screen.step(f"build {source.name} twice", 240):
                    pairs.append(pair(source, base))
    except FleetError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    report = reported(pairs, base, datetime.datetime.now(tz=datetime.UTC).date())
    sys.stdout.write(report)
    PAGE.write_text(written(PAGE.read_text(), report))
    for item in pairs:
        for path in item.differences[:SHOWN]:
            sys.stderr.write(f"{item.name}: {path}\n")
        if more := len(item.differences[SHOWN:]):
            sys.stderr.write(f"{item.name}: and {more} more\n")
    return 0 if all(item.same for item in pairs) else 1


def _short(source: images.Source) -> str:
    return source.name.partition("/")[2].partition(":")[0]


if __name__ == "__main__":
    sys.exit(main())
