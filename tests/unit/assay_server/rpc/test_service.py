"""gRPC as clients meet it: a real server and a real connection, in this process."""

import asyncio
import datetime
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from sklearn.linear_model import LogisticRegression

from assay_server.inference import Predictor, receipt_classes
from assay_server.keys import KeyRing
from assay_server.loading import Identity
from assay_server.models import Scorer
from assay_server.protocol import ProtocolError
from assay_server.receipts import Issuer, Stratum, Verifier
from assay_server.rpc import listener as listener_module
from assay_server.rpc import open_inference_pb2 as pb
from assay_server.rpc import service as service_module
from assay_server.rpc.listener import Listener
from assay_server.server import ModelServer
from assay_server.transport import TLS

RING = KeyRing({"k1": bytes(range(32))}, "k1")
MODEL = LogisticRegression().fit([[-1, 0], [1, 0]], [0, 1])
ROWS = np.array([[-2.0, 1.0], [2.0, 0.5], [0.1, 0.0]])
CALLS = {
    "ServerLive": pb.ServerLiveResponse,
    "ServerReady": pb.ServerReadyResponse,
    "ModelReady": pb.ModelReadyResponse,
    "ServerMetadata": pb.ServerMetadataResponse,
    "ModelMetadata": pb.ModelMetadataResponse,
    "ModelInfer": pb.ModelInferResponse,
    "RepositoryIndex": pb.RepositoryIndexResponse,
}


