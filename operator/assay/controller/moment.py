"""The clock of the controller: whole seconds, as the API server stores times."""

import datetime


def now() -> datetime.datetime:
    """Return the time in UTC."""
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0)
