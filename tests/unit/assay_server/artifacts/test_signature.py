"""Signatures of OpenSSF model-signing: made by its own package, read by ours."""

import base64
import copy
import hashlib
import json

import model_signing
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from assay_server.artifacts import Signers, Signing, fetch
from assay_server.artifacts.signature import MAX_SIGNATURE_BYTES, fingerprint, verify

from .conftest import AT_ONCE
from .files import CONTENT

NAME = "model"
CURVES = [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()]


class Signer:
    """Someone with a key, who signs with the real package."""

    def __init__(self, folder, curve=CURVES[0]):
        self.folder = folder
        self.key = ec.generate_private_key(curve)
        self.private = folder / f"private-{id(self)}.pem"
        self.private.write_bytes(
            self.key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )

    @property
    def public(self) -> bytes:
        return self.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def config(self, hashing=None):
        config = model_signing.signing.Config().use_elliptic_key_signer(private_key=self.private)
        return config.set_hashing_config(hashing) if hashing else config

    def sign(self, path, hashing=None) -> bytes:
        target = self.folder / "made.sig"
        self.config(hashing).sign(path, target)
        return target.read_bytes()

    def envelope(self, statement, payload_type="application/vnd.in-toto+json") -> bytes:
        """Sign any statement, as nobody with good intentions would."""
        payload = statement if isinstance(statement, bytes) else json.dumps(statement).encode()
        message = b"DSSEv1 %d %s %d %s" % (
            *(len(payload_type), payload_type.encode()),
            *(len(payload), payload),
        )
        signature = self.key.sign(message, ec.ECDSA(hashes.SHA256()))
        bundle = {
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {
                "publicKey": {"hint": fingerprint(self.key.public_key())},
                "tlogEntries": [],
            },
            "dsseEnvelope": {
                "payload": base64.b64encode(payload).decode(),
                "payloadType": payload_type,
                "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": ""}],
            },
        }
        return json.dumps(bundle).encode()


@pytest.fixture
def signer(tmp_path):
    return Signer(tmp_path)


@pytest.fixture
def trusted(secret):
    """Make the trusted keys from signers."""

    def trusted(*signers):
        keys = {f"key{number}.pub": one.public for number, one in enumerate(signers)}
        return Signers.of_directory(secret(**keys))

    return trusted


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "signed"
    folder.mkdir()
    path = folder / NAME
    path.write_bytes(CONTENT)
    return path


def statement_of(bundle: bytes) -> dict:
    return json.loads(base64.b64decode(json.loads(bundle)["dsseEnvelope"]["payload"]))


@pytest.mark.parametrize("curve", CURVES, ids=lambda curve: curve.name)
def test_what_the_package_signs_is_verified(tmp_path, model, content_digest, trusted, curve):
    signer = Signer(tmp_path, curve)
    bundle = signer.sign(model)
    assert verify(bundle, trusted(signer), NAME, content_digest) == "key0.pub"
    model_signing.verifying.Config().use_elliptic_key_verifier(
        public_key=write(tmp_path / "public", signer.public)
    ).verify(model, write(tmp_path / "sig", bundle))


def write(path, content):
    path.write_bytes(content)
    return path


def test_a_signed_folder_vouches_for_its_files(model, content_digest, trusted, signer):
    (model.parent / "README.md").write_text("a model card")
    bundle = signer.sign(model.parent)
    assert verify(bundle, trusted(signer), NAME, content_digest) == "key0.pub"


def test_and_for_no_other(model, content_digest, trusted, signer, failure):
    bundle = signer.sign(model.parent)
    line = failure(verify, bundle, trusted(signer), "other", content_digest)
    assert line == "SignatureInvalid: the signature covers model, not other"


def test_any_of_several_keys_may_have_signed(tmp_path, model, content_digest, trusted, signer):
    old, bundle = Signer(tmp_path), signer.sign(model)
    assert verify(bundle, trusted(old, signer), NAME, content_digest) == "key1.pub"
    document = json.loads(bundle)
    document["verificationMaterial"]["publicKey"] = {}
    unhinted = json.dumps(document).encode()
    assert verify(unhinted, trusted(old, signer), NAME, content_digest) == "key1.pub"


def test_another_file(model, trusted, signer, failure):
    digest = f"sha256:{hashlib.sha256(b'tampered').hexdigest()}"
    line = failure(verify, signer.sign(model), trusted(signer), NAME, digest)
    signed = hashlib.sha256(CONTENT).hexdigest()
    assert line == f"SignatureInvalid: signed is sha256:{signed}, spec.model.digest is {digest}"


def test_another_key(tmp_path, model, content_digest, trusted, signer, failure):
    stranger = Signer(tmp_path)
    line = failure(verify, stranger.sign(model), trusted(signer), NAME, content_digest)
    hint = fingerprint(stranger.key.public_key())
    assert line == (
        f"SignatureInvalid: signed by another key ({hint}) than those that are trusted (key0.pub)"
    )


