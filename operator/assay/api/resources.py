"""What a serving pod is made of: its image, and what it asks for."""

from typing import Annotated

import pydantic

from .fields import Model

Image = Annotated[str, pydantic.Field(min_length=1, max_length=512)]
"""Where a container image is."""

Quantity = Annotated[
    str, pydantic.Field(max_length=32, pattern=r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi)?$")
]


class ResourceAmounts(Model):
    """Amounts of CPU and memory in Kubernetes quantities."""

    cpu: Quantity | None = pydantic.Field(None, description='CPU, for instance "250m".')
    memory: Quantity | None = pydantic.Field(None, description='Memory, for instance "256Mi".')


class Resources(Model):
    """What one serving pod asks for and may use."""

    requests: ResourceAmounts = pydantic.Field(
        ResourceAmounts(cpu="100m", memory="192Mi"), description="What is reserved for each pod."
    )
    limits: ResourceAmounts = pydantic.Field(
        ResourceAmounts(memory="512Mi"), description="What each pod may use at most."
    )
