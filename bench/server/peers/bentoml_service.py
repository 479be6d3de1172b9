"""BentoML with an asynchronous service, the fastest of its forms for one row; MODEL_FILE names the model."""

import os

import bentoml
import joblib
import numpy as np
from pydantic import BaseModel


class Tensor(BaseModel):
    name: str
    shape: list[int]
    datatype: str
    data: list[float]


class Wanted(BaseModel):
    name: str


@bentoml.service(logging={"access": {"enabled": False}})
class Classifier:
    def __init__(self) -> None:
        self._model = joblib.load(os.environ["MODEL_FILE"])

    @bentoml.api(route="/v2/models/bench/infer")
    async def infer(self, inputs: list[Tensor], outputs: list[Wanted] | None = None) -> dict:  # noqa: ARG002
        rows = np.array(inputs[0].data).reshape(inputs[0].shape)
        probabilities = self._model.predict_proba(rows)
        predicted = self._model.classes_[probabilities.argmax(axis=1)]
        return {
            "model_name": "bench",
            "outputs": [
                {
                    "name": "predict",
                    "shape": list(predicted.shape),
                    "datatype": "INT64",
                    "data": predicted.tolist(),
                },
                {
                    "name": "predict_proba",
                    "shape": list(probabilities.shape),
                    "datatype": "FP64",
                    "data": probabilities.ravel().tolist(),
                },
            ],
        }