class Running:
    """A server that listens in a thread of its own, and a connection to it."""

    def __init__(self, server: ModelServer, tls: TLS | None = None) -> None:
        self.server = server
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        start = Listener.start(server, "127.0.0.1", 0, tls)
        self.listener = self.run(start)
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.listener.port}")

    def run(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def send(self, name: str, content: bytes, metadata=(), timeout=None) -> bytes:
        path = f"/inference.GRPCInferenceService/{name}"
        return self.channel.unary_unary(path)(content, metadata=metadata, timeout=timeout)

    def call(self, name: str, message=None, **more):
        content = b"" if message is None else message.SerializeToString()
        return CALLS[name].FromString(self.send(name, content, **more))

    def refused(self, name: str, message=b"") -> tuple[grpc.StatusCode, str]:
        content = message if isinstance(message, bytes) else message.SerializeToString()
        with pytest.raises(grpc.RpcError) as caught:
            self.send(name, content)
        return caught.value.code(), caught.value.details()

    def close(self) -> None:
        self.channel.close()
        self.run(self.listener.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@contextmanager
def running(model=MODEL, tls=None):
    scorer = Scorer(model, None, None)
    issuer = Issuer(
        RING,
        namespace="ml",
        deployment="fraud",
        member="east",
        revision="r1",
        classes=receipt_classes(scorer),
    )
    identity = Identity("m", "1", "ml", "fraud", "east", "r1")
    server = Running(ModelServer(Predictor(scorer, issuer, "m", "1"), identity), tls)
    try:
        yield server
    finally:
        server.close()


@pytest.fixture(scope="module")
def rpc():
    with running() as server:
        yield server


def infer(rows=ROWS, **more) -> pb.ModelInferRequest:
    rows = np.asarray(rows)
    tensor = pb.ModelInferRequest.InferInputTensor(name="x", shape=rows.shape, datatype="FP64")
    raw = {"raw_input_contents": [rows.tobytes()]}
    return pb.ModelInferRequest(**{"model_name": "m", "inputs": [tensor], **raw, **more})


def metrics(server) -> list[str]:
    return server.server.metrics().splitlines()


def test_health_metadata_and_index(rpc):
    assert rpc.call("ServerLive").live
    assert rpc.call("ServerReady").ready
    assert rpc.call("ModelReady", pb.ModelReadyRequest(name="m")).ready
    assert rpc.call("ModelReady", pb.ModelReadyRequest(name="m", version="1")).ready
    assert rpc.call("ServerMetadata").name == "assay"
    metadata = rpc.call("ModelMetadata", pb.ModelMetadataRequest(name="m"))
    assert (metadata.name, [*metadata.versions]) == ("m", ["1"])
    assert [*metadata.inputs[0].shape] == [-1, 2]
    assert metadata.properties["positive_label"] == "1"
    [entry] = rpc.call("RepositoryIndex").models
    assert (entry.name, entry.version, entry.state) == ("m", "1", "READY")


def test_predictions_are_the_models_and_come_with_receipts(rpc):
    metadata = (("assay-stratum", "0123456789/2"),)
    response = rpc.call("ModelInfer", infer(id="q"), metadata=metadata)
    assert response.id == "q"
    predict, probabilities, receipts = response.raw_output_contents
    assert np.frombuffer(predict, "<i8").tolist() == MODEL.predict(ROWS).tolist()
    assert np.frombuffer(probabilities).reshape(3, 2) == pytest.approx(
        MODEL.predict_proba(ROWS), abs=1e-12
    )
    verifier = Verifier(RING, "ml", "fraud")
    while receipts:
        length = int.from_bytes(receipts[:4], "little")
        receipt = verifier.verify(receipts[4 : 4 + length].decode())
        assert receipt.stratum == Stratum("0123456789", 2)
        receipts = receipts[4 + length :]


def test_large_messages_are_answered_alike(rpc):
    rows = np.resize(ROWS, (10_000, 2))
    response = rpc.call("ModelInfer", infer(rows))
    predicted = np.frombuffer(response.raw_output_contents[0], "<i8")
    assert predicted.tolist() == MODEL.predict(rows).tolist()


@pytest.mark.parametrize("metadata", [(("x-request-id", "q 1"),), ()])
def test_a_failed_call_leaves_a_line_with_its_id_and_none_of_its_values(rpc, caplog, metadata):
    content = infer(model_name="elsewhere").SerializeToString()
    with caplog.at_level("INFO", "assay"), pytest.raises(grpc.RpcError) as caught:
        rpc.send("ModelInfer", content, metadata=metadata)
    told = dict(caught.value.trailing_metadata())["x-request-id"]
    assert told == "q_1" if metadata else len(told) == 16
    [line] = [r.fields for r in caplog.records if r.getMessage() == "request_failed"]
    assert line["path"] == "/inference.GRPCInferenceService/ModelInfer"
    assert (line["status"], line["id"]) == ("NOT_FOUND", told)
    assert "elsewhere" not in str(line)


def test_calls_are_counted_as_http_requests_are():
    with running() as rpc:
        metadata = (("assay-stratum", "0123456789/1"),)
        rpc.call("ModelInfer", infer(), metadata=metadata)
        rpc.call("ModelInfer", infer())
        rpc.refused("ModelInfer", infer(model_name="x"))
        rpc.refused("ModelInfer", infer([[1.0, np.inf]]))
        found = metrics(rpc)
        stratum = 'rollout="0123456789",step="1"'
        served = [line for line in found if line.startswith("assay_requests_total{")]
        assert len(served) == 2
        assert sum(stratum in line and line.endswith(" 1") for line in served) == 1
        assert any("assay_request_duration_seconds_count" in line for line in found)
        codes = [line for line in found if line.startswith("assay_request_errors_total{")]
        found = sorted(line.split('code="')[1] for line in codes if not line.endswith(" 0"))
        assert found == ['400"} 1', '404"} 1']


@pytest.mark.parametrize(
    ("name", "message", "code", "text"),
    [
        ("ModelInfer", infer(model_name="x"), "NOT_FOUND", "no such model here"),
        ("ModelInfer", infer(model_version="2"), "NOT_FOUND", "no such model here"),
        ("ModelReady", pb.ModelReadyRequest(name="x"), "NOT_FOUND", "no such model here"),
        ("ModelMetadata", pb.ModelMetadataRequest(), "NOT_FOUND", "no such model here"),
        ("ModelInfer", infer([[1.0]]), "INVALID_ARGUMENT", "inputs[0].shape: the model takes 2"),
        ("ModelInfer", infer(np.zeros((10_001, 2))), "INVALID_ARGUMENT", "at most 10000 rows"),
        ("ModelInfer", b"\xff", "INVALID_ARGUMENT", "not an inference.ModelInferRequest"),
        ("ModelReady", b"\xff", "INVALID_ARGUMENT", "not an inference.ModelReadyRequest"),
        ("RepositoryModelLoad", b"", "INVALID_ARGUMENT", "cannot load: this server serves one"),
        ("RepositoryModelUnload", b"", "INVALID_ARGUMENT", "cannot unload: this server serves"),
        ("ModelStatistics", b"", "UNIMPLEMENTED", ""),
    ],
)
def test_errors(rpc, name, message, code, text):
    found, details = rpc.refused(name, message)
    assert found is grpc.StatusCode[code]
    assert text in details


class Broken(LogisticRegression):
    """Fails in a way that tells a feature."""

    def predict_proba(self, rows):
        raise RuntimeError(f"secret {rows[0, 0]}")


def test_a_model_that_fails_tells_the_client_nothing_else():
    with running(Broken().fit([[-1, 0], [1, 0]], [0, 1])) as rpc:
        code, details = rpc.refused("ModelInfer", infer())
        assert code is grpc.StatusCode.INTERNAL
        assert details == "the model failed"


def test_an_error_of_ours_tells_the_client_nothing(monkeypatch, rpc):
    def broken(*_):
        raise RuntimeError("secret")

    monkeypatch.setattr(service_module, "_parsed", broken)
    assert rpc.refused("ServerLive") == (grpc.StatusCode.INTERNAL, "internal error")
    assert rpc.refused("ModelInfer") == (grpc.StatusCode.INTERNAL, "internal error")


def test_an_overloaded_server_says_when_to_come_back(monkeypatch, rpc):
    async def overloaded(*_):
        raise ProtocolError("the server is overloaded", 503)

    monkeypatch.setattr(rpc.server, "predict", overloaded)
    with pytest.raises(grpc.RpcError) as caught:
        rpc.call("ModelInfer", infer())
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "overloaded" in caught.value.details()
    assert ("grpc-retry-pushback-ms", "1000") in caught.value.trailing_metadata()


def test_a_message_beyond_the_limit_is_refused(rpc):
    content = b"\0" * (listener_module.MESSAGE_LIMIT + 1)
    code, _ = rpc.refused("ModelInfer", content)
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert rpc.call("ServerLive").live


def test_a_call_whose_message_does_not_come_is_ended(monkeypatch, rpc):
    monkeypatch.setattr(service_module, "_MESSAGE_SECONDS", 0.01)
    held = threading.Event()

    def silence():
        held.wait()
        yield b""

    path = "/inference.GRPCInferenceService/ModelInfer"
    with pytest.raises(grpc.RpcError) as caught:
        rpc.channel.stream_unary(path)(silence())
    held.set()
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert "did not arrive" in caught.value.details()


def test_a_call_without_a_message_is_an_error(rpc):
    path = "/inference.GRPCInferenceService/ServerLive"
    with pytest.raises(grpc.RpcError) as caught:
        rpc.channel.stream_unary(path)(iter(()))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_many_calls_at_once(rpc):
    """More than are answered at a time, each with its own rows."""

    def one(number: int) -> bool:
        rows = np.full((1, 2), float(number - 50))
        response = rpc.call("ModelInfer", infer(rows, id=str(number)))
        expected = MODEL.predict_proba(rows)[0].tolist()
        found = np.frombuffer(response.raw_output_contents[1]).tolist()
        return (response.id, found) == (str(number), expected)

    with ThreadPoolExecutor(20) as pool:
        assert all(pool.map(one, range(100)))


def test_contributions_come_to_who_asks(rpc):
    wish = pb.ModelInferRequest.InferRequestedOutputTensor(name="contributions")
    response = rpc.call("ModelInfer", infer(outputs=[wish]))
    assert [each.name for each in response.outputs] == ["contributions", "receipt"]
    assert [*response.outputs[0].shape] == [3, 2]
    found = np.frombuffer(response.raw_output_contents[0]).reshape(3, 2)
    np.testing.assert_allclose(found, ROWS * MODEL.coef_)


def test_while_it_drains_it_is_unready_and_answers_on():
    with running() as rpc:
        rpc.server.service.draining = True
        assert not rpc.call("ServerReady").ready
        assert not rpc.call("ModelReady", pb.ModelReadyRequest(name="m")).ready
        assert rpc.call("ServerLive").live
        assert rpc.call("RepositoryIndex", pb.RepositoryIndexRequest(ready=True)).models == []
        assert len(rpc.call("ModelInfer", infer()).outputs) == 3


class Slow(LogisticRegression):
    """Answers when it is told to, except while it is tried at the start."""

    def predict_proba(self, rows):
        STARTED.set()
        assert GO.wait()
        return super().predict_proba(rows)


STARTED, GO = threading.Event(), threading.Event()
GO.set()


def test_a_call_that_has_started_is_answered_on_the_way_out():
    large = infer(np.resize(ROWS, (10_000, 2)))
    with running(Slow().fit([[-1, 0], [1, 0]], [0, 1])) as rpc, ThreadPoolExecutor(2) as pool:
        STARTED.clear()
        GO.clear()
        answer = pool.submit(rpc.call, "ModelInfer", large)
        answer.add_done_callback(lambda _: STARTED.set())  # should it fail before
        STARTED.wait()
        stopped = asyncio.run_coroutine_threadsafe(rpc.listener.stop(), rpc._loop)
        GO.set()
        assert len(answer.result().outputs) == 3
        stopped.result()


@pytest.fixture
def tls(tmp_path) -> TLS:
    """A certificate for localhost, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = TLS(tmp_path / "cert.pem", tmp_path / "key.pem")
    files.cert.write_bytes(certificate.public_bytes(Encoding.PEM))
    files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return files


def test_tls(tls):
    with running(tls=tls) as rpc:
        credentials = grpc.ssl_channel_credentials(tls.cert.read_bytes())
        address = f"localhost:{rpc.listener.port}"
        path = "/inference.GRPCInferenceService/ModelInfer"
        with grpc.secure_channel(address, credentials) as channel:
            answer = channel.unary_unary(path)(infer().SerializeToString())
        assert len(pb.ModelInferResponse.FromString(answer).outputs) == 3
        with pytest.raises(grpc.RpcError):
            rpc.call("ServerLive")


def test_a_port_that_is_taken_is_an_error(rpc):
    with pytest.raises(OSError, match="gRPC cannot listen"):
        rpc.run(Listener.start(rpc.server, "127.0.0.1", rpc.listener.port))
