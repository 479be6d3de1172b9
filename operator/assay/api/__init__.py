"""The API group ``assay.dev``: typed, validated, documented. The only place that knows field names."""

GROUP = "assay.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
FINALIZER = f"{GROUP}/cleanup"
FIELD_MANAGER = "assay"
SCALE_MANAGER = "assay-scale"
"""Who holds the number of a Deployment's pods while it passes to a HorizontalPodAutoscaler."""
