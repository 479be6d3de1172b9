"""The field types that all kinds share: bounded strings, decimals as strings, the base model.

Kubernetes API conventions forbid floats in a spec, so thresholds and margins are strings with a
pattern; every string and list is bounded so that the CEL rules stay within their cost budget.
"""

import datetime
from decimal import Decimal
from types import EllipsisType
from typing import Annotated, Any

import pydantic
from pydantic.alias_generators import to_camel

DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"

Name = Annotated[str, pydantic.Field(min_length=1, max_length=63, pattern=DNS_LABEL)]
"""A DNS label, as most Kubernetes object names are."""

ObjectName = Annotated[
    str,
    pydantic.Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"),
]
"""A DNS subdomain: the name of any object, a Secret for instance."""

Text = Annotated[str, pydantic.Field(max_length=1024)]
"""A message for people."""

Word = Annotated[str, pydantic.Field(min_length=1, max_length=63)]
"""A short free word: a version, a region, a class label."""

Revision = Annotated[str, pydantic.Field(pattern=r"^[0-9a-f]{10}$", max_length=10)]
"""Ten hexadecimal digits that name one immutable model version as deployed."""

Digest = Annotated[str, pydantic.Field(pattern=r"^sha256:[0-9a-f]{64}$", max_length=71)]
"""The SHA-256 of the model artifact."""

Fraction = Annotated[
    str, pydantic.Field(pattern=r"^(0(\.[0-9]{1,9})?|1(\.0{1,9})?)$", max_length=11)
]
"""A decimal between 0 and 1, written as a string."""

Amount = Annotated[str, pydantic.Field(pattern=r"^[0-9]{1,9}(\.[0-9]{1,9})?$", max_length=19)]
"""A decimal from 0 on, written as a string: a cost, a margin, a limit."""

User = Annotated[str, pydantic.Field(min_length=1, max_length=256)]
"""Who did something, as the API server knows them."""

Limit = Annotated[str, pydantic.Field(pattern=r"^-?[0-9]{1,12}(\.[0-9]{1,9})?$", max_length=23)]
"""Any decimal, written as a string."""

Decimals = Annotated[str, pydantic.Field(max_length=32)]
"""Any decimal number as a string (status only)."""

Timestamp = datetime.datetime


class Model(pydantic.BaseModel):
    """Base of every API type: camelCase outside, immutable inside, unknown fields ignored.

    Unknown fields are ignored and not refused because the API server prunes them already and an
    older operator must go on working with objects that a newer CRD admitted.
    """

    model_config = pydantic.ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        frozen=True,
        extra="ignore",
        ser_json_timedelta="float",
    )

    def to_dict(self) -> dict[str, Any]:
        """Return the object as the API server takes it: camelCase, None left out, RFC 3339 times."""
        document: dict[str, Any] = self.model_dump(by_alias=True, exclude_none=True, mode="json")
        return document


def int32(default: int | EllipsisType | None, description: str, *, ge: int, le: int) -> Any:
    """Return a bounded integer field; times carry their unit in the field's name."""
    return pydantic.Field(
        default, description=description, ge=ge, le=le, json_schema_extra={"format": "int32"}
    )


def rules(*pairs: tuple[str, str]) -> dict[str, Any]:
    """Return the schema extension that carries CEL rules, given (expression, message) pairs."""
    return {
        "x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in pairs]
    }


def fraction(text: str) -> float:
    """Return the value of a decimal string.

    Raises
    ------
    decimal.InvalidOperation
        If `text` is no decimal number; the CRD's pattern refuses such text at admission.
    """
    return float(Decimal(text))