def tampered(bundle: bytes, change) -> bytes:
    document = json.loads(bundle)
    change(document)
    return json.dumps(document).encode()


def another_payload(document):
    """As an attacker would: the digest of his own file put into the payload."""
    payload = base64.b64decode(document["dsseEnvelope"]["payload"])
    changed = payload.replace(hashlib.sha256(CONTENT).hexdigest().encode(), b"0" * 64)
    assert changed != payload
    document["dsseEnvelope"]["payload"] = base64.b64encode(changed).decode()


def another_signature(document):
    signature = document["dsseEnvelope"]["signatures"][0]
    raw = bytearray(base64.b64decode(signature["sig"]))
    raw[-1] ^= 1
    signature["sig"] = base64.b64encode(bytes(raw)).decode()


def field(*path, value):
    def change(document):
        for name in path[:-1]:
            document = document[name]
        document[path[-1]] = value

    return change


MISMATCH = "the signature does not match its payload and key (key0.pub)"
ENVELOPE, SIGNATURES = "dsseEnvelope", ("dsseEnvelope", "signatures")
TAMPERED = {
    "payload": (another_payload, MISMATCH),
    "signature": (another_signature, MISMATCH),
    "no DER": (field(*SIGNATURES, value=[{"sig": "aGVsbG8="}]), MISMATCH),
    "two signatures": (
        lambda it: it[ENVELOPE]["signatures"].append(it[ENVELOPE]["signatures"][0]),
        "the DSSE envelope must hold exactly one signature",
    ),
    "no signature": (field(*SIGNATURES, value=[]), "must hold exactly one signature"),
    "a signature of text": (field(*SIGNATURES, value=["x"]), "the signature itself is missing"),
    "no base64": (
        field(ENVELOPE, "payload", value="%%%"),
        "the payload of the signature is not base64",
    ),
    "another payload type": (
        field(ENVELOPE, "payloadType", value="text/plain"),
        "the payload of the signature is not of type application/vnd.in-toto+json",
    ),
    "another bundle": (field("mediaType", value="v0.1"), "is no Sigstore bundle of type"),
    "no envelope": (field(ENVELOPE, value=None), "the signature holds no DSSE envelope"),
    "a certificate": (
        field("verificationMaterial", value={"certificate": {"rawBytes": "x"}}),
        "was made by a certificate or without a key; sign with a key",
    ),
}


@pytest.mark.parametrize(("change", "why"), TAMPERED.values(), ids=TAMPERED.keys())
def test_a_tampered_signature(model, content_digest, trusted, signer, failure, change, why):
    bundle = tampered(signer.sign(model), change)
    line = failure(verify, bundle, trusted(signer), NAME, content_digest)
    assert line.startswith("SignatureInvalid: ")
    assert why in line


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"1", b"\xff", b"[" * 100_000])
def test_no_signature_at_all(content, trusted, signer, content_digest, failure):
    line = failure(verify, content, trusted(signer), NAME, content_digest)
    assert line == "SignatureInvalid: the signature is no JSON"


def resources(change):
    def changed(statement):
        change(statement["predicate"]["resources"])

    return changed


SIGNED_NONSENSE = {
    "another kind of statement": (
        field("predicateType", value="https://slsa.dev/provenance/v1"),
        "is no statement of type https://model_signing/signature/v1.0",
    ),
    "no predicate": (field("predicate", value=1), "holds no predicate"),
    "no serialization": (field("predicate", "serialization", value=1), "names no serialization"),
    "another root": (
        field("subject", value=[{"name": "m", "digest": {"sha256": "0" * 64}}]),
        "contradicts itself: its files have another root",
    ),
    "no root": (field("subject", value=[]), "the signed statement is incomplete"),
    "no files": (field("predicate", "resources", value=None), "lists no files"),
    "files without a digest": (resources(lambda it: it[0].pop("digest")), "is incomplete"),
    "a digest that is none": (resources(lambda it: it[0].update(digest="x")), "is incomplete"),
    "a digest by another hash": (
        resources(lambda it: it[0].update(algorithm="md5")),
        "signed is sha256:",
    ),
}


@pytest.mark.parametrize(("change", "why"), SIGNED_NONSENSE.values(), ids=SIGNED_NONSENSE.keys())
def test_a_good_signature_under_something_else(
    model, content_digest, trusted, signer, failure, change, why
):
    statement = copy.deepcopy(statement_of(signer.sign(model)))
    change(statement)
    line = failure(verify, signer.envelope(statement), trusted(signer), NAME, content_digest)
    assert why in line


