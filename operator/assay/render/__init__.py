"""From revision, member and status to the Kubernetes objects that should exist in that member. Pure."""
