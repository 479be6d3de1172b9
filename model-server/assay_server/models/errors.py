"""What can go wrong between a loaded artifact and an answer."""


class UnsupportedModelError(Exception):
    """The object in the artifact is not a classifier that can be served as asked."""


class ModelFailedError(Exception):
    """The model did not answer; `refused_input` says that it found fault with the input."""

    def __init__(self, message: str, *, refused_input: bool) -> None:
        super().__init__(message)
        self.refused_input = refused_input


class OverloadedError(Exception):
    """As many rows wait for the model as may."""

    def __init__(self) -> None:
        super().__init__("the server is overloaded: too many rows wait for the model")
