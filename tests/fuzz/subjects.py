"""The deployment that is fuzzed: the same models, keys and receipts in every run."""

import base64
import functools
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import skops.io
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

NOW = 1_800_000_000
SECRET = bytes(range(32))
SALT = bytes(range(32, 64))
NAMESPACE, DEPLOYMENT, MEMBER, VERSION = "ml", "fraud", "east", "7"
TOKEN = "let-me-read"


def rows(features: int, count: int = 60) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the same random rows every time."""
    return np.random.default_rng(features).normal(size=(count, features))


@functools.cache
def binary() -> Any:
    """Return the model that servers serve: three numbers, classes 0 and 1."""
    data = rows(3)
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(data, data[:, 0] > 0.2)


@functools.cache
def animals() -> Any:
    """Return a model of three classes with names."""
    data = rows(2)
    names = np.array(["ant", "bee", "cat"])[np.digitize(data[:, 0], [-0.5, 0.5])]
    return LogisticRegression().fit(data, names)


@functools.cache
def people() -> Any:
    """Return a model of named columns, one of them text."""
    table = pd.DataFrame({"age": rows(1)[:, 0], "colour": ["red", "grün", "blue"] * 20})
    columns = make_column_transformer(
        (StandardScaler(), ["age"]), (OneHotEncoder(handle_unknown="ignore"), ["colour"])
    )
    labels = (table["age"] > 0).astype(int)
    return make_pipeline(columns, LogisticRegression()).fit(table, labels)


def issued(
    count: int, rollout: str = "x", now: int = NOW, *, seed: int = 0, **origin: Any
) -> list[str]:
    """Return receipts of the deployment, the same ones every time."""
    from assay_server.keys import KeyRing
    from assay_server.receipts import Issuer, Stratum

    names = {"member": MEMBER, "revision": "r1", "classes": ("False", "True"), **origin}
    issuer = Issuer(
        KeyRing({"k1": SECRET}, "k1", salt=SALT),
        namespace=NAMESPACE,
        deployment=DEPLOYMENT,
        **names,
    )
    nonces = np.random.default_rng(seed).bytes
    with mock.patch.object(os, "urandom", nonces):
        return issuer.issue(Stratum(rollout, 2), [1] * count, [700] * count, now)


@dataclass(frozen=True)
class Files:
    """What real processes are started from."""

    artifact: Path
    digest: str
    keys: Path
    tokens: Path

    @classmethod
    def written(cls, folder: Path) -> "Files":
        """Write them into a folder."""
        files = cls(folder / "model.skops", "", folder / "keys.json", folder / "tokens")
        skops.io.dump(binary(), files.artifact)
        encoded = {
            name: base64.b64encode(key).decode() for name, key in (("k", SECRET), ("s", SALT))
        }
        content = {"active": "k1", "keys": {"k1": encoded["k"]}, "salt": encoded["s"]}
        files.keys.write_text(json.dumps(content))
        files.tokens.write_text(TOKEN)
        digest = "sha256:" + hashlib.sha256(files.artifact.read_bytes()).hexdigest()
        return cls(files.artifact, digest, files.keys, files.tokens)
