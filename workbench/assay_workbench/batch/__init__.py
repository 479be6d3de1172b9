"""Batch scoring: tables of any size to one Parquet file for each shard of their rows.

`source` says which files and which shards there are, `part` is one output file and what it says of
itself, `run` scores, `outcome` brings the outputs of two models before the judge.
"""
