"""Sending the results of the epochs to a server."""

from __future__ import annotations

from collections.abc import Mapping

from minikeras.callbacks.base import Callback
from minikeras.callbacks.logs import plain
from minikeras.utils.warning import warn


class RemoteMonitor(Callback):
    """Sends the results of each epoch to a server, by HTTP POST.

    Parameters
    ----------
    root : str
        The server. Default ``'http://localhost:9000'``.
    path : str
        Where on the server. Default ``'/publish/epoch/end/'``.
    field : str
        The form field that holds the results as JSON. Default ``'data'``.
    headers : dict of str to str, optional
        Further HTTP headers.
    send_as_json : bool
        Whether the JSON itself is the body, of type ``application/json``, in place of a form.
        Default False.

    Raises
    ------
    ValueError
        If `root` does not begin with ``http://`` or ``https://``.

    Warns
    -----
    UserWarning
        If the server can't be reached in 10 seconds, or answers with an error or a redirection.
        The training goes on.

    Notes
    -----
    The package `requests`, which Keras uses for this, is not needed. Keras 2.2.4 waits without
    limit, does not look at the answer, and follows redirections; those are not followed here,
    since the results would not be sent along.

    Examples
    --------
    >>> monitor = RemoteMonitor("http://127.0.0.1:9000", send_as_json=True)
    >>> monitor.body(0, {"loss": 0.5})
    b'{"epoch": 0, "loss": 0.5}'
    """

    TIMEOUT = 10.0

    def __init__(
        self,
        root: str = "http://localhost:9000",
        path: str = "/publish/epoch/end/",
        field: str = "data",
        headers: Mapping[str, str] | None = None,
        send_as_json: bool = False,
    ) -> None:
        super().__init__()
        if not root.lower().startswith(("http://", "https://")):
            raise ValueError(
                f"RemoteMonitor: root must begin with http:// or https://, got {root!r}."
            )
        self.root = root
        self.path = path
        self.field = field
        self.headers = headers
        self.send_as_json = send_as_json

    def body(self, epoch: int, logs: Mapping | None = None) -> bytes:
        """Return what is sent for an epoch."""
        import json
        from urllib.parse import urlencode

        results = {"epoch": epoch}
        results.update((name, plain(value)) for name, value in (logs or {}).items())
        text = json.dumps(results)
        return (text if self.send_as_json else urlencode({self.field: text})).encode()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Send the results."""
        trouble = _post(
            self.root + self.path,
            self.body(epoch, logs),
            "application/json" if self.send_as_json else "application/x-www-form-urlencoded",
            dict(self.headers or {}),
            self.TIMEOUT,
        )
        if trouble:
            warn(f"RemoteMonitor could not send results to {self.root}: {trouble}.", UserWarning)


def _post(
    url: str, body: bytes, content_type: str, headers: dict[str, str], timeout: float
) -> str | None:
    """Post `body`, and return what went wrong, if anything did."""
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.request import HTTPRedirectHandler, Request, build_opener

    class Stay(HTTPRedirectHandler):
        def redirect_request(self, *args: object, **kwargs: object) -> None:
            return None  # then urllib reports the answer as an error

    try:
        request = Request(url, body, {"Content-Type": content_type, **headers}, method="POST")
        with build_opener(Stay).open(request, timeout=timeout) as answer:
            answer.read()
    except HTTPError as error:
        with error:
            place = error.headers.get("Location")
            return f"it answered {error.code}" + (f", pointing to {place}" if place else "")
    except (OSError, HTTPException, ValueError) as error:
        return str(getattr(error, "reason", error)) or type(error).__name__
    return None
