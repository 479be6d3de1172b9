"""Container images as files: an OCI image layout that the fleet writes and containerd imports."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
CHUNK = 2**20


@dataclass(frozen=True)
class Image:
    """An image in the layout: the name pods use, its manifest, and all blobs it consists of.

    Digests are written without their ``sha256:``.
    """

    name: str
    manifest: str
    blobs: tuple[str, ...]

    def to_json(self) -> str:
        """Return the record that :meth:`from_json` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Image:
        """Read a record."""
        values = json.loads(text)
        return cls(values["name"], values["manifest"], tuple(values["blobs"]))


class Layout:
    """An OCI image layout in a directory: blobs by digest, shared by all images."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._blobs = directory / "blobs" / "sha256"
        self._blobs.mkdir(parents=True, exist_ok=True)
        marker = directory / "oci-layout"
        if not marker.exists():
            marker.write_text('{"imageLayoutVersion": "1.0.0"}')

    def blob(self, digest: str) -> Path:
        """Return the file of a blob."""
        return self._blobs / digest

    def complete(self, image: Image) -> bool:
        """Tell whether every blob of an image is here."""
        return all(self.blob(digest).exists() for digest in image.blobs)

    def keep(self, digests: Collection[str]) -> None:
        """Remove every other blob."""
        for path in self._blobs.iterdir():
            if path.name not in digests:
                path.unlink()

    def add_file(self, path: Path) -> str:
        """Take a file in as a blob (it is moved) and return its digest."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        path.replace(self.blob(digest))
        return digest

    def add_layer(self, files: Mapping[str, Path]) -> str:
        """Add a layer with these programs (path in the image: file) and return its digest."""
        temporary = self.directory / "layer.tmp"
        with tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as tar:
            for target, source in files.items():
                entry = tarfile.TarInfo(target.lstrip("/"))
                entry.size, entry.mode = source.stat().st_size, 0o755
                with source.open("rb") as file:
                    tar.addfile(entry, file)
        return self.add_file(temporary)

    def add_image(self, name: str, layers: Sequence[str], entrypoint: Sequence[str]) -> Image:
        """Add an image made of layers that are here already."""
        architecture = ARCHITECTURES.get(platform.machine(), platform.machine())
        config = {
            "architecture": architecture,
            "os": "linux",
            "config": {"Env": [f"PATH={SEARCH_PATH}"], "Entrypoint": list(entrypoint)},
            # buildah counts the history's entries against the layers.
            "history": [{"created_by": "assay fleet"} for _ in layers],
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in layers]},
        }
        config_digest, config_size = self._add_json(config)
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": _descriptor(CONFIG, config_digest, config_size),
            "layers": [
                _descriptor(LAYER, digest, self.blob(digest).stat().st_size) for digest in layers
            ],
        }
        manifest_digest, _ = self._add_json(manifest)
        return Image(name, manifest_digest, (manifest_digest, config_digest, *layers))

    def read_image(self, name: str, manifest: str) -> Image:
        """Return the image with this manifest, which another program has put here."""
        content = json.loads(self.blob(manifest).read_text())
        parts = [content["config"], *content["layers"]]
        digests = (part["digest"].removeprefix("sha256:") for part in parts)
        return Image(name, manifest, (manifest, *digests))

    def index(self, images: Sequence[Image]) -> dict[str, Any]:
        """Return the index of an archive with these images."""
        entries = []
        for image in images:
            entry = _descriptor(MANIFEST, image.manifest, self.blob(image.manifest).stat().st_size)
            entry["annotations"] = {
                "io.containerd.image.name": image.name,
                "org.opencontainers.image.ref.name": image.name.rpartition(":")[2],
            }
            entries.append(entry)
        return {"schemaVersion": 2, "manifests": entries}

    def write_archive(
        self, write: Callable[[bytes], object], images: Sequence[Image], present: Collection[str]
    ) -> None:
        """Write an archive of images, leaving out blobs that the reader has already."""
        with tarfile.open(fileobj=_Writer(write), mode="w|") as tar:
            _add_bytes(tar, "oci-layout", (self.directory / "oci-layout").read_bytes())
            _add_bytes(tar, "index.json", json.dumps(self.index(images)).encode())
            wanted = {digest for image in images for digest in image.blobs}
            for digest in sorted(wanted - set(present)):
                tar.add(self.blob(digest), f"blobs/sha256/{digest}", recursive=False)

    def _add_json(self, value: object) -> tuple[str, int]:
        data = json.dumps(value, sort_keys=True).encode()
        digest = hashlib.sha256(data).hexdigest()
        self.blob(digest).write_bytes(data)
        return digest, len(data)


class _Writer(io.RawIOBase):
    """What ``tarfile`` writes to when the bytes go to a pipe."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        super().__init__()
        self._write = write

    @override
    def write(self, data: Any) -> int:
        self._write(bytes(data))
        return len(data)


def _add_bytes(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    tar.addfile(entry, io.BytesIO(data))


def _descriptor(media_type: str, digest: str, size: int) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": size}
