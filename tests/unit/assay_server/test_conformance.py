"""The Open Inference Protocol v2 as others understand it.

Real requests and answers are held against the server's OpenAPI document and, where it is installed,
against the client that the protocol's authors generate from theirs; and NVIDIA's client for Triton
talks to the server over HTTP and gRPC, in JSON and in raw tensors.
"""

import gzip
import json
import socket
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skops.io
import yaml
from jsonschema_rs import Draft202012Validator
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from assay_server.keys import KeyRing
from assay_server.receipts import Verifier

OPENAPI = Path(__file__).parents[3] / "model-server/openapi.yaml"
MODEL = {"model": "fraud", "version": "7"}


class Document:
    """An OpenAPI document against which bodies can be checked."""

    def __init__(self, path: Path) -> None:
        self._document = yaml.safe_load(path.read_text())

    def operations(self) -> list[tuple[str, str]]:
        return [
            (method, path)
            for path, operations in self._document["paths"].items()
            for method in ("get", "post")
            if method in operations
        ]

    def check_request(self, method: str, path: str, body: object) -> None:
        self._check(self._document["paths"][path][method]["requestBody"], body)

    def check_answer(self, method: str, path: str, status: int, body: object) -> None:
        answer = self._document["paths"][path][method]["responses"][str(status)]
        if "$ref" in answer:
            answer = self._document["components"]["responses"][answer["$ref"].rpartition("/")[2]]
        self._check(answer, body)

    def _check(self, described: dict, body: object) -> None:
        schema = described["content"]["application/json"]["schema"]
        everything = {"components": self._document["components"], **schema}
        Draft202012Validator(everything).validate(body)


@pytest.fixture(scope="module")
def document() -> Document:
    return Document(OPENAPI)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.fixture(scope="module")
def grpc_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def server(start, serve_arguments, grpc_port):
    with start(*serve_arguments, "--grpc-port", grpc_port) as process:
        yield process


def query(rows, **more) -> dict:
    rows = np.atleast_2d(rows)
    tensor = {"name": "x", "shape": list(rows.shape), "datatype": "FP64", "data": rows.tolist()}
    return {"inputs": [tensor], **more}


class TestOpenAPI:
    def test_every_operation_answers_as_described(self, server, document, artifact):
        bodies = {"infer": query(artifact.rows[:2]), "index": {"ready": True}}
        for method, path in document.operations():
            if path == "/metrics":
                continue
            body = bodies.get(path.rpartition("/")[2])
            reply = server.request(method.upper(), path.format(**MODEL), body)
            if body is not None:
                document.check_request(method, path, body)
            expected = {"feedback": 421, "load": 400, "unload": 400}
            assert reply.status == expected.get(path.rpartition("/")[2], 200), path
            document.check_answer(method, path, reply.status, reply.json())

    @pytest.mark.parametrize(
        "wrong", [{"model": "x", "version": "7"}, {"model": "fraud", "version": "8"}]
    )
    def test_other_models_and_versions_are_not_found(self, server, document, wrong):
        for method, path in document.operations():
            names = [part for part in wrong if f"{{{part}}}" in path and wrong[part] != MODEL[part]]
            if names:
                reply = server.request(method.upper(), path.format(**wrong), {})
                status = 400 if "repository" in path else 404
                assert reply.status == status, path
                document.check_answer(method, path, status, reply.json())

    @pytest.mark.parametrize(
        "request_body",
        [
            {
                "inputs": [
                    {"name": "x", "shape": [1, 6], "datatype": "FP64", "data": [1, 2, 3, 4, 5, 6]}
                ]
            },
            {
                "inputs": [
                    {"name": "x", "shape": [1, 6], "datatype": "INT8", "data": [[1, 2, 3, 4, 5, 6]]}
                ]
            },
            {"inputs": [{"name": "x", "shape": [1, 6], "datatype": "BOOL", "data": [True] * 6}]},
            {
                "id": "42",
                "parameters": {"a": 1, "b": "c", "d": True},
                "inputs": [
                    {
                        "name": "x",
                        "shape": [1, 6],
                        "datatype": "FP32",
                        "parameters": {"content_type": "np"},
                        "data": [0.5] * 6,
                    }
                ],
                "outputs": [{"name": "predict", "parameters": {"a": 1.5}}],
            },
        ],
    )
    def test_requests_of_every_shape(self, server, document, request_body):
        path = "/v2/models/{model}/infer"
        document.check_request("post", path, request_body)
        reply = server.request("POST", path.format(**MODEL), request_body)
        document.check_answer("post", path, 200, reply.json())
        assert reply.json().get("id") == request_body.get("id")

    @pytest.mark.parametrize(
        ("request_body", "status"),
        [
            (b"", 400),
            (b"{", 400),
            (query(np.zeros(5)), 400),
            (query(np.zeros(6), outputs=[{"name": "x"}]), 400),
            (query(np.zeros((10_001, 6))), 413),
            (b" " * (9 * 2**20), 413),
        ],
    )
    def test_errors(self, server, document, request_body, status):
        path = "/v2/models/{model}/infer"
        reply = server.request("POST", path.format(**MODEL), request_body)
        assert reply.status == status
        document.check_answer("post", path, status, reply.json())

    def test_a_compressed_request_and_answer(self, server, document, artifact):
        content = gzip.compress(json.dumps(query(artifact.rows[:500])).encode())
        path = "/v2/models/{model}/infer"
        headers = {"content-encoding": "gzip", "accept-encoding": "gzip"}
        reply = server.request("POST", path.format(**MODEL), content, headers)
        assert reply.headers["content-encoding"] == "gzip"
        answer = json.loads(gzip.decompress(reply.body))
        document.check_answer("post", path, 200, answer)
        assert len(answer["outputs"][2]["data"]) == 500

    def test_an_unknown_compression_is_refused(self, server, document):
        path = "/v2/models/{model}/infer"
        headers = {"content-encoding": "zstd"}
        reply = server.request("POST", path.format(**MODEL), b"x", headers)
        assert reply.status == 415
        document.check_answer("post", path, 415, reply.json())

    def test_the_unready_answers(self, start, serve_arguments, document, terminate):
        with start(*serve_arguments, "--drain-seconds", 60) as server:
            server.signal(terminate)
            server.until(lambda: server.request("GET", "/v2/health/ready").status == 503)
            for path in ("/v2/health/ready", "/v2/models/{model}/ready"):
                reply = server.request("GET", path.format(**MODEL))
                assert reply.status == 503
                document.check_answer("get", path, 503, reply.json())
            path = "/v2/repository/index"
            [entry] = server.request("POST", path, {}).json()
            assert entry["state"] == "UNAVAILABLE"
            assert server.request("POST", path, {"ready": True}).json() == []
            server.signal(terminate)
            assert server.wait() == 0


