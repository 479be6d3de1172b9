"""What is offered to whoever presses tab, in a shell of their own and in kubectl's."""

import importlib.metadata
import pathlib
import shutil
import subprocess
import sys

import pytest
from click.testing import CliRunner

from assay.cli import main
from assay.cli.completion import kubectl_complete

from ..rollout.world import on_trial  # noqa: TID252
from .world_hub import WorldHub


@pytest.fixture
def hub() -> WorldHub:
    return WorldHub(on_trial())


class Kubectl:
    """Asks as kubectl does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._patch, self._out = monkeypatch, capsys

    def asks(self, *words: str) -> list[str]:
        self._patch.setattr(sys, "argv", ["kubectl_complete-assay", *words])
        kubectl_complete()
        return self._out.readouterr().out.splitlines()


@pytest.fixture
def kubectl(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Kubectl:
    return Kubectl(monkeypatch, capsys)


def test_kubectl_is_offered_commands_and_no_files() -> None:
    program = pathlib.Path(sys.executable).with_name("kubectl_complete-assay")
    done = subprocess.run([program, "sta"], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines() == ["status", ":4"]


def test_offering_commands_imports_none_of_them() -> None:
    code = (
        "import sys; sys.argv = ['kubectl_complete-assay', '']; "
        "from assay.cli.completion import kubectl_complete; kubectl_complete(); "
        "assert 'numpy' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert {"explain", "promote", "wait", "train"} <= set(done.stdout.splitlines())


def test_names_of_model_deployments_are_offered(kubectl: Kubectl, kubeconfig: pathlib.Path) -> None:
    words = ("explain", "--kubeconfig", str(kubeconfig))

    assert kubectl.asks(*words, "") == ["fraud", "churn", ":4"]
    assert kubectl.asks(*words, "fr") == ["fraud", ":4"]


def test_options_are_offered_with_what_they_do(kubectl: Kubectl) -> None:
    assert kubectl.asks("wait", "fraud", "--fo")[0].startswith("--for\tpromoted: the version")


def test_without_a_hub_nothing_is_offered_and_nothing_said(
    hub: WorldHub, kubectl: Kubectl, kubeconfig: pathlib.Path
) -> None:
    hub.trouble = 500

    assert kubectl.asks("status", "--kubeconfig", str(kubeconfig), "") == [":4"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize("program", ["assay", "kubectl-assay"])
def test_a_script_for_each_shell(shell: str, program: str) -> None:
    found = CliRunner().invoke(main, ["completion", shell, "--program", program])

    assert found.exit_code == 0, found.output
    assert f"_{program.replace('-', '_').upper()}_COMPLETE={shell}_complete" in found.stdout


def test_bash_takes_the_script_and_completes_by_it(tmp_path: pathlib.Path) -> None:
    script = CliRunner().invoke(main, ["completion", "bash"]).stdout
    bash = shutil.which("bash")
    assert bash is not None
    folder = pathlib.Path(sys.executable).parent
    lines = (
        f'PATH="{folder}:$PATH"',
        script,
        "COMP_WORDS=(assay hist); COMP_CWORD=1; _assay_completion assay",
        'echo "${COMPREPLY[@]}"',
    )
    done = subprocess.run(
        [bash, "-c", "\n".join(lines)], capture_output=True, text=True, check=True
    )

    assert done.stdout.split() == ["history"]


def test_kubectl_finds_the_plugin_by_its_names() -> None:
    names = {
        each.name: each.value for each in importlib.metadata.entry_points(group="console_scripts")
    }

    assert names["kubectl-assay"] == names["assay"] == "assay.cli:main"
    assert names["kubectl_complete-assay"] == "assay.cli.completion:kubectl_complete"
