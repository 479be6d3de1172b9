"""What an image is made from decides whether it is made again."""

import io
import json
import tarfile
from pathlib import Path

import pytest

from fleet.archives import Image, Layout
from fleet.images import ImageError, context_files, copied_paths

DOCKERFILE = """
ARG BASE=python
FROM ${BASE} AS dependencies
COPY requirements/server.txt /tmp/requirements.txt
FROM ${BASE}
COPY --from=dependencies /opt/assay /opt/assay
COPY --chown=1:1 ./pyproject.toml \\
     package/ /source/
ADD LICENSE /
"""


def test_copied_paths_are_those_of_the_context() -> None:
    expected = ["requirements/server.txt", "pyproject.toml", "package", "LICENSE"]
    assert copied_paths(DOCKERFILE) == expected


def test_context_files_leave_out_compiled_python(tmp_path: Path) -> None:
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text("FROM x\nCOPY package /package\n")
    (tmp_path / "package" / "__pycache__").mkdir(parents=True)
    (tmp_path / "package" / "__pycache__" / "a.pyc").write_bytes(b"")
    (tmp_path / "package" / "a.py").write_text("")
    (tmp_path / "other.py").write_text("")
    assert list(context_files(dockerfile, tmp_path)) == [tmp_path / "package" / "a.py"]


def test_a_missing_source_is_named(tmp_path: Path) -> None:
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text("FROM x\nCOPY nowhere /\n")
    with pytest.raises(ImageError, match="nowhere"):
        list(context_files(dockerfile, tmp_path))


def layout_with_image(tmp_path: Path) -> tuple[Layout, Image]:
    program = tmp_path / "program"
    program.write_bytes(b"#!/bin/true\n")
    layout = Layout(tmp_path / "layout")
    layer = layout.add_layer({"/usr/local/bin/program": program})
    return layout, layout.add_image("localhost/program:1", [layer], ["/usr/local/bin/program"])


def test_an_image_survives_its_record(tmp_path: Path) -> None:
    layout, image = layout_with_image(tmp_path)
    assert Image.from_json(image.to_json()) == image
    assert layout.read_image(image.name, image.manifest) == image
    assert layout.complete(image)


def test_the_same_program_gives_the_same_image(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert layout_with_image(tmp_path / "a")[1] == layout_with_image(tmp_path / "b")[1]


def test_an_archive_leaves_out_what_the_reader_has(tmp_path: Path) -> None:
    layout, image = layout_with_image(tmp_path)
    buffer = io.BytesIO()
    layout.write_archive(buffer.write, [image], {image.blobs[2]})
    buffer.seek(0)
    with tarfile.open(fileobj=buffer) as tar:
        names = set(tar.getnames())
        index_file = tar.extractfile("index.json")
        assert index_file is not None
        index = json.load(index_file)
    assert names == {"oci-layout", "index.json"} | {f"blobs/sha256/{d}" for d in image.blobs[:2]}
    annotations = index["manifests"][0]["annotations"]
    assert annotations["io.containerd.image.name"] == "localhost/program:1"


def test_unused_blobs_go(tmp_path: Path) -> None:
    layout, image = layout_with_image(tmp_path)
    stray = tmp_path / "stray"
    stray.write_bytes(b"stray")
    digest = layout.add_file(stray)
    layout.keep(image.blobs)
    assert layout.complete(image)
    assert not layout.blob(digest).exists()
