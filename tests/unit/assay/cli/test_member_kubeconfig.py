"""The kubeconfig for a hub, from the token that the chart made in a member."""

import base64
import pathlib
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from assay.cli import main
from assay.members import kubeconfig as parser

SECRET = "/api/v1/namespaces/assay-system/secrets/assay-hub-token"
SERVER = "https://east.example.com:6443"


class Hub:
    """A member in which the chart is installed, or not."""

    def __init__(self) -> None:
        self.installed = True
        self.content_types: list[str | None] = []

    def answer(self, method: str, path: str, body: Any) -> tuple[int, dict[str, Any]]:
        if (method, path) != ("GET", SECRET) or not self.installed:
            return 404, {"message": "not found"}
        data = {"token": b"t0ken", "ca.crt": b"-----BEGIN CERTIFICATE-----"}
        return 200, {"data": {key: base64.b64encode(value).decode() for key, value in data.items()}}


@pytest.fixture
def hub() -> Hub:
    return Hub()


def call(kubeconfig: pathlib.Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["member-kubeconfig", f"--kubeconfig={kubeconfig}", *words])


def test_it_is_one_that_the_operator_takes(kubeconfig: pathlib.Path) -> None:
    result = call(kubeconfig, f"--server={SERVER}")
    assert result.exit_code == 0, result.output
    found = parser.parse(result.output)
    assert (found.server, found.current_token()) == (SERVER, "t0ken")


def test_the_secret_is_ready_for_the_hub(kubeconfig: pathlib.Path) -> None:
    plain = call(kubeconfig, f"--server={SERVER}", "--context=hub").output
    result = call(kubeconfig, f"--server={SERVER}", "--secret=member-east")
    assert result.exit_code == 0, result.output
    secret = yaml.safe_load(result.output)
    assert secret["metadata"] == {"name": "member-east", "namespace": "assay-system"}
    assert secret["stringData"] == {"kubeconfig": plain}


def test_a_member_without_the_chart_is_told(kubeconfig: pathlib.Path, hub: Hub) -> None:
    hub.installed = False
    result = call(kubeconfig)
    assert result.exit_code == 1
    assert "install the chart there with role=member" in result.output
