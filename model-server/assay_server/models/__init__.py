"""Models: from a loaded artifact to scores. No bytes, no transport.

`Scorer` is a classifier with its decision rule. Behind it is one of three engines: linear
pipelines compiled to numpy (`compiled`), scikit-learn itself (`estimator`), onnxruntime
(`onnx_model`). `Batcher` brings requests that arrive together to the model together.
"""

from assay_server.models.classes import class_name
from assay_server.models.errors import ModelFailedError, OverloadedError, UnsupportedModelError
from assay_server.models.estimator import configure_sklearn, prepare
from assay_server.models.scorer import Scorer
from assay_server.models.scores import EngineName, ScoreKind, Scores

__all__ = [
    "EngineName",
    "ModelFailedError",
    "OverloadedError",
    "ScoreKind",
    "Scorer",
    "Scores",
    "UnsupportedModelError",
    "class_name",
    "configure_sklearn",
    "prepare",
]
