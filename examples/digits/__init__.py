"""The fifteen steps of a project with several classes: README.md, run by ``python -m examples.digits``."""
