"""The base of every error that the fleet raises on purpose."""


class FleetError(Exception):
    """Something is in the way; the message says what, and what to do about it if we know."""
