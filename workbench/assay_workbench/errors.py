"""What can be wrong with what a person gave: one exception, whose message says what to do."""


class WorkbenchError(Exception):
    """Input that cannot be used; the message names the file, column or row, and what to do."""
