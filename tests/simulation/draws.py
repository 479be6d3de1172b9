"""Random counts: seeds by name, multinomial rows per look, cumulated."""

import hashlib
from collections.abc import Iterator

import numpy as np

from tests.simulation.values import Floats

ROOT_SEED = 20_261_123


def seed(name: str) -> np.random.SeedSequence:
    """Return the seed of everything that is drawn under `name`, whatever ran before."""
    digest = hashlib.sha256(name.encode()).digest()
    words = np.frombuffer(digest, dtype="<u4")
    return np.random.SeedSequence(ROOT_SEED, spawn_key=tuple(int(word) for word in words))


def batches(name: str, runs: int, size: int) -> Iterator[tuple[int, np.random.Generator]]:
    """Yield batches of at most `size` runs, each with a generator of its own."""
    count = -(-runs // size)
    for index, child in enumerate(seed(name).spawn(count)):
        yield min(size, runs - index * size), np.random.default_rng(child)


def batch_size(looks: int, cells: int, limit: int = 4_000_000) -> int:
    """Runs whose counts of one arm fit in `limit` numbers: between 20 and 500."""
    return int(np.clip(limit // (looks * cells), 20, 500))


def rows(
    rng: np.random.Generator, runs: int, per_look: Floats | int, share: Floats | float, looks: int
) -> tuple[Floats, Floats]:
    """Rows per look of stable and canary, (runs, looks): each request draws its arm."""
    totals = np.broadcast_to(np.asarray(per_look, np.int64), (looks,))
    canary = rng.binomial(totals, np.broadcast_to(share, (looks,)), (runs, looks))
    return totals - canary, canary


def cells(rng: np.random.Generator, counts: Floats, shares: Floats) -> Floats:
    """Rows by cell, (..., C), for numbers of rows (...) and chances (C,) or (looks, C).

    Few rows among many cells are drawn one by one, which is faster and equally distributed.
    """
    size = shares.shape[-1]
    chances = shares / shares.sum(axis=-1, keepdims=True)
    if shares.ndim > 1 or counts.mean() > 0.7 * size:
        return rng.multinomial(counts, chances)
    flat = counts.ravel()
    bounds = np.cumsum(chances)
    bounds[-1] = 1.0
    kinds = np.searchsorted(bounds, rng.random(int(flat.sum())), side="right")
    kinds += np.repeat(np.arange(flat.size) * size, flat)
    return np.bincount(kinds, minlength=flat.size * size).reshape(*counts.shape, size)
