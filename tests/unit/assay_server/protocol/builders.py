"""Signatures, request bodies and scores for the tests of the protocol."""

import json
import struct
from types import SimpleNamespace

import numpy as np

from assay_server.protocol import Parser, Signature

CODES = {
    "BOOL": "?",
    "UINT8": "u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}


def signature(features=2, **more) -> Signature:
    settings = {"model": "m", "version": "1", "classes": ("no", "yes"), "features": features}
    return Signature(**{**settings, **more})


def tensor(data, shape, datatype="FP64", name="x", **more) -> dict:
    return {"name": name, "shape": shape, "datatype": datatype, "data": data, **more}


def body(*tensors, **more) -> bytes:
    return json.dumps({"inputs": tensors, **more}).encode()


def raw_text(*texts) -> bytes:
    """Spell the binary extension's BYTES out, apart from the code that is tested."""
    parts = [text if isinstance(text, bytes) else text.encode() for text in texts]
    return b"".join(struct.pack("<I", len(part)) + part for part in parts)


def raw_tensor(raw, shape, datatype="FP64", name="x") -> tuple[dict, bytes]:
    parameters = {"binary_data_size": len(raw)}
    return {"name": name, "shape": shape, "datatype": datatype, "parameters": parameters}, raw


def binary(*tensors, **more) -> tuple[bytes, int]:
    """Return a body with raw tensors, and the length of its JSON."""
    head = json.dumps({"inputs": [tensor for tensor, _ in tensors], **more}).encode()
    return head + b"".join(raw for _, raw in tensors), len(head)


def parse(model: Signature, *tensors, **more):
    return Parser(model).parse(body(*tensors, **more))


def scores(predicted, probabilities=None, decisions=None) -> SimpleNamespace:
    as_floats = {
        "probabilities": probabilities,
        "decisions": decisions,
        "contributions": None,
    }
    return SimpleNamespace(
        predicted=np.array(predicted, dtype=np.intp),
        **{
            name: None if values is None else np.array(values, dtype=np.float64)
            for name, values in as_floats.items()
        },
    )
