"""Receipts: only those that were issued verify, and they say what was put in.

An input is a byte that chooses, then text: a token, or lines from which a receipt is made (revision,
user, class names).
"""

from assay_server.keys import KeyRing
from assay_server.receipts import Issuer, ReceiptError, Verifier, stratum_of
from tests.fuzz import subjects
from tests.fuzz.targets import WrongError

_TOKEN = 0
_STATUSES = {"malformed", "wrong_deployment", "forged"}


class Target:
    """Verifier and Issuer."""

    max_bytes = 2500
    words = ("a1.", "a2.", "a3.", ".", "=", "-_", "AAAA", "\n", "\x1f", "none/0", "idle/255")

    def __init__(self) -> None:
        self._ring = KeyRing({"k1": subjects.SECRET}, "k1", salt=subjects.SALT)
        self._verifier = Verifier(self._ring, subjects.NAMESPACE, subjects.DEPLOYMENT)
        self._issued = subjects.issued(8)

    def seeds(self) -> list[bytes]:
        """Return good receipts, and lines of which some are made."""
        tokens = [bytes([_TOKEN]) + token.encode() for token in self._issued]
        old = [
            token.replace(b"a3.", version) for token in tokens[:1] for version in (b"a1.", b"a2.")
        ]
        return [*tokens, *old, b"\1r1\nalice\nno\nyes", b"\1\n\n0\n1\n2", "\1r\n\nnö\nja".encode()]

    def __call__(self, data: bytes) -> None:
        """Verify a token, or make one and verify that."""
        text = data[1:].decode(errors="ignore")
        if data[:1] == bytes([_TOKEN]):
            self._verify(text)
        else:
            self._make(text)

    def _verify(self, token: str) -> None:
        try:
            self._verifier.verify(token)
        except ReceiptError as error:
            if error.status not in _STATUSES:
                raise
        else:
            if token not in self._issued:
                raise WrongError("a receipt verifies that nobody issued")

    def _make(self, text: str) -> None:
        # The separator is no part of names: who names a class so gets no receipts for it.
        revision, user, *classes = [*text.replace("\x1f", "").split("\n"), "", ""][:20]
        names = list(dict.fromkeys([*classes, "a", "b"]))
        stratum = stratum_of(text[:20])
        issuer = Issuer(
            self._ring,
            namespace=subjects.NAMESPACE,
            deployment=subjects.DEPLOYMENT,
            member=subjects.MEMBER,
            revision=revision,
            classes=names,
        )
        bins = [700] if len(names) == 2 else [[700] * len(names)]
        [token] = issuer.issue(stratum, [len(names) - 1], bins, subjects.NOW, user or None)
        try:
            receipt = self._verifier.verify(token)
        except ReceiptError as error:
            if error.status == "malformed" and len(token) > 2048:
                return
            raise
        said = (receipt.revision, receipt.stratum, receipt.predicted, receipt.served_at)
        if said != (revision, stratum, names[-1], subjects.NOW):
            raise WrongError("a receipt says something else than what was put in")
        if (receipt.user is None) == bool(user):
            raise WrongError("a receipt has lost its user")
