"""The two ways in which a cluster can fail: it cannot be used at all, or it refuses one request."""

from assay.api.conditions import Reason


class MemberError(Exception):
    """A cluster cannot be used now.

    Attributes
    ----------
    reason
        For the condition ``Reachable``.
    message
        What happened, for a person; never holds a credential.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(f"{reason.value}: {message}")
        self.reason = reason
        self.message = message


class ApiError(Exception):
    """An API server answered one request with a refusal (``metav1.Status``).

    Attributes
    ----------
    status
        HTTP status code.
    reason
        The server's word for it, e.g. ``Conflict``.
    message
        The server's explanation.
    """

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message

    @property
    def conflict(self) -> bool:
        """Whether the object changed since it was read."""
        return self.status == 409

    @property
    def gone(self) -> bool:
        """Whether a watch asked for a resourceVersion that is not kept any more."""
        return self.status == 410

    @property
    def missing(self) -> bool:
        """Whether there is no such object."""
        return self.status == 404

    @property
    def unavailable(self) -> bool:
        """Whether the server says that it cannot answer now: etcd is away, or too much to do."""
        return self.status >= 500 or self.status == 429


def refused(error: ApiError) -> MemberError:
    """Return what it means for the whole member that it refuses a request which must work."""
    if error.status == 403:
        return MemberError(Reason.CREDENTIALS_INVALID, f"not allowed: {error.message}")
    return MemberError(Reason.MEMBERS_UNREACHABLE, f"HTTP {error.status}: {error.message}")
