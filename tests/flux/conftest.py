"""The stage of the end-to-end tests, and Flux beside it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from demo.stage import Stage
from tests.e2e.conftest import stage, trial
from tests.flux.controller import Controller

if TYPE_CHECKING:
    import pathlib

__all__ = ["stage", "trial"]


@pytest.fixture(scope="session")
def controller(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controller]:
    """kustomize-controller on the hub."""
    log: pathlib.Path = tmp_path_factory.mktemp("flux") / "kustomize-controller.log"
    with Controller(stage.hub, log) as controller:
        yield controller
