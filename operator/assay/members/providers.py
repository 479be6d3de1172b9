"""The access providers that this operator trusts: programs that it may run for credentials.

The list comes from whoever installs the operator, in the file of KEP-5339 (``{"providers": [{"name",
"execConfig"}]}``), and from nowhere else: a ClusterProfile names providers, it never brings one.
"""

from typing import Annotated, Literal

import pydantic
from pydantic.alias_generators import to_camel

PROTOCOL = "client.authentication.k8s.io/v1"

_Text = Annotated[str, pydantic.Field(pattern=r"^[^\x00]*$")]


class _Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore"
    )


class Variable(_Model):
    """An environment variable."""

    name: str = pydantic.Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    value: _Text = pydantic.Field("", repr=False)


class ExecConfig(_Model):
    """How a program is run (``ExecConfig`` of a kubeconfig). Nobody is there to be asked anything.

    Attributes
    ----------
    command
        Absolute path in the operator's container.
    env
        Variables besides the operator's own.
    provide_cluster_info
        Whether the program is told of the cluster.
    """

    api_version: Literal["client.authentication.k8s.io/v1"]
    command: str = pydantic.Field(pattern=r"^/[^\x00]+$")
    args: tuple[_Text, ...] | None = None
    env: tuple[Variable, ...] | None = None
    provide_cluster_info: bool = False
    interactive_mode: Literal["Never", "IfAvailable"] = "Never"


class Provider(_Model):
    """One program that gives credentials.

    Attributes
    ----------
    name
        What a ClusterProfile calls it.
    profile_sourced_cli_args_policy, profile_sourced_env_vars_policy
        Nothing of a ClusterProfile becomes an argument or a variable.
    """

    name: str = pydantic.Field(min_length=1)
    exec_config: ExecConfig
    profile_sourced_cli_args_policy: Literal["", "Ignore"] = pydantic.Field(
        "Ignore", alias="profileSourcedCLIArgsPolicy"
    )
    profile_sourced_env_vars_policy: Literal["", "Ignore"] = "Ignore"


class _File(_Model):
    providers: tuple[Provider, ...]


def parse(text: str) -> tuple[Provider, ...]:
    """Return the providers of a file, in its order, which is that of preference.

    Raises
    ------
    ValueError
        Naming the field that is wrong, never a value.
    """
    try:
        found = _File.model_validate_json(text).providers
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{where}: {first['msg']}" if where else first["msg"]) from None
    names = [provider.name for provider in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"providers: name {twice[0]!r} is there twice")
    return found