def test_a_file_that_is_listed_twice(model, content_digest, trusted, signer, failure):
    statement = statement_of(signer.sign(model))
    items = statement["predicate"]["resources"]
    items.append(dict(items[0], name=NAME))
    digests = b"".join(bytes.fromhex(item["digest"]) for item in items)
    statement["subject"][0]["digest"]["sha256"] = hashlib.sha256(digests).hexdigest()
    line = failure(verify, signer.envelope(statement), trusted(signer), NAME, content_digest)
    assert line == "SignatureInvalid: the signature covers ., model, not model"


def test_ways_of_signing_that_are_not_read(model, content_digest, trusted, signer, failure):
    hashing = model_signing.hashing.Config().use_shard_serialization()
    line = failure(verify, signer.sign(model, hashing), trusted(signer), NAME, content_digest)
    assert "signed as shards by sha256; sign it as files by sha256 (the default)" in line
    hashing = model_signing.hashing.Config().use_file_serialization(hashing_algorithm="blake2")
    line = failure(verify, signer.sign(model, hashing), trusted(signer), NAME, content_digest)
    assert "signed as files by blake2b" in line


def rsa_key() -> bytes:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def test_keys_that_cannot_count_are_not_left_out_silently(secret, signer, failure, tmp_path):
    for content, why in (
        (b"hello", "bad.pub is no public key in PEM"),
        (signer.private.read_bytes(), "bad.pub is no public key in PEM"),
        (rsa_key(), "bad.pub is no elliptic curve key of a known curve"),
        (Signer(tmp_path, ec.SECP256K1()).public, "bad.pub is no elliptic curve key of a known"),
    ):
        folder = secret(**{"good.pub": signer.public, "bad.pub": content})
        assert why in failure(Signers.of_directory, folder)
    words = "the Secret of spec.model.signature.publicKeySecretName is not in this cluster"
    assert words in failure(Signers.of_directory, secret())
    assert "cannot read" in failure(Signers.of_directory, tmp_path / "nowhere")


# From here on together with the fetch.


def test_a_signed_artifact_is_fetched(site, model, content_digest, trusted, signer, events):
    site.signature = signer.sign(model)
    target = model.parent / "target"
    fetch(f"{site.address}/model", content_digest, target, signing=Signing(trusted(signer)))
    assert target.read_bytes() == CONTENT
    [verified] = [fields for name, fields in events() if name == "signature_verified"]
    assert verified == {
        "source": f"{site.address}/model.sig",
        "key": "key0.pub",
        "digest": content_digest,
    }


def test_the_signature_is_asked_for_before_the_artifact(
    site, tmp_path, model, content_digest, trusted, signer, failure
):
    site.signature = Signer(tmp_path).sign(model)
    target = tmp_path / "t" / "m"
    signing = Signing(trusted(signer))
    line = failure(fetch, f"{site.address}/model", content_digest, target, signing=signing)
    assert line.startswith("SignatureInvalid: signed by another key")
    assert site.asked == {"/model.sig": 1}
    assert list(target.parent.iterdir()) == []


def test_a_missing_signature_is_no_signature(
    site, tmp_path, content_digest, trusted, signer, failure
):
    signing = Signing(trusted(signer))
    line = failure(fetch, f"{site.address}/model", content_digest, tmp_path / "m", signing=signing)
    assert line == f"FetchFailed: {site.address}/model.sig does not exist"


def test_a_signature_may_be_elsewhere(site, tmp_path, model, content_digest, trusted, signer):
    elsewhere = write(tmp_path / "elsewhere.sig", signer.sign(model))
    signing = Signing(trusted(signer), f"file://{elsewhere}")
    fetch(f"{site.address}/model", content_digest, tmp_path / "m", signing=signing)
    assert site.asked == {"/model": 1}


def test_a_huge_signature_is_none(site, tmp_path, content_digest, trusted, signer, failure):
    site.signature = b" " * (MAX_SIGNATURE_BYTES + 1)
    signing = Signing(trusted(signer))
    line = failure(fetch, f"{site.address}/model", content_digest, tmp_path / "m", signing=signing)
    assert line.endswith("model.sig is larger than 1048576 bytes: it is no signature")


def test_a_pod_that_starts_again_needs_no_store(
    site, model, content_digest, trusted, signer, failure
):
    """What is there is verified again, by the keys of now."""
    site.signature = signer.sign(model)
    target = model.parent / "target"
    uri = f"{site.address}/model"
    fetch(uri, content_digest, target, signing=Signing(trusted(signer)))
    gone = "http://127.0.0.1:1/model"
    fetch(gone, content_digest, target, signing=Signing(trusted(signer)), patience=AT_ONCE)
    other = Signing(trusted(Signer(model.parent)))
    assert "signed by another key" in failure(fetch, uri, content_digest, target, signing=other)
