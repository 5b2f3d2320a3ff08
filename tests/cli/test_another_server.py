"""What a command says when `HOOKYARD_URL` leads to something that is no server of hookyard."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.cli.conftest import Done, run_command

_HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"


@contextlib.contextmanager
def answering(answer: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """A server that reads a request's head and says just this; its URL, and what it was asked."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    asked.append(connection.recv(65_536))
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def ask(url: str, *arguments: str) -> Done:
    return run_command(*arguments, environment={"HOOKYARD_URL": url, "HOOKYARD_TOKEN": "secret-token"})


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (_HEAD + b"Content-Length: 6\r\n\r\n<html>", "its answer is no JSON object"),
        (_HEAD + b"Content-Length: 2\r\n\r\n[]", "its answer is no JSON object"),
        (_HEAD + b"Content-Length: 2\r\n\r\n{}", "its answer is no list of hookyard's"),
        (b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n", "its answer is no list of hookyard's"),
        (_HEAD + b"Content-Length: 50\r\n\r\n{}", "its answer broke off"),
        (b"HTTP/1.1 500 No\r\nContent-Length: 50\r\nConnection: close\r\n\r\n{}", "it answered 500"),
        (
            b'HTTP/1.1 422 No\r\nConnection: close\r\n\r\n{"detail": [{"loc": ["body"]}], "problems": 3}',
            "it answered 422",
        ),
        (b"HTTP/1.1 422 No\r\nConnection: close\r\n\r\n" + b"[" * 200_000, "it answered 422"),
        (b"220 mail.example.com ESMTP\r\n", "it does not speak HTTP"),
    ],
)
def test_a_server_of_another_kind_is_named_and_is_no_fault_of_ours(answer: bytes, said: str) -> None:
    with answering(answer) as (url, _):
        done = ask(url, "runs", "list")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"hookyard: {url}: {said} (")
    assert done.err.count("\n") == 1


def test_the_token_does_not_follow_a_redirect() -> None:
    with answering(_HEAD + b"Content-Length: 2\r\n\r\n{}") as (elsewhere, stolen):
        redirect = f"HTTP/1.1 302 Found\r\nLocation: {elsewhere}/x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        with answering(redirect.encode()) as (url, _):
            listed = ask(url, "runs", "list")
            sent = ask(url, "events", "send", "-w", "w", "workspace.member_left", "userId=a", "userName=b")
    for done in (listed, sent):
        assert done.code == 1
        assert f"it sends on to {elsewhere}/x (set HOOKYARD_URL to where the server is)" in done.err
    assert stolen == []


def test_a_password_in_the_url_is_not_shown() -> None:
    done = ask("http://me:hunter2@127.0.0.1:1", "runs", "list")
    assert done.code == 1
    assert "HOOKYARD_URL: a URL with a name or password in it is not used" in done.err
    assert "hunter2" not in done.err