class TestProtocolsOwnClient:
    """The Python client that the protocol's working group generates from its OpenAPI file."""

    @pytest.fixture
    def client(self, server):
        from open_inference.openapi.client import OpenInferenceClient

        return OpenInferenceClient(base_url=f"http://127.0.0.1:{server.port}")

    def test_it_finds_and_asks_the_model(self, client, artifact):
        from open_inference.openapi.types import InferenceRequest

        client.check_server_liveness()
        client.check_server_readiness()
        client.check_model_readiness("fraud")
        client.check_model_version_readiness("fraud", "7")
        assert client.read_server_metadata().name == "assay"
        metadata = client.read_model_metadata("fraud")
        assert metadata.versions == ["7"]
        assert metadata.outputs[0].name == "predict"
        rows = artifact.rows[:3]
        answer = client.model_infer("fraud", request=InferenceRequest(**query(rows, id="q")))
        assert answer.id == "q"
        found = {output.name: output.data.__root__ for output in answer.outputs}
        assert found["predict"] == artifact.model.predict(rows).tolist()

    def test_its_errors_are_ours(self, client):
        from open_inference.openapi.errors import BadRequestError
        from open_inference.openapi.types import InferenceRequest

        with pytest.raises(BadRequestError) as caught:
            client.model_infer("fraud", request=InferenceRequest(**query(np.zeros(5))))
        assert caught.value.body["error"].startswith("inputs[0].shape: the model takes 6 features")


class Triton:
    """NVIDIA's client over one of its transports."""

    def __init__(self, name: str, address: str) -> None:
        if name == "http":
            import tritonclient.http as module
        else:
            import tritonclient.grpc as module
        self.name = name
        self.module = module
        self.client = module.InferenceServerClient(address)

    def tensor(self, name, values, datatype, **more):
        values = np.asarray(values)
        tensor = self.module.InferInput(name, list(values.shape), datatype)
        return tensor.set_data_from_numpy(values, **more)

    def output(self, name, **more):
        return self.module.InferRequestedOutput(name, **more)

    def infer(self, *tensors, model="fraud", **more):
        return self.client.infer(model, list(tensors), **more)

    def refused(self, *tensors, **more) -> str:
        from tritonclient.utils import InferenceServerException

        with pytest.raises(InferenceServerException) as caught:
            self.infer(*tensors, **more)
        return caught.value.message()


