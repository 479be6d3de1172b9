"""Model artifacts: brought by URI, checked, and loaded without running code from the artifact.

`fetch` runs in the pod's init container, `load` in the server. Both trust a digest, never a name.
"""

from assay_server.artifacts.credentials import Credentials
from assay_server.artifacts.digest import check_digest, digest_of
from assay_server.artifacts.download import MAX_BYTES, Patience, Signing, fetch
from assay_server.artifacts.error import ArtifactError, Reason
from assay_server.artifacts.model import Format, LoadedModel, load
from assay_server.artifacts.signature import Signers
from assay_server.artifacts.uri import local_path, without_secrets

__all__ = [
    "MAX_BYTES",
    "ArtifactError",
    "Credentials",
    "Format",
    "LoadedModel",
    "Patience",
    "Reason",
    "Signers",
    "Signing",
    "check_digest",
    "digest_of",
    "fetch",
    "load",
    "local_path",
    "without_secrets",
]
