"""What the operator asks of API servers: which verbs on which kinds, by the role of the chart that allows it.

The chart's roles hold nothing else: a test compares both ways. A new request of the code belongs here,
with where it is made; what no line names any more goes from the chart.
"""

from collections.abc import Mapping

Verbs = tuple[str, ...]

_OWNED: Verbs = ("create", "patch", "deletecollection")
"""`apply` writes by server-side apply; what is left of a ModelDeployment goes by its label."""

USED: Mapping[str, Mapping[str, Verbs]] = {
    # The hub, wherever ModelDeployments are.
    "assay-operator": {
        "modelclusters": ("list", "watch"),  # controller.operator: Watch
        "modelclusters/status": ("patch",),  # Hub.write_cluster
        "namespaces": ("get",),  # Hub.origin
        # The release's namespace.
        "secrets": ("get", "list", "watch"),  # Hub.secret, controller.operator: Watch
        "configmaps": ("list", "create", "patch", "delete"),  # controller.tombstones
        "leases": ("create", "get", "update"),  # controller.leader
    },
    # The hub, where ModelDeployments are looked at.
    "assay-operator-deployments": {
        "modeldeployments": ("get", "list", "watch", "patch"),  # Hub.read, read_all, hold; kopf
        "modeldeployments/status": ("patch",),  # Hub.write_status
        "modeldeployments/finalizers": ("update",),  # Hub.store_template, where owners are checked
        "controllerrevisions": ("list", "create", "patch", "delete"),  # Hub.*_template(s)
        "events": ("create",),  # Hub.emit
    },
    "assay-cluster-profiles": {"clusterprofiles": ("get", "list", "watch")},  # controller.profiles
    # A member, everywhere: resources.WATCHED by members.watch.
    "assay-member-watch": {
        "deployments": ("list", "watch"),
        "statefulsets": ("list", "watch"),
        "services": ("list", "watch"),
        "poddisruptionbudgets": ("list", "watch"),
        "horizontalpodautoscalers": ("list", "watch"),
        "httproutes": ("list", "watch"),
        "backendtrafficpolicies": ("list", "watch"),
    },
    # A member, where a hub may write.
    "assay-member-write": {
        # get: templates that only members remember (session); list, delete: retired revisions (apply)
        "controllerrevisions": ("get", "list", "delete", *_OWNED),
        # list: what a retired revision left, and whether it is gone (apply)
        "deployments": ("list", "delete", *_OWNED),
        "services": ("list", "delete", *_OWNED),
        "poddisruptionbudgets": ("list", "delete", *_OWNED),
        "horizontalpodautoscalers": ("list", "delete", *_OWNED),
        "statefulsets": _OWNED,
        "httproutes": ("delete", *_OWNED),  # delete: preview hosts
        "backendtrafficpolicies": ("delete", *_OWNED),
        "configmaps": ("get", "list", *_OWNED),  # session: the record; records: all at the start
        "secrets": ("get", *_OWNED),  # receipts: the keys
        "pods": ("list",),  # pods: why one cannot start
    },
    "assay-member-lease": {"leases": ("create", "get", "update")},  # members.lease
    "assay-member-prometheus": {"services/proxy": ("get",)},  # evidence.prometheus
}
"""Verbs by role and kind."""
