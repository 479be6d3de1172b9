"""Broken input of every kind, against the model server and the ledger.

``python -m tests.fuzz`` runs everything and writes ``results.json`` and ``docs/fuzzing.md``.
"""
