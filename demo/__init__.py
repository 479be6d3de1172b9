"""The demo: one rollout story on real clusters, with real predictions and late labels.

`python -m demo` tells the story. The parts stand on their own, and the end-to-end tests use them:
`models` and `artifacts` make and serve model artifacts, `stage` installs Assay on clusters,
`stream`, `labels` and `log` are the clients, `evidence` reads and judges what Prometheus holds,
`view` and `plots` show it. Not part of the distribution.
"""
