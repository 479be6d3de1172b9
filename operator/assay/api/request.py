"""The annotation ``assay.dev/request``: what a person asks of the present rollout.

The operator reads it and never writes it; ``status.lastRequest`` says what became of it. Who may
write it, and that `by` is the writer, is checked by the chart's ValidatingAdmissionPolicy. That policy
sees text and not JSON, so what could be read in two ways (a key twice) is refused here.
"""

import enum
import hashlib
import json
from dataclasses import dataclass
from typing import Annotated, Any

import pydantic

from .fields import Model, Revision, User

ANNOTATION = "assay.dev/request"

RequestId = Annotated[str, pydantic.Field(pattern=r"^[A-Za-z0-9._-]{1,64}$", max_length=64)]
RolloutId = Annotated[str, pydantic.Field(pattern=r"^[0-9a-f]{10}$", max_length=10)]
Why = Annotated[str, pydantic.Field(max_length=256)]
"""The reason that a person gives."""

_LIMIT = 4096


class Verb(enum.StrEnum):
    """What can be asked. Each is a verb of RBAC, too."""

    PAUSE = "pause"
    RESUME = "resume"
    APPROVE = "approve"
    PROMOTE = "promote"
    ABORT = "abort"
    RETRY = "retry"
    UNDO = "undo"


class Request(Model):
    """One request."""

    model_config = pydantic.ConfigDict(extra="forbid")

    id: RequestId
    verb: Verb
    rollout_id: RolloutId
    by: User
    reason: Why = ""
    step: int | None = pydantic.Field(
        None, ge=0, le=100, description="The request is void in another step than this one."
    )
    full: bool = pydantic.Field(
        False, description="promote: take the canary now, although there is no verdict."
    )
    to_revision: Revision | None = pydantic.Field(
        None, description="undo: the revision of status.history that is to serve again."
    )

    @pydantic.model_validator(mode="after")
    def _fields_go_with_the_verb(self) -> "Request":
        if self.full and self.verb is not Verb.PROMOTE:
            raise ValueError(f"full is for promote, not for {self.verb.value}")
        if (self.to_revision is not None) != (self.verb is Verb.UNDO):
            raise ValueError("toRevision is needed for undo, and only there")
        return self


@dataclass(frozen=True)
class Unreadable:
    """A request that cannot be understood.

    Attributes
    ----------
    id
        Made from the text, so that it is refused once.
    message
        Names the field, what is wrong and what to do.
    """

    id: str
    message: str


def parse(text: str) -> Request | Unreadable:
    """Return the request that an annotation holds; never raises."""
    digest = hashlib.sha256(text.encode(errors="replace")).hexdigest()[:10]
    try:
        if len(text) > _LIMIT:
            raise ValueError(f"has more than {_LIMIT} characters")
        document = json.loads(text, object_pairs_hook=_no_key_twice)
        if not isinstance(document, dict):
            raise ValueError("must be a JSON object")  # noqa: TRY004
        return Request.model_validate(document)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = "".join(f"{part}: " for part in first["loc"])
        why = where + first["msg"].removeprefix("Value error, ")
    except RecursionError:
        why = "is nested too deeply"
    except ValueError as error:
        why = str(error)
    message = f"annotation {ANNOTATION}: {why}; kubectl assay writes it as it must be"
    return Unreadable(f"unreadable-{digest}", message)


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("holds a key twice")
    return document
