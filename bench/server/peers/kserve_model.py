"""KServe's Python server with a model of the same shape as its sklearnserver, which is not on PyPI.

Arguments are KServe's own; the model file is named by MODEL_FILE.
"""

import os

import joblib
import numpy as np
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer
from kserve.utils.utils import generate_uuid


def tensor(name: str, values: np.ndarray, datatype: str) -> InferOutput:
    output = InferOutput(name=name, shape=list(values.shape), datatype=datatype)
    output.set_data_from_numpy(values, binary_data=False)
    return output


class Classifier(Model):
    def load(self) -> bool:
        self._model = joblib.load(os.environ["MODEL_FILE"])
        self.ready = True
        return True

    def predict(self, payload: InferRequest, headers=None, response_headers=None) -> InferResponse:  # noqa: ARG002
        probabilities = self._model.predict_proba(payload.inputs[0].as_numpy())
        predicted = self._model.classes_[probabilities.argmax(axis=1)]
        return InferResponse(
            response_id=payload.id or generate_uuid(),
            model_name=self.name,
            infer_outputs=[
                tensor("predict", predicted, "INT64"),
                tensor("predict_proba", probabilities, "FP64"),
            ],
        )


if __name__ == "__main__":
    model = Classifier("bench")
    model.load()
    ModelServer().start([model])
