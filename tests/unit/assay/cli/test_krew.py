"""The krew plugin: a manifest that krew takes, and an archive that is what the manifest says."""

import hashlib
import io
import re
import subprocess
import tarfile

import pytest
import yaml

from tools import krew


@pytest.fixture(scope="module")
def content() -> bytes:
    return krew.archive()


def test_the_same_source_makes_the_same_archive(content: bytes) -> None:
    assert hashlib.sha256(krew.archive()).digest() == hashlib.sha256(content).digest()


def test_the_manifest_is_one_that_krew_validates(content: bytes) -> None:
    """The rules of krew's internal/index/validation, and how krew-index names versions."""
    document = yaml.safe_load(
        yaml.safe_dump(krew.manifest("https://example.com/a.tar.gz", content))
    )
    spec = document["spec"]

    assert document["apiVersion"] == "krew.googlecontainertools.github.com/v1alpha2"
    assert document["kind"] == "Plugin"
    assert re.fullmatch(r"[\w-]+", document["metadata"]["name"])
    assert re.fullmatch(r"v\d+\.\d+\.\d+", spec["version"])
    assert 0 < len(spec["shortDescription"]) <= 50
    assert "\n" not in spec["shortDescription"]
    assert spec["platforms"]
    for platform in spec["platforms"]:
        assert platform.keys() == {"selector", "uri", "sha256", "files", "bin"}
        assert platform["selector"]["matchLabels"].keys() == {"os", "arch"}
        assert platform["sha256"] == hashlib.sha256(content).hexdigest()
        assert platform["files"] == [{"from": "*", "to": "."}]


def test_the_archive_has_what_the_launcher_needs(content: bytes) -> None:
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        members = {each.name: each for each in tar}
        launcher = tar.extractfile("kubectl-assay")
        assert launcher is not None
        script = launcher.read()

    assert members.keys() == {
        *("kubectl-assay", "requirements.txt", "LICENSE"),
        f"assay-{krew.version()}-py3-none-any.whl",
    }
    assert members["kubectl-assay"].mode & 0o111
    assert krew.version().encode() in script
    subprocess.run(["sh", "-n"], input=script, check=True)


def test_a_python_that_is_too_old_is_said(content: bytes, tmp_path: object) -> None:
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        tar.extractall(str(tmp_path), filter="data")
    environment = {
        "PATH": "/usr/bin:/bin",
        "XDG_CACHE_HOME": str(tmp_path),
        "ASSAY_PYTHON": "false",
    }
    found = subprocess.run(
        [f"{tmp_path}/kubectl-assay"], env=environment, capture_output=True, text=True, check=False
    )

    assert found.returncode == 2
    assert "needs Python 3.11 or newer" in found.stderr
