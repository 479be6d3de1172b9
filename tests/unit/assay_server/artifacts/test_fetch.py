"""Artifacts come whole or not at all, with the right digest, however the way breaks."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from assay_server.artifacts import Patience, download, fetch

from .conftest import AT_ONCE
from .files import CONTENT

WRONG = "sha256:" + "0" * 64


def only(folder) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.mark.parametrize("path", ["/model", "/moved", "/model?token=x", "/some%20model"])
def test_over_http(site, tmp_path, content_digest, path):
    target = tmp_path / "new" / "model"
    fetch(site.address + path, content_digest, target)
    assert target.read_bytes() == CONTENT
    assert only(target.parent) == ["model"]
    assert target.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("form", ["{}/models/a/m", "file://{}/models/a/m", "pvc://models/a/m"])
def test_a_local_file(tmp_path, content_digest, form):
    place = tmp_path / "models" / "a"
    place.mkdir(parents=True)
    (place / "m").write_bytes(CONTENT)
    target = tmp_path / "target"
    fetch(form.format(tmp_path), content_digest, target, claims=tmp_path)
    assert target.read_bytes() == CONTENT


def test_a_target_with_the_right_digest_is_kept(tmp_path, content_digest):
    target = tmp_path / "model"
    target.write_bytes(CONTENT)
    fetch("http://127.0.0.1:1/gone", content_digest, target)


def test_a_target_with_another_digest_is_replaced(site, tmp_path, content_digest):
    target = tmp_path / "model"
    target.write_bytes(b"old")
    fetch(f"{site.address}/model", content_digest, target)
    assert target.read_bytes() == CONTENT


def test_a_wrong_digest_leaves_nothing(site, tmp_path, content_digest, failure):
    target = tmp_path / "t" / "model"
    line = failure(fetch, f"{site.address}/model", WRONG, target)
    assert line == (
        f"DigestMismatch: {site.address}/model has digest {content_digest},"
        f" spec.model.digest is {WRONG}"
    )
    assert only(target.parent) == []
    assert site.asked["/model"] == 1


def test_what_will_not_pass_is_said_at_once(site, tmp_path, failure):
    target = tmp_path / "t" / "model"
    line = failure(fetch, f"{site.address}/missing", WRONG, target)
    assert line == f"FetchFailed: {site.address}/missing does not exist"
    line = failure(fetch, f"{site.address}/private/model", WRONG, target)
    assert line.startswith(f"FetchFailed: cannot read {site.address}/private/model: ")
    assert "401" in line
    assert only(target.parent) == []
    assert site.asked == {"/missing": 1, "/private/model": 1}


def test_what_may_pass_is_tried_again(site, tmp_path, content_digest, events):
    target = tmp_path / "model"
    fetch(f"{site.address}/flaky/3?token=x", content_digest, target, patience=AT_ONCE)
    assert target.read_bytes() == CONTENT
    retries = [fields for name, fields in events() if name == "fetch_retry"]
    assert [fields["attempt"] for fields in retries] == [1, 2, 3]
    assert [fields["source"] for fields in retries] == [f"{site.address}/flaky/3"] * 3
    assert "503" in retries[0]["cause"]
    assert "ClientPayloadError" in retries[1]["cause"]
    assert events()[-1][0] == "fetched"
    assert events()[-1][1]["bytes"] == len(CONTENT)


@pytest.mark.parametrize("path", ["/cut", "/flaky/99"])
def test_patience_ends(site, tmp_path, path, failure):
    target = tmp_path / "t" / "model"
    line = failure(fetch, site.address + path, WRONG, target, patience=AT_ONCE)
    assert line.startswith(f"FetchFailed: cannot read {site.address}{path}: Client")
    assert site.asked[path] == AT_ONCE.attempts
    assert only(target.parent) == []


def test_nobody_listens(tmp_path, failure):
    line = failure(fetch, "http://127.0.0.1:1/m", WRONG, tmp_path / "m", patience=AT_ONCE)
    assert line.startswith("FetchFailed: cannot read http://127.0.0.1:1/m: ClientConnectorError")


def test_pauses_grow_and_are_not_all_alike():
    patience = Patience(first_pause=1.0)
    assert all(0.5 <= patience.pause(1) <= 1.0 for _ in range(20))
    assert all(4.0 <= patience.pause(4) <= 8.0 for _ in range(20))
    assert len({patience.pause(1) for _ in range(20)}) > 1


def test_size_limit(site, tmp_path, content_digest, failure):
    target = tmp_path / "t" / "model"
    line = failure(fetch, f"{site.address}/model", content_digest, target, 299_999)
    assert line == f"SizeLimit: {site.address}/model is larger than 299999 bytes"
    assert only(target.parent) == []
    fetch(f"{site.address}/model", content_digest, target, 300_000)


def test_the_size_that_a_server_tells_is_not_believed(tmp_path, failure):
    """A device tells 0 bytes and gives as many as one likes."""
    line = failure(fetch, "/dev/zero", WRONG, tmp_path / "m", 3_000_000)
    assert line == "SizeLimit: /dev/zero is larger than 3000000 bytes"


def test_long_downloads_tell_how_far_they_are(site, tmp_path, content_digest, events, monkeypatch):
    monkeypatch.setattr(download, "_PROGRESS_SECONDS", 0.0)
    fetch(f"{site.address}/model", content_digest, tmp_path / "m")
    progress = [fields for name, fields in events() if name == "fetch_progress"]
    assert progress[-1] == {
        "source": f"{site.address}/model",
        "bytes": len(CONTENT),
        "of": len(CONTENT),
    }


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("ftp://host/m", "InvalidURI: scheme 'ftp' is not supported"),
        ("/nowhere/none", "FetchFailed: /nowhere/none does not exist"),
        ("/usr", "FetchFailed: /usr is a folder, not a file"),
        ("pvc://m/../x", "InvalidURI: "),
    ],
)
def test_what_cannot_be_opened(tmp_path, failure, uri, why):
    assert failure(fetch, uri, WRONG, tmp_path / "m").startswith(why)


@pytest.mark.parametrize("bad", ["", "abc", "sha256:abc", "md5:" + "0" * 64, "sha256:" + "A" * 64])
def test_a_digest_must_be_a_digest(tmp_path, failure, bad):
    assert failure(fetch, "file:///m", bad, tmp_path / "m").startswith("InvalidDigest: ")


def test_a_target_that_cannot_be_written_is_not_blamed_on_the_source(site, failure):
    target = Path(__file__) / "m"
    line = failure(fetch, f"{site.address}/model", WRONG, target)
    assert line == f"FetchFailed: cannot write {target}: File exists"


def test_two_that_want_the_same_file_fetch_it_once(site, tmp_path, content_digest):
    target = tmp_path / "m"
    threads = [
        threading.Thread(target=fetch, args=(f"{site.address}/model", content_digest, target))
        for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert target.read_bytes() == CONTENT
    assert only(tmp_path) == ["m"]
    assert site.asked["/model"] == 1


def test_a_killed_download_leaves_nothing_for_ever(site, tmp_path, content_digest):
    """Killed in the middle (from a pipe that never ends), then made again."""
    pipe, target = tmp_path / "pipe", tmp_path / "t" / "m"
    os.mkfifo(pipe)
    code = (
        "from pathlib import Path; from assay_server.artifacts import fetch;"
        f"fetch({str(pipe)!r}, {WRONG!r}, Path({str(target)!r}))"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    with pipe.open("wb") as end:
        end.write(b"x" * 3_000_000)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert only(target.parent) == [".m.partial"]
    fetch(f"{site.address}/model", content_digest, target)
    assert only(target.parent) == ["m"]
