"""Signatures of the OpenSSF model-signing kind, with keys: a digest is one that a trusted key signed.

The file is a Sigstore bundle (v0.3, JSON) around a DSSE envelope, whose payload is an in-toto
statement that lists the signed files with their digests. Only key mode is read: elliptic curve
P-256, P-384 or P-521. Certificates and keyless signing need a transparency log and its trust root,
which an init container without internet access cannot ask.

https://github.com/sigstore/model-transparency, https://github.com/secure-systems-lab/dsse
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay_server.artifacts.error import ArtifactError, Reason

MAX_SIGNATURE_BYTES = 1024 * 1024
_MAX_KEY_BYTES = 16 * 1024

BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://model_signing/signature/v1.0"

_CURVES = {"secp256r1": "SHA256", "secp384r1": "SHA384", "secp521r1": "SHA512"}
"""The hash that goes with each curve (Sigstore's protobuf specs)."""


@dataclass(frozen=True)
class Signers:
    """The public keys that are trusted, by the name of their file.

    Attributes
    ----------
    keys
        Public keys as `cryptography` loads them.
    """

    keys: Mapping[str, Any]

    @classmethod
    def of_directory(cls, directory: Path) -> "Signers":
        """Read every file of a mounted Secret as a public key in PEM.

        Several are fine: a new key is added before the old one goes. Raises ArtifactError
        (SignatureInvalid) when there is none, or one cannot be used: a key that was meant to count
        must not be left out silently.
        """
        keys = {}
        try:
            for file in sorted(directory.iterdir()):
                if not file.name.startswith(".") and file.is_file():
                    keys[file.name] = _public_key(file)
        except OSError as error:
            raise _refused(f"cannot read {directory}: {error.strerror}") from None
        if not keys:
            raise _refused(
                "the Secret of spec.model.signature.publicKeySecretName is not in this cluster,"
                " or holds no key"
            )
        return cls(keys)


def verify(content: bytes, signers: Signers, name: str, digest: str) -> str:
    """Return the name of the trusted key that signed `digest`.

    Parameters
    ----------
    content
        The signature file.
    name
        File name of the artifact, by which the signature of a whole folder knows it.
    digest
        `sha256:<hex>` of the artifact.

    Raises
    ------
    ArtifactError
        SignatureInvalid, with what is wrong.
    """
    bundle = _document(content, "the signature is no JSON")
    if bundle.get("mediaType") != BUNDLE:
        raise _refused(f"the signature is no Sigstore bundle of type {BUNDLE}")
    envelope = _object(bundle, "dsseEnvelope", "the signature holds no DSSE envelope")
    payload = _decoded(envelope.get("payload"), "the payload of the signature")
    signatures = envelope.get("signatures")
    if not isinstance(signatures, list) or len(signatures) != 1:
        raise _refused("the DSSE envelope must hold exactly one signature")
    signed = signatures[0].get("sig") if isinstance(signatures[0], dict) else None
    key = _signer(signers, _hint(bundle), _decoded(signed, "the signature itself"), payload)
    if envelope.get("payloadType") != PAYLOAD:
        raise _refused(f"the payload of the signature is not of type {PAYLOAD}")
    _check_statement(_document(payload, "the signed payload is no JSON"), name, digest)
    return key


def _signer(signers: Signers, hint: str | None, signature: bytes, payload: bytes) -> str:
    """Return the name of the key that made `signature`."""
    candidates = {
        name: key for name, key in signers.keys.items() if hint in (None, fingerprint(key))
    }
    if not candidates:
        names = ", ".join(signers.keys)
        raise _refused(f"signed by another key ({hint}) than those that are trusted ({names})")
    message = _pre_authentication(payload)
    for name, key in candidates.items():
        if _is_by(key, signature, message):
            return name
    names = ", ".join(candidates)
    raise _refused(f"the signature does not match its payload and key ({names})")


def _is_by(key: Any, signature: bytes, message: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    algorithm = getattr(hashes, _CURVES[key.curve.name])()
    try:
        key.verify(signature, message, ec.ECDSA(algorithm))
    except InvalidSignature:
        return False
    return True


def _pre_authentication(payload: bytes) -> bytes:
    """Return what DSSE signs: type and payload, each with its length (its PAE, v1)."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD), PAYLOAD.encode(), len(payload), payload)


def fingerprint(key: Any) -> str:
    """Return the SHA-256 of a public key in PEM, by which bundles hint at their key."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415

    text = key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(text).hexdigest()


def _check_statement(statement: dict[str, Any], name: str, digest: str) -> None:
    """Check that a statement, whose signature is good, speaks of this artifact."""
    if statement.get("_type") != STATEMENT or statement.get("predicateType") != PREDICATE:
        raise _refused(f"the signed payload is no statement of type {PREDICATE}")
    predicate = _object(statement, "predicate", "the signed statement holds no predicate")
    how = _object(predicate, "serialization", "the signed statement names no serialization")
    if how.get("method") != "files" or how.get("hash_type") != "sha256":
        found = f"{how.get('method')} by {how.get('hash_type')}"
        raise _refused(f"the model was signed as {found}; sign it as files by sha256 (the default)")
    resources = predicate.get("resources")
    if not isinstance(resources, list) or not all(isinstance(item, dict) for item in resources):
        raise _refused("the signed statement lists no files")
    _check_root(statement, resources)
    # A file that was signed by itself is ".", one of a signed folder goes by its name in there.
    mine = [item for item in resources if item.get("name") in (".", name)]
    if len(mine) != 1:
        raise _refused(f"the signature covers {_names(resources)}, not {name}")
    signed = f"sha256:{mine[0].get('digest')}"
    if mine[0].get("algorithm") != "sha256" or signed != digest:
        raise _refused(f"signed is {signed}, spec.model.digest is {digest}")


def _check_root(statement: dict[str, Any], resources: list[dict[str, Any]]) -> None:
    """Check the one digest over all files, by which other documents refer to the model."""
    whole = hashlib.sha256()
    try:
        for item in resources:
            whole.update(bytes.fromhex(item["digest"]))
        [subject] = statement["subject"]
        root = subject["digest"]["sha256"]
    except (KeyError, TypeError, ValueError):
        raise _refused("the signed statement is incomplete") from None
    if root != whole.hexdigest():
        raise _refused("the signed statement contradicts itself: its files have another root")


def _names(resources: list[dict[str, Any]]) -> str:
    names = [str(item.get("name"))[:60] for item in resources]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _hint(bundle: dict[str, Any]) -> str | None:
    material = _object(bundle, "verificationMaterial", "the signature names no key")
    if "publicKey" not in material:
        raise _refused("the signature was made by a certificate or without a key; sign with a key")
    key = material["publicKey"]
    hint = key.get("hint") if isinstance(key, dict) else None
    return hint[:64] if isinstance(hint, str) and hint else None


def _document(content: bytes, otherwise: str) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        raise _refused(otherwise) from None
    if not isinstance(document, dict):
        raise _refused(otherwise)
    return document


def _object(document: dict[str, Any], field: str, otherwise: str) -> dict[str, Any]:
    found = document.get(field)
    if not isinstance(found, dict):
        raise _refused(otherwise)
    return found


def _decoded(text: object, what: str) -> bytes:
    if not isinstance(text, str):
        raise _refused(f"{what} is missing")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _refused(f"{what} is not base64") from None


def _public_key(file: Path) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415

    with file.open("rb") as opened:
        content = opened.read(_MAX_KEY_BYTES)
    try:
        key = load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm):
        raise _refused(f"{file.name} is no public key in PEM") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in _CURVES:
        known = ", ".join(_CURVES)
        raise _refused(f"{file.name} is no elliptic curve key of a known curve ({known})")
    return key


def _refused(message: str) -> ArtifactError:
    return ArtifactError(Reason.SIGNATURE_INVALID, message)