@pytest.fixture(params=["http", "grpc"])
def triton(request, server, grpc_port):
    port = server.port if request.param == "http" else grpc_port
    client = Triton(request.param, f"127.0.0.1:{port}")
    yield client
    client.client.close()


def probabilities(result, count) -> np.ndarray:
    return np.asarray(result.as_numpy("predict_proba")).reshape(count, 2)


def agree(found, expected) -> bool:
    """Tell whether scores are the model's, up to the rounding of another order of sums."""
    return np.allclose(found, expected, rtol=1e-12, atol=1e-12)


class TestTritonClient:
    def test_health_metadata_and_index(self, triton):
        client = triton.client
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("fraud")
        assert client.is_model_ready("fraud", "7")
        as_json = {} if triton.name == "http" else {"as_json": True}
        assert "binary_tensor_data" in client.get_server_metadata(**as_json)["extensions"]
        metadata = client.get_model_metadata("fraud", "7", **as_json)
        assert metadata["name"] == "fraud"
        assert [output["name"] for output in metadata["outputs"]] == [
            "predict",
            "predict_proba",
            "contributions",
            "receipt",
        ]
        index = client.get_model_repository_index(**as_json)
        [entry] = index if triton.name == "http" else index["models"]
        assert (entry["name"], entry["state"]) == ("fraud", "READY")

    def test_the_model_is_fixed(self, triton):
        from tritonclient.utils import InferenceServerException

        for verb in ("load", "unload"):
            with pytest.raises(InferenceServerException, match=f"cannot {verb}: this server serve"):
                getattr(triton.client, f"{verb}_model")("fraud")

    def test_predictions_scores_and_receipts(self, triton, artifact, secret):
        rows = artifact.rows[:20]
        headers = {"assay-stratum": "0123456789/3"}
        result = triton.infer(triton.tensor("x", rows, "FP64"), headers=headers, request_id="q")
        response = result.get_response()
        assert (response["id"] if triton.name == "http" else response.id) == "q"
        assert result.as_numpy("predict").tolist() == artifact.model.predict(rows).tolist()
        assert agree(probabilities(result, 20), artifact.model.predict_proba(rows))
        verifier = Verifier(KeyRing({"k1": secret}, "k1"), "ml", "fraud")
        receipts = [verifier.verify(token.decode()) for token in result.as_numpy("receipt")]
        assert {receipt.stratum for receipt in receipts} == {("0123456789", 3)}
        assert len({receipt.identity for receipt in receipts}) == 20

    def test_a_thousand_rows_have_a_thousand_receipts(self, triton, artifact):
        rows = np.resize(artifact.rows, (1000, 6))
        result = triton.infer(triton.tensor("x", rows, "FP64"), model_version="7")
        assert len(set(result.as_numpy("receipt"))) == 1000

    def test_outputs_are_selected(self, triton, artifact):
        tensor = triton.tensor("x", artifact.rows[:2], "FP64")
        result = triton.infer(tensor, outputs=[triton.output("predict_proba")])
        assert result.as_numpy("predict") is None
        expected = artifact.model.predict_proba(artifact.rows[:2])
        assert agree(probabilities(result, 2), expected)
        assert len(result.as_numpy("receipt")) == 2

    @pytest.mark.parametrize(
        "datatype", ["FP16", "FP32", "INT8", "INT16", "INT32", "INT64", "BOOL"]
    )
    def test_every_datatype(self, triton, artifact, datatype):
        from tritonclient.utils import triton_to_np_dtype

        rows = artifact.rows[:5].astype(triton_to_np_dtype(datatype))
        result = triton.infer(triton.tensor("x", rows, datatype))
        assert agree(
            probabilities(result, 5), artifact.model.predict_proba(rows.astype(np.float64))
        )

    def test_errors_name_the_field(self, triton, artifact):
        rows = artifact.rows[:1].copy()
        message = triton.refused(triton.tensor("x", rows[:, :5], "FP64"))
        assert message.startswith("inputs[0].shape: the model takes 6 features, got 5")
        rows[0, 2] = np.inf
        message = triton.refused(triton.tensor("x", rows, "FP64"))
        assert message == "inputs[0].data: row 0, column 2: a number is infinite"
        message = triton.refused(
            triton.tensor("x", artifact.rows[:1], "FP64"), outputs=[triton.output("transform")]
        )
        assert message.startswith("outputs[0].name: 'transform' is not an output of this model")
        message = triton.refused(
            triton.tensor("x", artifact.rows[:1], "FP64"),
            outputs=[triton.output("predict", class_count=2)],
        )
        assert "classification: is not supported" in message

    def test_json_and_raw_tensors_in_every_combination(self, server, artifact):
        client = Triton("http", f"127.0.0.1:{server.port}")
        rows = artifact.rows[:7]
        expected = artifact.model.predict_proba(rows)
        for raw_in in (False, True):
            for raw_out in (False, True):
                result = client.infer(
                    client.tensor("x", rows, "FP64", binary_data=raw_in),
                    outputs=[
                        client.output("predict", binary_data=not raw_out),
                        client.output("predict_proba", binary_data=raw_out),
                        client.output("receipt", binary_data=raw_out),
                    ],
                )
                assert agree(probabilities(result, 7), expected)
                assert result.as_numpy("predict").tolist() == artifact.model.predict(rows).tolist()
                assert result.as_numpy("receipt").shape == (7,)
        client.client.close()

    @pytest.mark.parametrize("name", ["gzip", "deflate"])
    def test_compressed_bodies(self, server, artifact, name):
        client = Triton("http", f"127.0.0.1:{server.port}")
        rows = np.resize(artifact.rows, (500, 6))
        result = client.infer(
            client.tensor("x", rows, "FP64"),
            request_compression_algorithm=name,
            response_compression_algorithm=name,
        )
        assert agree(probabilities(result, 500), artifact.model.predict_proba(rows))
        client.client.close()


