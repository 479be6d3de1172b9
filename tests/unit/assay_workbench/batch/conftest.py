"""Tables without labels, with labels, and a way to call `assay score`."""

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
from click.testing import CliRunner

from assay.cli import main


@pytest.fixture
def score():
    """Call `assay score`; exit code 0 or the message."""

    def score(*words: object, code: int = 0, env: dict | None = None) -> str:
        result = CliRunner().invoke(main, ["score", *map(str, words)], env=env)
        assert result.exit_code == code, (result.output, result.exception)
        return result.output

    return score


@pytest.fixture
def table(binary) -> pd.DataFrame:
    """The labelled rows of the binary case, with a number of the order that they are."""
    return pd.read_csv(binary.data).assign(order=lambda rows: 7000 + np.arange(len(rows)))


@pytest.fixture
def output():
    """Read all parts of an output, in their order."""

    def output(folder) -> pd.DataFrame:
        paths = sorted(folder.glob("part-*.parquet"))
        return pd.concat([pd.read_parquet(path) for path in paths], ignore_index=True)

    return output


@pytest.fixture
def sizes():
    """Rows of each part."""

    def sizes(folder) -> list[int]:
        paths = sorted(folder.glob("part-*.parquet"))
        return [pyarrow.parquet.read_metadata(path).num_rows for path in paths]

    return sizes
