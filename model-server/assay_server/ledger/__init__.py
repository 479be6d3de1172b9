"""The ledger: takes true labels, counts each prediction once, exposes the counts."""
