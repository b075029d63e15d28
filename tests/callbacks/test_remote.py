"""Against a server of our own, in a thread."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs

import numpy as np
import pytest

from minikeras.callbacks import RemoteMonitor
from tests.callbacks.driving import drive, fit


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append((self.path, dict(self.headers), body.decode()))
        code, headers = self.server.answer
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.seen, server.answer = [], (200, {})
    server.root = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_form_with_one_field(server):
    fit(callbacks=[RemoteMonitor(server.root)])

    assert len(server.seen) == 2
    path, headers, body = server.seen[1]
    assert path == "/publish/epoch/end/"
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    (text,) = parse_qs(body)["data"]
    sent = json.loads(text)
    assert sent["epoch"] == 1
    assert sent.keys() == {"epoch", "loss", "mean_absolute_error"}


def test_path_field_and_headers(server):
    monitor = RemoteMonitor(server.root, "/here", "results", {"X-Token": "secret"})
    drive(monitor, [{"loss": 0.5}])

    ((path, headers, body),) = server.seen
    assert path == "/here"
    assert headers["X-Token"] == "secret"
    assert json.loads(parse_qs(body)["results"][0]) == {"epoch": 0, "loss": 0.5}


def test_json(server):
    drive(RemoteMonitor(server.root, send_as_json=True), [{"loss": np.float32(0.5)}])

    ((_, headers, body),) = server.seen
    assert headers["Content-Type"] == "application/json"
    assert json.loads(body) == {"epoch": 0, "loss": 0.5}


def test_numpy_values_are_sent_as_numbers():
    monitor = RemoteMonitor(send_as_json=True)
    logs = {"a": np.float64(0.5), "b": np.array(2), "c": np.array([1, 2])}

    assert json.loads(monitor.body(3, logs)) == {"epoch": 3, "a": 0.5, "b": 2, "c": [1, 2]}
    assert json.loads(monitor.body(3)) == {"epoch": 3}


def test_a_server_that_is_not_there_is_a_warning(server):
    closed = HTTPServer(("127.0.0.1", 0), Handler)
    root = f"http://127.0.0.1:{closed.server_port}"
    closed.server_close()

    with pytest.warns(UserWarning, match=f"could not send results to {root}: .*refused"):
        model = fit(callbacks=[RemoteMonitor(root)])
    assert model.history.epoch == [0, 1]


@pytest.mark.parametrize("root", ["http://", "http://127.0.0.1:notaport", "http://[::1"])
def test_an_address_that_is_none_is_a_warning(server, root):
    with pytest.warns(UserWarning, match="RemoteMonitor could not send results"):
        drive(RemoteMonitor(root, path=""), [{"loss": 0.5}])


def test_a_server_that_refuses_is_a_warning(server):
    server.answer = (500, {})

    with pytest.warns(UserWarning, match="it answered 500"):
        drive(RemoteMonitor(server.root), [{"loss": 0.5}])


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("place", ["file:///etc/passwd", "ftp://127.0.0.1/", "/elsewhere"])
def test_no_redirection_is_followed(server, code, place):
    server.answer = (code, {"Location": place})

    with pytest.warns(UserWarning, match=f"it answered {code}, pointing to {place}"):
        drive(RemoteMonitor(server.root), [{"loss": 0.5}])
    assert len(server.seen) == 1


def test_a_server_that_says_nothing_is_given_up(monkeypatch):
    silent = HTTPServer(("127.0.0.1", 0), Handler)  # it listens, and nobody answers
    monkeypatch.setattr(RemoteMonitor, "TIMEOUT", 0.05)
    try:
        with pytest.warns(UserWarning, match="timed out"):
            drive(RemoteMonitor(f"http://127.0.0.1:{silent.server_port}"), [{"loss": 0.5}])
    finally:
        silent.server_close()


@pytest.mark.parametrize("root", ["localhost:9000", "file:///etc/passwd", "ftp://host"])
def test_another_scheme_is_refused(root):
    with pytest.raises(ValueError, match="must begin with http:// or https://, got"):
        RemoteMonitor(root)


def test_the_default_address():
    monitor = RemoteMonitor()

    assert monitor.root + monitor.path == "http://localhost:9000/publish/epoch/end/"
