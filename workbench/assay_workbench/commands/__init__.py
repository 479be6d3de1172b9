"""Commands of `assay` that the workbench brings. Light to import: libraries come when one is called."""
