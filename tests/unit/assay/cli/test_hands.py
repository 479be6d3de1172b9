"""The commands of people against a hub in this process, whose operator is the real state machine."""

import json
import pathlib
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from assay.api.request import ANNOTATION
from assay.cli import main

from ..rollout.world import EIGHT, PROMOTE, SEVEN, World, judged, on_trial  # noqa: TID252

PATH = "/apis/assay.dev/v1alpha1/namespaces/ml/modeldeployments/fraud"
REVIEW = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


class Hub:
    """A hub with one ModelDeployment; its operator looks as soon as somebody asks for something."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.works = True
        self.denied = ""
        self.asked: list[dict[str, Any]] = []
        self.content_types: list[str | None] = []

    def answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        path, _, query = path.partition("?")
        if (method, path) == ("POST", REVIEW):
            return 201, {"status": {"userInfo": {"username": "alice@example.com"}}}
        if path != PATH:
            return 404, {"message": "not found"}
        if method == "PATCH":
            assert query == "fieldManager=kubectl-assay"
            if self.denied:
                return 403, {"message": self.denied}
            text = body["metadata"]["annotations"][ANNOTATION]
            self.asked.append(json.loads(text))
            if self.works:
                self.world.request = text
                self.world.run()
        return 200, {
            "metadata": {"name": "fraud", "namespace": "ml", "generation": self.world.generation},
            "spec": self.world.spec.to_dict(),
            "status": self.world.document,
        }


@pytest.fixture
def hub() -> Hub:
    return Hub(on_trial())


def call(kubeconfig: pathlib.Path, *words: str) -> Result:
    return CliRunner().invoke(main, [*words, "--kubeconfig", str(kubeconfig)])


def test_a_request_names_rollout_step_and_person(hub: Hub, kubeconfig: pathlib.Path) -> None:
    before = hub.world.rollout
    found = call(kubeconfig, "promote", "fraud", "--reason", "holidays")

    assert found.exit_code == 0, found.output
    assert found.stdout.startswith("version 8 (8888888888) gets 20 % of the traffic from")
    [asked] = hub.asked
    del asked["id"]
    assert asked == {
        "verb": "promote",
        "rolloutId": before.id,
        "by": "alice@example.com",
        "reason": "holidays",
        "step": 0,
    }
    assert "application/merge-patch+json" in hub.content_types
    assert hub.world.rollout.step == 1


@pytest.mark.parametrize("words", [("pause",), ("abort",), ("promote", "--full")])
def test_what_is_done_is_said(hub: Hub, kubeconfig: pathlib.Path, words: tuple[str, ...]) -> None:
    found = call(kubeconfig, words[0], "fraud", "-n", "ml", *words[1:])

    assert found.exit_code == 0, found.output
    assert hub.world.answer.result == "Done"
    assert found.stdout.strip() == hub.world.answer.message


def test_a_refusal_ends_with_one_and_says_why(kubeconfig: pathlib.Path) -> None:
    found = call(kubeconfig, "approve", "fraud")

    assert found.exit_code == 1
    assert found.stderr.strip() == (
        "Error: refused: nothing waits for approval: the rollout is in stage Trial, step 1"
    )


def test_without_an_operator_the_request_stands(hub: Hub, kubeconfig: pathlib.Path) -> None:
    hub.works = False
    found = call(kubeconfig, "pause", "fraud", "--timeout", "0")

    assert found.exit_code == 3
    assert found.stderr.startswith("assay pause: no answer within 0 s. The request stands until")


def test_what_the_policy_says_is_shown(hub: Hub, kubeconfig: pathlib.Path) -> None:
    hub.denied = '"alice@example.com" may not abort'
    found = call(kubeconfig, "abort", "fraud")

    assert (found.exit_code, found.stderr) == (1, 'Error: "alice@example.com" may not abort\n')


def test_undo_goes_to_the_version_before_and_prints_what_git_has_to_say(
    hub: Hub, kubeconfig: pathlib.Path
) -> None:
    hub.world.with_judgement(judged()).run().later(60).run().later(60)
    hub.world.with_judgement(PROMOTE).run()
    assert hub.world.stable == EIGHT

    found = call(kubeconfig, "undo", "fraud")

    assert found.exit_code == 0, found.output
    assert hub.world.stable == SEVEN
    change = yaml.safe_load(found.stdout.partition("\n\n")[2].partition("\n\n")[2])
    assert change == {
        "spec": {
            "model": {
                "version": "7",
                "digest": "sha256:" + "7" * 64,
                "uri": "(where version 7 is)",
            }
        }
    }
    again = call(kubeconfig, "undo", "fraud", "--to-revision", "9")
    assert again.stderr.strip() == (
        "Error: history has no revision 9 that was stable; it has 8888888888 (version 8)"
    )


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("pause", "stock"), 1, "Error: there is no ModelDeployment ml/stock"),
        (("pause", "fraud", "-n", "web"), 1, "Error: there is no ModelDeployment web/fraud"),
        (("pause", "fraud", "--context", "moon"), 2, "assay pause: the kubeconfig cannot be used"),
        (("pause", "fraud", "--reason", "x" * 257), 2, "assay pause: --reason: String should have"),
    ],
)
def test_mistakes_are_named(
    kubeconfig: pathlib.Path, words: tuple[str, ...], code: int, says: str
) -> None:
    found = call(kubeconfig, *words)

    assert found.exit_code == code
    assert found.stderr.startswith(says)


def test_status_is_one_screen(kubeconfig: pathlib.Path) -> None:
    found = call(kubeconfig, "status", "fraud")

    assert found.exit_code == 0, found.output
    assert found.stdout.startswith("ml/fraud  Ready False, TrialRunning")
