"""Opens what a data scientist has: a joblib or pickle file, an MLflow directory, a skops file.

Opening a pickle runs whatever code is in it. So that is done only when a person says so, and what can
be known of the file without running it is looked at first: the version of scikit-learn above all,
because a model of another version may open and answer otherwise.
"""

import mmap
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import sklearn
import yaml
from sklearn.base import is_regressor
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.utils.validation import check_is_fitted

from assay_server.artifacts.error import ArtifactError
from assay_server.artifacts.joblib_file import code_on_load
from assay_server.artifacts.model import load
from assay_workbench.candidate import digest_of
from assay_workbench.errors import WorkbenchError

MLMODEL = "MLmodel"
OPTION = "--run-code-in-file"

# How a pickle holds it: the name, an opcode or two, the version.
_VERSION = re.compile(rb"_sklearn_version.{1,8}?(\d+\.\d+(?:\.\d+)?[0-9a-z.]*)", re.DOTALL)
_ZIP = b"PK\x03\x04"


@dataclass(frozen=True)
class Trained:
    """A model as it was trained.

    Attributes
    ----------
    path
        The file that it was in.
    remarks
        What the person should know, in sentences.
    """

    model: Any
    path: Path
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Found:
    """A file with a model, and the version of scikit-learn that wrote it, as far as somebody says."""

    file: Path
    version: str | None
    hint: str = ""


def open_trained(path: Path, trusted: Sequence[str] = (), *, run_code: bool) -> Trained:
    """Open a model.

    Parameters
    ----------
    trusted
        Types that a skops file may hold besides.
    run_code
        Whether a pickle may run the code in it.

    Raises
    ------
    WorkbenchError
        If it may not be opened or is no fitted classifier.
    """
    found = _mlflow(path) if path.is_dir() or path.name == MLMODEL else _Found(path, None)
    kind = _kind(found.file)
    remarks: list[str] = []
    if kind is None:
        model = _skops(found.file, trusted)
    else:
        if not run_code:
            raise WorkbenchError(
                f"{found.file}: is {kind}. Opening it runs whatever code is in it, as you, and nothing "
                f"but trust in who made it helps. If you have that, add {OPTION}; do it where nothing "
                "is that you would miss. What comes out runs no code"
            )
        version = found.version or _version_in(found.file)
        _check_version(found.file, version)
        model, remarks = _unpickled(found, version)
    model = _best(model, remarks)
    _check_classifier(found.file, model)
    return Trained(model, found.file, tuple(remarks))


def _kind(file: Path) -> str | None:
    """Return which kind of pickle a file is; `None` for a skops file. Raises `WorkbenchError`."""
    try:
        with file.open("rb") as opened:
            start = opened.read(len(_ZIP))
            kind = code_on_load(opened)
    except OSError as error:
        raise WorkbenchError(f"{file}: {error.strerror}") from None
    if kind is None and start != _ZIP:
        raise WorkbenchError(
            f"{file}: is no model: neither a joblib, pickle or skops file nor a directory with {MLMODEL}"
        )
    return kind


def _mlflow(path: Path) -> _Found:
    """Find the pickle of an MLflow model by what MLmodel says of it."""
    description = path if path.name == MLMODEL else path / MLMODEL
    folder = description.parent
    try:
        document = yaml.safe_load(description.read_text(encoding="utf-8"))
        flavors = document["flavors"]
        known = ", ".join(flavors)
    except OSError as error:
        raise WorkbenchError(
            f"{description}: {error.strerror}; a directory must be an MLflow model, with {MLMODEL} in it"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError):
        raise WorkbenchError(f"{description}: is no description of an MLflow model") from None
    flavor = flavors.get("sklearn")
    if not isinstance(flavor, dict) or not isinstance(flavor.get("pickled_model"), str):
        raise WorkbenchError(
            f"{description}: has the flavours {known}; only models of the flavour sklearn can be packaged"
        )
    file = folder / flavor["pickled_model"]
    if not file.resolve().is_relative_to(folder.resolve()):
        raise WorkbenchError(f"{description}: names a model outside of its directory: {file}")
    version = flavor.get("sklearn_version")
    code = flavor.get("code")
    hint = f"; MLflow kept its code in {folder / str(code)}" if code else ""
    return _Found(file, None if version is None else str(version), hint)


def _version_in(file: Path) -> str | None:
    """Return the version of scikit-learn that a pickle names, without opening it as one."""
    with file.open("rb") as opened:
        try:
            with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
                found = _VERSION.search(content)
                return None if found is None else found[1].decode()
        except ValueError:  # an empty file
            return None


def _check_version(file: Path, version: str | None) -> None:
    if version is None or _minor(version) == _minor(sklearn.__version__):
        return
    raise WorkbenchError(
        f"{file}: was written with scikit-learn {version}, and here is {sklearn.__version__}, as in the "
        "model server: another version may open it and answer otherwise. Train it again with "
        f"scikit-learn {_minor(sklearn.__version__)}"
    )


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _unpickled(found: _Found, version: str | None) -> tuple[Any, list[str]]:
    file = found.file
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model = joblib.load(file)
    except ModuleNotFoundError as error:
        raise WorkbenchError(
            f"{file}: needs the module {error.name}: install it, or put the code that defines it on "
            f"PYTHONPATH{found.hint}"
        ) from None
    except AttributeError as error:
        raise WorkbenchError(
            f"{file}: needs what is not here: {error}; a class or function of a notebook has to move into "
            f"a module on PYTHONPATH{found.hint}"
        ) from None
    except Exception as error:  # the file may raise what it likes
        message = " ".join(str(error).split())[:200]
        raise WorkbenchError(
            f"{file}: cannot be opened as a joblib or pickle file: {type(error).__name__}: {message}"
        ) from error
    skews = [each.message for each in caught]
    for skew in skews:
        if isinstance(skew, InconsistentVersionWarning):
            version = str(skew.original_sklearn_version)
            _check_version(file, version)
    # Without a warning it was written here, or nothing of it is scikit-learn's.
    if version is not None and version != sklearn.__version__:
        return model, [
            f"It was written with scikit-learn {version}; {sklearn.__version__} opened it."
        ]
    return model, []


def _skops(file: Path, trusted: Sequence[str]) -> Any:
    try:
        return load(file, digest_of(file), trusted).object
    except ArtifactError as error:
        message = str(error).partition(";")[0]
        raise WorkbenchError(
            f"{file}: {message}; if it is for types that you trust, add --trust for each"
        ) from None


def _best(model: Any, remarks: list[str]) -> Any:
    """Return the model that a search has found, without what it tried."""
    best = getattr(model, "best_estimator_", None)
    if best is None:
        return model
    remarks.append(f"It is a {type(model).__name__}: its best estimator is packaged.")
    return best


def _check_classifier(file: Path, model: Any) -> None:
    name = type(model).__name__
    if not hasattr(model, "predict"):
        raise WorkbenchError(f"{file}: holds a {name}, and no model of scikit-learn")
    try:
        if is_regressor(model):
            raise WorkbenchError(
                f"{file}: holds a regressor ({name}); Assay serves and judges classifiers"
            )
        check_is_fitted(model)
    except WorkbenchError:
        raise
    except Exception as error:  # noqa: BLE001 - NotFittedError, or what a foreign class makes of it
        raise WorkbenchError(
            f"{file}: holds a {name} that is not fitted, or no model of scikit-learn: {error}"
        ) from None
    if getattr(model, "classes_", None) is None:
        raise WorkbenchError(f"{file}: holds a {name} without classes_: it is no classifier")
