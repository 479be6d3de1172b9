"""The model server and the ledger: predictions with receipts out, true labels in, counts out."""

__version__ = "0.1.0"
