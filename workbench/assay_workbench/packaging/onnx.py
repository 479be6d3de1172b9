"""Stores a model as ONNX: what onnxruntime serves, without a type of Python to be trusted."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from typing_extensions import override

from assay_server.artifacts.model import load
from assay_server.models.estimator import prepare
from assay_server.reference import Reference
from assay_workbench import artifact
from assay_workbench.candidate import Candidate, Rule, digest_of
from assay_workbench.errors import WorkbenchError

REFERENCE = "assay.reference"
"""The metadata property; the same name as `assay_server.artifacts.onnx_file.REFERENCE`."""


class Named(Candidate):
    """An ONNX model, which knows no names, with those of the columns that it was made with."""

    def __init__(self, path: Path, rule: Rule, names: tuple[str, ...] | None) -> None:
        super().__init__(path, rule)
        self._names = names

    @property
    @override
    def feature_names(self) -> tuple[str, ...] | None:
        """Names of the columns, in the model's order, if they are known."""
        return self._names


def store_as_onnx(
    skops: Path, path: Path, stored: Candidate, reference: Reference, trusted: Sequence[str]
) -> Named:
    """Convert a skops file that was made here, and load what came out as the server does.

    Raises `WorkbenchError`.
    """
    if stored.text:
        raise WorkbenchError(
            "--onnx: the model takes columns of text, for which this knows no way to ONNX; leave --onnx out"
        )
    try:
        from skl2onnx import to_onnx  # noqa: PLC0415 - few need it
    except ImportError:
        raise WorkbenchError("--onnx: needs skl2onnx: pip install skl2onnx onnxruntime") from None
    model = load(skops, digest_of(skops), trusted).object
    # Columns by place and not by name, as ONNX has them.
    prepare(model)
    rule = Rule(
        None if stored.positive is None else stored.classes[stored.positive], stored.threshold
    )
    causes = []
    # Not every operator of onnxruntime takes doubles, which lose nothing of a value.
    for kind in (np.float64, np.float32):
        row = np.zeros((1, stored.features or 1), dtype=kind)
        try:
            made = to_onnx(model, row, options={"zipmap": False})
            made.metadata_props.add(key=REFERENCE, value=reference.text().decode())
            with artifact.replaced(path) as file:
                file.write(made.SerializeToString(deterministic=True))
            candidate = Named(path, rule, stored.feature_names)
        except Exception as error:  # noqa: BLE001 - skl2onnx raises what it likes
            causes.append(" ".join(str(error).replace(str(path), "").split())[:200])
            continue
        candidate.path = stored.path
        return candidate
    raise WorkbenchError(
        f"--onnx: this model cannot be converted: {'; '.join(dict.fromkeys(causes))}; leave --onnx out"
    )
