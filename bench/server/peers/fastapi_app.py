"""A FastAPI application as people write one by hand; MODEL_FILE names the model."""

import os

import joblib
import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel

model = joblib.load(os.environ["MODEL_FILE"])
app = FastAPI()


class Input(BaseModel):
    name: str
    shape: list[int]
    datatype: str
    data: list[float]


class Output(BaseModel):
    name: str
    shape: list[int]
    datatype: str
    data: list[int] | list[float]


class Wanted(BaseModel):
    name: str


class Query(BaseModel):
    inputs: list[Input]
    outputs: list[Wanted] | None = None


class Answer(BaseModel):
    model_name: str
    outputs: list[Output]


@app.post("/v2/models/bench/infer")
async def infer(query: Query) -> Answer:
    given = query.inputs[0]
    probabilities = model.predict_proba(np.array(given.data).reshape(given.shape))
    predicted = model.classes_[probabilities.argmax(axis=1)]
    return Answer(
        model_name="bench",
        outputs=[
            Output(
                name="predict",
                shape=list(predicted.shape),
                datatype="INT64",
                data=predicted.tolist(),
            ),
            Output(
                name="predict_proba",
                shape=list(probabilities.shape),
                datatype="FP64",
                data=probabilities.ravel().tolist(),
            ),
        ],
    )
