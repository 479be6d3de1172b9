"""Special experiments: what the grid leaves out, each as named cases.

Every module has `cases() -> dict[str, Case]`; a case is simulated for a number of runs and answers
with plain JSON.
"""
