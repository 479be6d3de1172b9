"""Simulated trials through the shipped decision code: the proof of its error rates.

``python -m tests.simulation`` runs everything and writes ``docs/decision-quality.md``.
"""
