"""What the server and its model say about themselves."""

from collections.abc import Mapping
from typing import Any

import msgspec

from assay_server import __version__
from assay_server.protocol.errors import ProtocolError
from assay_server.protocol.signature import Signature

SERVER = "assay"
EXTENSIONS = ("binary_tensor_data", "model_repository", "receipt")

READY = "READY"
UNAVAILABLE = "UNAVAILABLE"


class _IndexRequest(msgspec.Struct):
    repository_name: str = ""
    ready: bool = False


_index_request = msgspec.json.Decoder(_IndexRequest)


def server_metadata() -> dict[str, Any]:
    """Return the body of the server metadata response."""
    return {"name": SERVER, "version": __version__, "extensions": list(EXTENSIONS)}


def model_metadata(signature: Signature) -> dict[str, Any]:
    """Return the body of the model metadata response.

    A model with categorical columns is described by one input per column, any other one by its
    matrix; both take either.
    """
    names = signature.feature_names
    inputs: list[dict[str, Any]] = []
    if signature.categorical and names:
        for index, name in enumerate(names):
            datatype = "BYTES" if index in signature.categorical else "FP64"
            inputs.append({"name": name, "datatype": datatype, "shape": [-1]})
    else:
        datatype = "BYTES" if signature.categorical else "FP64"
        shape = [-1, signature.features or -1]
        inputs.append({"name": "input", "datatype": datatype, "shape": shape})
    outputs = []
    for name in signature.outputs:
        datatype, shape = signature.output(name)
        outputs.append({"name": name, "datatype": datatype, "shape": shape})
    return {
        "name": signature.model,
        "versions": [signature.version],
        "platform": signature.platform,
        "inputs": inputs,
        "outputs": outputs,
        "properties": dict(signature.properties),
    }


def model_list(signature: Signature) -> dict[str, Any]:
    """Return the body of `GET /v2/models`, as KServe answers it."""
    return {"models": [signature.model]}


def repository_index(
    signature: Signature, *, serving: bool, only_ready: bool = False
) -> list[dict[str, Any]]:
    """Return the repository's entries, as Triton answers them: the one model.

    `serving` says whether it is ready; if it is not and only ready ones are wanted, there are none.
    """
    if only_ready and not serving:
        return []
    state, reason = (READY, "") if serving else (UNAVAILABLE, "the server is shutting down")
    entry = {
        "name": signature.model,
        "version": signature.version,
        "state": state,
        "reason": reason,
    }
    return [entry]


def index_wants_ready(body: bytes) -> bool:
    """Read the body of a repository index request: whether only ready models are asked for.

    Raises ProtocolError; an empty body asks for all.
    """
    if not body:
        return False
    try:
        return _index_request.decode(body).ready
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"the body is not a repository index request: {error}") from None


def fixed_model(signature: Signature, verb: str) -> ProtocolError:
    """Return the answer to whoever wants to load or unload a model."""
    return ProtocolError(
        f"cannot {verb}: this server serves one fixed model, {signature.model!r} version"
        f" {signature.version!r}; deploy another server for another one"
    )


def unknown_model(signature: Signature) -> ProtocolError:
    """Return the answer to whoever asks for another model or version; status 404."""
    return ProtocolError(
        f"no such model here: this server serves {signature.model!r} version {signature.version!r}",
        404,
    )


def not_served(signature: Signature, method: str, path: str) -> ProtocolError | None:
    """Return the answer to a path of the protocol that names another model; None if it does not."""
    match path.split("/")[1:]:
        case ["v2", "repository", "models", _, ("load" | "unload") as verb] if method == "POST":
            return fixed_model(signature, verb)
        case ["v2", "models", model, "versions", version, *_]:
            known = (model, version) == (signature.model, signature.version)
        case ["v2", "models", model, *_]:
            known = model == signature.model
        case _:
            known = True
    return None if known else unknown_model(signature)


def encoded(document: Mapping[str, Any] | list[dict[str, Any]]) -> bytes:
    """Return a document of this module as JSON."""
    return msgspec.json.encode(document)
