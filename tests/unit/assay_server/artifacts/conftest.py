"""What the tests of artifacts share."""

import hashlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from assay_server.artifacts import ArtifactError, Patience

from .files import CONTENT, Site, a_site

AT_ONCE = Patience(attempts=4, first_pause=0.0)


@pytest.fixture
def site() -> Iterator[Site]:
    with a_site() as site:
        yield site


@pytest.fixture(scope="session")
def content_digest() -> str:
    return f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


@pytest.fixture(scope="session")
def failure() -> Callable[..., str]:
    """Call and return the line of the ArtifactError that it raises."""

    def failure(call: Callable[..., object], *arguments: Any, **more: Any) -> str:
        with pytest.raises(ArtifactError) as caught:
            call(*arguments, **more)
        line = str(caught.value)
        assert line.startswith(f"{caught.value.reason}: ")
        assert "\n" not in line
        return line

    return failure


@pytest.fixture
def events(caplog: pytest.LogCaptureFixture) -> Callable[[], list[tuple[str, dict[str, Any]]]]:
    """Return what was logged so far, as (event, fields)."""
    caplog.set_level(logging.INFO, logger="assay")

    def events() -> list[tuple[str, dict[str, Any]]]:
        return [
            (record.getMessage(), vars(record).get("fields", {}))
            for record in caplog.records
            if record.name == "assay"
        ]

    return events


@pytest.fixture
def secret(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a folder with the keys of a Secret as the kubelet mounts it."""

    def secret(**keys: str | bytes) -> Path:
        folder = tmp_path_factory.mktemp("secret")
        real = folder / "..2026_11_26"
        real.mkdir()
        (folder / "..data").symlink_to(real.name)
        for name, value in keys.items():
            (real / name).write_bytes(value if isinstance(value, bytes) else value.encode())
            (folder / name).symlink_to(f"..data/{name}")
        return folder

    return secret
