"""Flux's kustomize-controller, built from its Go module, as a process beside the fleet."""

import os
import subprocess
from pathlib import Path
from typing import Any, Self

import yaml

from fleet import Cluster, programs
from fleet.programs import Program
from fleet.progress import Screen

MODULE = "github.com/fluxcd/kustomize-controller"
PROGRAM = Program(
    "kustomize-controller", MODULE, seconds=240, sources=Path(__file__).parent / "programs"
)
SOURCES = "source.toolkit.fluxcd.io"


class Controller:
    """The controller on the hub; a context manager."""

    def __init__(self, hub: Cluster, log: Path) -> None:
        self._hub = hub
        self._log = log
        self._kinds = yaml.safe_dump_all([_kustomizations(), *map(_source, _SOURCE_KINDS)])
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with Screen() as screen:
            programs.build((PROGRAM,), screen)
        self._hub.kubectl("apply", "--server-side", "-f", "-", input=self._kinds)
        self._hub.kubectl("wait", "--for=condition=Established", "-f", "-", input=self._kinds)
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                [str(PROGRAM.path), "--metrics-addr=0", "--health-addr=0", "--events-addr="],
                env={**os.environ, "KUBECONFIG": str(self._hub.kubeconfig)},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait()
        self._hub.kubectl("delete", "-f", "-", "--ignore-not-found", input=self._kinds)


def _kustomizations() -> dict[str, Any]:
    directory = programs.module_directory(PROGRAM, MODULE) / "config/crd/bases"
    [path] = directory.glob("*_kustomizations.yaml")
    definition: dict[str, Any] = yaml.safe_load(path.read_text())
    return definition


_SOURCE_KINDS = {
    "GitRepository": "gitrepositories",
    "OCIRepository": "ocirepositories",
    "Bucket": "buckets",
}


def _source(kind: str) -> dict[str, Any]:
    """Return a definition of one of the kinds that the controller watches, of any content.

    source-controller, whose they are, is not here: `source.Source` does its work.
    """
    plural = _SOURCE_KINDS[kind]
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{SOURCES}"},
        "spec": {
            "group": SOURCES,
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "scope": "Namespaced",
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": anything},
                }
            ],
        },
    }
