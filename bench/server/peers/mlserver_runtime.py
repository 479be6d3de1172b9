"""The tuned MLServer's runtime: one `predict_proba` for a batch of requests.

MLServer's own scikit-learn runtime calls `predict` and `predict_proba`, which costs twice as much.
"""

import joblib
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse
from mlserver.utils import get_model_uri


class OneCall(MLModel):
    async def load(self) -> bool:
        self._model = joblib.load(await get_model_uri(self._settings))
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        rows = NumpyCodec.decode_input(payload.inputs[0])
        probabilities = self._model.predict_proba(rows)
        predicted = self._model.classes_[probabilities.argmax(axis=1)]
        return InferenceResponse(
            model_name=self.name,
            model_version=self.version,
            outputs=[
                NumpyCodec.encode_output("predict", predicted),
                NumpyCodec.encode_output("predict_proba", probabilities),
            ],
        )
