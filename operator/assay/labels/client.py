"""One ledger over HTTP. Waits for one that is busy or restarting, never counts anything twice."""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests

from assay.labels.table import Line

TIMEOUT_SECONDS = 30.0
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 15.0
_AGAIN = frozenset({429, 502, 503, 504})


class LedgerError(Exception):
    """A ledger that does not take labels; the message says which and why."""


class Ledger:
    """The ledger of one member.

    Parameters
    ----------
    url
        Its base, or the whole address of its feedback path as ledgers name it to clients.
    name
        Of the ModelDeployment; may be left out when `url` is the whole address.
    token
        Sent as a bearer token.
    patience_seconds
        How long a ledger that cannot be reached or is busy is tried again.
    pause
        Called with seconds to wait.
    """

    def __init__(
        self,
        url: str,
        name: str | None,
        token: str | None = None,
        patience_seconds: float = 60.0,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.address = feedback_address(url, name)
        self._patience = patience_seconds
        self._pause = pause
        self._session = requests.Session()
        if token:
            self._session.headers["Authorization"] = f"Bearer {token}"

    def send(self, lines: Sequence[Line]) -> list[dict[str, Any]]:
        """Send labels; return the result of each, in their order.

        Sending again what may have arrived already is harmless: labels count once.

        Raises
        ------
        LedgerError
            It refused the request as a whole, or could not be reached for `patience_seconds`.
        """
        body = {"labels": [line.entry for line in lines]}
        answer = self._insist(
            lambda: self._session.post(self.address, json=body, timeout=TIMEOUT_SECONDS)
        )
        results = _json(answer).get("results")
        # 421 says that all belong to other members, and still gives a result for each.
        if answer.status_code not in {200, 421} or not isinstance(results, list):
            raise self._refused(answer)
        if len(results) != len(lines):
            raise LedgerError(
                f"{self.address}: {len(results)} results for {len(lines)} labels: is this a ledger?"
            )
        return results

    def log(self) -> Iterator[bytes]:
        """Yield the labelled log in pages, each a CSV with its header. Raises `LedgerError`."""
        page: str | None = self.address.removesuffix("/feedback") + "/labels?format=csv"
        while page is not None:
            answer = self._insist(partial(self._session.get, page, timeout=TIMEOUT_SECONDS))
            if answer.status_code != 200:
                raise self._refused(answer)
            yield answer.content
            following = answer.links.get("next", {}).get("url")
            page = None if following is None else urljoin(self.address, following)

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def _insist(self, ask: Callable[[], requests.Response]) -> requests.Response:
        waited, pause = 0.0, _FIRST_PAUSE_SECONDS
        while True:
            try:
                answer = ask()
                if answer.status_code not in _AGAIN:
                    return answer
                problem = _error(answer)
                asked = answer.headers.get("Retry-After", "")
                pause = max(pause, float(asked)) if asked.isdigit() else pause
            except requests.RequestException as error:
                problem = f"{type(error).__name__}"
            if waited >= self._patience:
                raise LedgerError(f"{self.address}: gave up after {waited:.0f} s: {problem}")
            pause = min(pause, _LONGEST_PAUSE_SECONDS, self._patience - waited)
            self._pause(pause)
            waited += pause
            pause *= 2

    def _refused(self, answer: requests.Response) -> LedgerError:
        advice = "; is the token right?" if answer.status_code in {401, 403} else ""
        return LedgerError(
            f"{self.address}: answered {answer.status_code}: {_error(answer)}{advice}"
        )


def feedback_address(url: str, name: str | None) -> str:
    """Return the address to which labels go. Raises `LedgerError` when `url` does not say."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise LedgerError(f"{url!r} is no http or https URL of a ledger")
    if parts.path.endswith("/feedback"):
        return url
    if not name:
        raise LedgerError(f"{url}: which ModelDeployment? Give its name or the whole address")
    return f"{url.rstrip('/')}/v2/models/{name}/feedback"


def _json(answer: requests.Response) -> dict[str, Any]:
    try:
        document = answer.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _error(answer: requests.Response) -> str:
    return str(_json(answer).get("error") or answer.reason or "no reason given")
