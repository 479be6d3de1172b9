"""The workbench: what a data scientist does before and beside a rollout, without a cluster.

`commands` are what `assay` calls. `evaluate`: `dataset` reads a table in batches, `candidate` is a
model as the server would serve it, `scoring` brings both together into a `sample`; `evaluation` makes
every figure of it (`confusion`, `ranking`, `losses`, `calibration`, `thresholds`, `comparison`,
with the `intervals`); `document`, `text` and `html` show it.
`rollout_page` and `rollout_plots` draw what `assay report` found of a rollout, from its document alone.
"""
