"""What can be wrong with an artifact: one exception, with a reason that stays the same."""

import enum


class Reason(enum.StrEnum):
    """Why an artifact cannot be served. Users see these words in status; they do not change."""

    INVALID_DIGEST = "InvalidDigest"
    """The digest asked for is none."""
    INVALID_URI = "InvalidURI"
    """The URI cannot be understood, or its scheme is not known."""
    CREDENTIALS_INVALID = "CredentialsInvalid"
    """The Secret with credentials is missing, incomplete or cannot be used."""
    FETCH_FAILED = "FetchFailed"
    """The artifact, or its signature, could not be read from where it is."""
    SIZE_LIMIT = "SizeLimit"
    """The artifact is larger than it may be."""
    DIGEST_MISMATCH = "DigestMismatch"
    """The artifact is not the one that the digest names."""
    SIGNATURE_INVALID = "SignatureInvalid"
    """No trusted key has signed the artifact."""
    UNSUPPORTED_FORMAT = "UnsupportedFormat"
    """The content is not what its format promises, or cannot be loaded here."""
    UNSAFE_FORMAT = "UnsafeFormat"
    """Loading would run code of the artifact, and that is not allowed here."""
    UNTRUSTED_TYPES = "UntrustedTypes"
    """The artifact names types that the operator does not trust."""
    VERSION_MISMATCH = "VersionMismatch"
    """The model was saved with another minor version of scikit-learn."""


class ArtifactError(Exception):
    """An artifact that cannot be served; reads as one line, `Reason: what happened`.

    Attributes
    ----------
    transient
        Whether the same attempt may succeed a little later.
    """

    def __init__(self, reason: Reason, message: str, *, transient: bool = False) -> None:
        super().__init__(f"{reason}: {' '.join(message.split())}")
        self.reason = reason
        self.transient = transient