def test_a_grpc_port_that_is_taken_ends_the_process(start, serve_arguments, server, grpc_port):
    taken = ["--host", "127.0.0.1", "--grpc-port", grpc_port]
    with start(*serve_arguments, *taken, ready=False) as process:
        assert process.wait() == 1
        reason = process.termination_log.read_text()
        assert reason.startswith("ListenFailed: ")
        assert f"gRPC cannot listen on 127.0.0.1:{grpc_port}" in reason


def test_grpc_drains_with_http(start, serve_arguments, artifact, terminate):
    """SIGTERM: unready at once over both, still answering, then gone with exit code 0."""
    port = free_port()
    change = ["--grpc-port", port, "--drain-seconds", 60]
    with start(*serve_arguments, *change) as server:
        triton = Triton("grpc", f"127.0.0.1:{port}")
        server.signal(terminate)
        server.until(lambda: server.request("GET", "/v2/health/ready").status == 503)
        assert not triton.client.is_server_ready()
        assert not triton.client.is_model_ready("fraud")
        assert triton.client.is_server_live()
        result = triton.infer(triton.tensor("x", artifact.rows[:2], "FP64"))
        expected = artifact.model.predict_proba(artifact.rows[:2])
        assert agree(probabilities(result, 2), expected)
        server.signal(terminate)
        assert server.wait() == 0
        triton.client.close()


def test_a_server_without_grpc_does_not_pay_for_it(start, serve_arguments, server):
    def libraries(process) -> str:
        return Path(f"/proc/{process.pid}/maps").read_text()

    with start(*serve_arguments) as without:
        assert "cygrpc" not in libraries(without)
    assert "cygrpc" in libraries(server)


COLOURS = ["red", "grün", "blue", "red", "grün", "blue"] * 20


@pytest.fixture(scope="module")
def people(tmp_path_factory, digest):
    """A pipeline over a table with a column of text, saved; and the table."""
    ages = np.random.default_rng(0).normal(40.0, 10.0, len(COLOURS))
    table = pd.DataFrame({"age": ages, "colour": COLOURS, "children": [0, 1, 2] * 40})
    labels = (table["age"] + 5.0 * (table["colour"] == "red") > 41).astype(int)
    model = make_pipeline(
        make_column_transformer(
            (StandardScaler(), ["age", "children"]),
            (OneHotEncoder(handle_unknown="ignore"), ["colour"]),
        ),
        LogisticRegression(),
    ).fit(table, labels)
    path = tmp_path_factory.mktemp("people") / "model.skops"
    skops.io.dump(model, path)
    return path, digest(path), model, table


@pytest.fixture(scope="module")
def people_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def people_server(start, serve_arguments, people, people_port):
    path, digest, _, _ = people
    change = ["--model-uri", path, "--digest", digest, "--grpc-port", people_port]
    with start(*serve_arguments, *change) as process:
        yield process


