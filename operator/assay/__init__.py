"""The Assay operator: decisions are pure, effects are thin."""
