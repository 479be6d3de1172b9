"""Reasons are words that users meet in status, so each is explained where they look."""

from pathlib import Path

import pytest

from assay_server.artifacts import ArtifactError, Reason

README = Path(__file__).parents[4] / "model-server" / "README.md"


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_is_documented(reason):
    assert f"`{reason}`" in README.read_text()


def test_an_error_is_one_line():
    error = ArtifactError(Reason.FETCH_FAILED, "first\n second\tthird")
    assert str(error) == "FetchFailed: first second third"
    assert not error.transient
