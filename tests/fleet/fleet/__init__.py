"""Real Kubernetes clusters for tests and the demo: local ones, or contexts of a kubeconfig.

``Fleet.up("dev", ["hub", "east", "west"])`` makes local clusters, ``Fleet.load("dev")`` finds them.
"""

from fleet.cluster import Cluster
from fleet.local import Fleet

__all__ = ["Cluster", "Fleet"]
