"""The client of ledgers: labels from a warehouse extract in, the labelled log out."""
