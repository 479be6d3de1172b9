"""joblib and pickle files: loading one runs whatever code is in it, as this process.

Refused, unless the ModelDeployment says `unsafe: Allow` and whoever runs the operator allows it as
well. A digest and a signature say who made the file; nothing says what it does.
"""

import warnings
from typing import IO, Any

from assay_server.artifacts.error import ArtifactError, Reason
from assay_server.artifacts.skops_file import check_versions
from assay_server.logs import event

_CODE_ON_LOAD = {
    b"\x80\x02": "a pickle",
    b"\x80\x03": "a pickle",
    b"\x80\x04": "a pickle",
    b"\x80\x05": "a pickle",
    b"\x78\x01": "a compressed joblib pickle",
    b"\x78\x5e": "a compressed joblib pickle",
    b"\x78\x9c": "a compressed joblib pickle",
    b"\x78\xda": "a compressed joblib pickle",
    b"ZF0x": "a compressed joblib pickle",
    b"\x1f\x8b": "a gzip file, as joblib writes around a pickle",
    b"BZh": "a bzip2 file, as joblib writes around a pickle",
    b"\xfd7zXZ": "an xz file, as joblib writes around a pickle",
    b"\x5d\x00\x00": "an lzma file, as joblib writes around a pickle",
    b"\x04\x22\x4d\x18": "an lz4 file, as joblib writes around a pickle",
    b"(": "a pickle of protocol 0 or 1",
    b"c": "a pickle of protocol 0 or 1",
}
"""How files begin that are pickles, or that joblib wraps around a pickle."""


def code_on_load(file: IO[bytes]) -> str | None:
    """Return what a file is whose loading runs code from it; None for every other one.

    The file is left at its start.
    """
    file.seek(0)
    start = file.read(8)
    file.seek(0)
    return next((what for magic, what in _CODE_ON_LOAD.items() if start.startswith(magic)), None)


def load_joblib(file: IO[bytes], *, unsafe: bool) -> Any:
    """Return the model in an open joblib or pickle file, having run the code in it.

    Raises ArtifactError (UnsafeFormat, UnsupportedFormat, VersionMismatch).
    """
    if not unsafe:
        raise ArtifactError(
            Reason.UNSAFE_FORMAT,
            "a joblib file runs code on load. It needs spec.model.unsafe: Allow, and an operator"
            " that permits it (its chart's value operator.allowUnsafeModels)",
        )
    import joblib  # noqa: PLC0415 - comes with scikit-learn, which only `serve` needs

    event("unsafe_model", level=40, advice="this model ran its own code on load; use skops or ONNX")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model = joblib.load(file)
    except Exception as error:  # the file may raise what it likes
        message = f"the joblib file cannot be loaded ({type(error).__name__})"
        raise ArtifactError(Reason.UNSUPPORTED_FORMAT, message) from error
    check_versions(caught)
    return model
