"""An administrator of all clusters, at the command line."""

import pathlib
import subprocess
import sys

from fleet import Fleet


class Person:
    """Somebody with one kubeconfig that has a context for each cluster; the first is the hub's."""

    def __init__(self, folder: pathlib.Path, fleet: Fleet) -> None:
        self._kubeconfig = folder / "kubeconfig"
        self._kubeconfig.write_text(fleet.kubeconfig())
        east, west = (fleet.cluster(name).context for name in ("east", "west"))
        self.contexts = f"--contexts=east={east},west={west}"

    def run(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run ``kubectl assay``."""
        program = pathlib.Path(sys.executable).with_name("kubectl-assay")
        command = [str(program), *words, f"--kubeconfig={self._kubeconfig}"]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
