"""What can be wrong with what a person gave: exceptions whose message says what to do."""


class WorkbenchError(Exception):
    """Input that cannot be used; the message names the file, column or row, and what to do."""


class RecipeError(WorkbenchError):
    """A field of a recipe that cannot be used; the message begins with the field's path."""
