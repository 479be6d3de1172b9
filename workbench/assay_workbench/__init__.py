"""The workbench: what a data scientist does before and beside a rollout, without a cluster.

`commands` are what `assay` calls. `evaluate`: `dataset` reads a table in batches, `candidate` is a
model as the server would serve it, `scoring` brings both together into a `sample`; `evaluation` makes
every figure of it (`confusion`, `ranking`, `losses`, `calibration`, `thresholds`, `comparison`,
with the `intervals`); `document`, `text` and `html` show it. `train`: a `recipe` and a `table` become a
`pipeline` (`estimators`, `clipping`, `search`); `training` puts it together with what is known of it
(`exploration`, `interpretation`, `contributions`); `artifact` stores it, `card` and `training_page` tell
of it, and `pinning` makes the bytes the same everywhere. `batch` is `score` and `compare-scores`, `packaging` is
`package`; both ask models through `scoring` too.
`rollout_page` and `rollout_plots` draw what `assay report` found of a rollout, from its document alone.
"""
