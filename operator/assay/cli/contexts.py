"""The members that a person can reach: contexts of their own kubeconfig."""

from pathlib import Path

import click

from assay.api.model_cluster import ModelClusterSpec

from .cluster import Cluster


def contexts_option(command: click.decorators.FC) -> click.decorators.FC:
    """Add what says which contexts are members."""
    return click.option(
        "--contexts",
        default="",
        metavar="MEMBER[=CONTEXT],...",
        help="Contexts of the kubeconfig for members; MEMBER alone: the context of the same name.",
    )(command)


class Members:
    """The members that the caller can reach.

    Parameters
    ----------
    contexts
        As given by `contexts_option`.

    Raises
    ------
    InputError
        If the kubeconfig has no such context.
    """

    def __init__(self, hub: Cluster, kubeconfig: Path | None, contexts: str) -> None:
        self._hub = hub
        self._clusters = {
            name: Cluster(f"member {name}", context, kubeconfig)
            for name, context in _contexts(contexts).items()
        }

    @property
    def names(self) -> tuple[str, ...]:
        """Those that were named."""
        return tuple(self._clusters)

    def get(self, name: str, spec: ModelClusterSpec | None) -> Cluster | None:
        """Return how to reach a member; the hub's own way if it is one itself."""
        if name in self._clusters:
            return self._clusters[name]
        is_hub = spec is not None and spec.cluster_source.in_cluster is not None
        return self._hub if is_hub else None


def _contexts(text: str) -> dict[str, str]:
    found = {}
    for word in filter(None, (item.strip() for item in text.split(","))):
        member, _, context = word.partition("=")
        found[member] = context or member
    return found
