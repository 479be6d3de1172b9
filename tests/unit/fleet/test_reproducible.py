"""What is said of two builds of one image."""

import datetime
import io
import tarfile
from pathlib import Path

import pytest

from fleet.archives import Image, Layout
from fleet.reproducible import MARKS, PAGE, Pair, differences, reported, written


def image(store: Layout, files: dict[str, bytes], *, time: int = 0) -> Image:
    """An image with one layer of these files, of that time."""
    path = store.directory / "layer"
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime = len(content), time
            tar.addfile(entry, io.BytesIO(content))
    return store.add_image("localhost/x:1", [store.add_file(path)], ["/x"])


@pytest.fixture
def store(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


def test_files_that_differ_are_named(store: Layout) -> None:
    first = image(store, {"a": b"1", "b": b"2"})
    second = image(store, {"a": b"1", "b": b"3", "c": b""})
    assert differences(store, first, second) == ("b (layer 0)", "c (layer 0)")


def test_times_count(store: Layout) -> None:
    first, second = (image(store, {"a": b"1"}, time=time) for time in (1, 2))
    assert differences(store, first, second) == ("a (layer 0)",)


def test_equal_files_leave_the_configuration(store: Layout) -> None:
    same = image(store, {"a": b"1"})
    assert differences(store, same, same) == ("(the image's configuration)",)


def test_the_page_has_a_place_for_the_report() -> None:
    base = Image("localhost/base:1", "b" * 64, ())
    pairs = [
        Pair("localhost/assay-operator:dev", ("1" * 64, "1" * 64), ()),
        Pair("localhost/assay-server:dev", ("1" * 64, "2" * 64), ("a", "b")),
    ]
    report = reported(pairs, base, datetime.date(2026, 11, 27))
    assert (
        "| assay-operator | `sha256:1111111111111111…` | `sha256:1111111111111111…` | the same |"
        in report
    )
    assert "2 files differ" in report
    page = written(PAGE.read_text(), report)
    assert written(page, report) == page
    assert page.count(MARKS[0]) == page.count(report) == 1