class TestTables:
    """Named columns and text, as data scientists have them."""

    @pytest.fixture(params=["http", "grpc"])
    def triton(self, request, people_server, people_port):
        port = people_server.port if request.param == "http" else people_port
        client = Triton(request.param, f"127.0.0.1:{port}")
        yield client
        client.client.close()

    def columns(self, triton, table, **more) -> list:
        return [
            triton.tensor("colour", table["colour"].to_numpy(dtype=object), "BYTES", **more),
            triton.tensor("children", table["children"].to_numpy(np.int64), "INT64", **more),
            triton.tensor("age", table["age"].to_numpy(np.float64), "FP64", **more),
        ]

    def test_named_columns_in_any_order(self, triton, people):
        _, _, model, table = people
        expected = model.predict_proba(table)
        result = triton.infer(*self.columns(triton, table))
        assert agree(probabilities(result, len(table)), expected)
        if triton.name == "http":
            result = triton.infer(*self.columns(triton, table, binary_data=False))
            assert agree(probabilities(result, len(table)), expected)

    def test_one_table_of_text(self, triton, people):
        _, _, model, table = people
        cells = table.to_numpy(dtype=object).astype(str).astype(object)
        result = triton.infer(triton.tensor("table", cells, "BYTES"))
        assert agree(probabilities(result, len(table)), model.predict_proba(table))

    def test_one_table_of_mixed_json(self, people_server, people):
        _, _, model, table = people
        tensor = {"name": "x", "shape": [3, 3], "datatype": "BYTES"}
        body = {"inputs": [{**tensor, "data": table[:3].to_numpy(dtype=object).tolist()}]}
        reply = people_server.request("POST", "/v2/models/fraud/infer", body)
        found = {output["name"]: output["data"] for output in reply.json()["outputs"]}
        assert agree(np.reshape(found["predict_proba"], (3, 2)), model.predict_proba(table[:3]))

    def test_an_unknown_and_a_missing_category_are_taken_where_the_model_takes_them(
        self, people_server, people
    ):
        _, _, model, _ = people
        columns = {"age": [40.0, 41.0], "colour": [None, "violet"], "children": [0, 1]}
        body = {
            "inputs": [
                {"name": name, "shape": [2], "datatype": datatype, "data": columns[name]}
                for name, datatype in (("age", "FP64"), ("colour", "BYTES"), ("children", "INT64"))
            ]
        }
        reply = people_server.request("POST", "/v2/models/fraud/infer", body)
        found = {output["name"]: output["data"] for output in reply.json()["outputs"]}
        expected = model.predict_proba(pd.DataFrame(columns))
        assert agree(np.reshape(found["predict_proba"], (2, 2)), expected)

    def test_metadata_describes_the_columns(self, people_server):
        metadata = people_server.request("GET", "/v2/models/fraud").json()
        assert metadata["inputs"] == [
            {"name": "age", "datatype": "FP64", "shape": [-1]},
            {"name": "colour", "datatype": "BYTES", "shape": [-1]},
            {"name": "children", "datatype": "FP64", "shape": [-1]},
        ]
        assert json.loads(metadata["properties"]["feature_names"]) == ["age", "colour", "children"]

    def test_errors_name_the_column(self, triton, people):
        _, _, _, table = people
        colour, children, age = self.columns(triton, table[:2])
        assert triton.refused(colour, children) == "inputs: column 'age' is missing"
        twice = triton.refused(colour, children, age, age)
        assert twice == "inputs[3].name: column 'age' comes twice"
        wrong = triton.tensor("age", np.array([40.0, np.nan]), "FP64")
        message = triton.refused(colour, children, wrong)
        assert "inputs[2].data: row 1, column 0 ('age'): a value is missing" in message
        text = triton.tensor("age", np.array(["40", "41"], dtype=object), "BYTES")
        message = triton.refused(colour, children, text)
        assert "column 0 ('age'): BYTES where the model takes a number" in message


def test_missing_values_reach_a_model_that_takes_them(start, serve_arguments, tmp_path, digest):
    rows = np.random.default_rng(1).normal(size=(200, 2))
    rows[::7, 0] = np.nan
    model = HistGradientBoostingClassifier(max_iter=5).fit(rows, np.nan_to_num(rows[:, 0]) > 0)
    path = tmp_path / "model.skops"
    skops.io.dump(model, path)
    trusted = "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"
    change = ["--model-uri", path, "--digest", digest(path), "--trusted-types", trusted]
    with start(*serve_arguments, *change) as server:
        cells = [[None if np.isnan(cell) else cell for cell in row] for row in rows.tolist()]
        body = {"inputs": [{"name": "x", "shape": [200, 2], "datatype": "FP64", "data": cells}]}
        reply = server.request("POST", "/v2/models/fraud/infer", body)
        found = {output["name"]: output["data"] for output in reply.json()["outputs"]}
        assert agree(np.reshape(found["predict_proba"], (200, 2)), model.predict_proba(rows))
