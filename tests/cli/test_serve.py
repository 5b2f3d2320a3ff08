"""`hookyard serve` as a user meets it: the ready line, the login link, the end, and what keeps it from starting."""

from __future__ import annotations

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from hookyard.cli.signals import shutdown_signals
from hookyard.wiring.container import prepare_directory
from tests.cli.conftest import run_command
from tests.e2e.server import ServerProcess, eventually


def one_line(text: str) -> str:
    """The text, which must be one line."""
    assert text.count("\n") == 1, text
    assert "Traceback" not in text
    return text


def test_the_first_start_prints_a_link_that_opens_a_session_once(tmp_path: Path) -> None:
    first = run_until_ready(tmp_path)
    assert re.fullmatch(
        r"hookyard is ready at http://127\.0\.0\.1:\d+\nsign in .*: http://127\.0\.0\.1:\d+/login/\S+\n", first
    )
    again = run_until_ready(tmp_path)
    assert "/login/" not in again


def run_until_ready(data: Path, *arguments: str) -> str:
    """What a server prints on stdout, ended by SIGTERM once it is ready.

    Args:
        data: Its folder.
        arguments: What Python is started with instead of `hookyard serve`.
    """
    env = {name: value for name, value in os.environ.items() if not name.startswith("HOOKYARD_")}
    usual = ("-m", "hookyard.cli", "serve", "--port", "0", "--data", str(data))
    command = [sys.executable, *(arguments or usual)]
    with subprocess.Popen(command, bufsize=0, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        process.terminate()
        rest, log = process.communicate(timeout=60)
    assert process.returncode == 0, log.decode()
    assert b"Traceback" not in log, log.decode()
    return (first + rest).decode()


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_a_closed_terminal_ends_it_in_order(tmp_path: Path, command: str) -> None:
    run_until_ready(tmp_path)  # makes the database
    env = {name: value for name, value in os.environ.items() if not name.startswith("HOOKYARD_")}
    arguments = [sys.executable, "-m", "hookyard.cli", command, "--data", str(tmp_path)]
    arguments += ["--port", "0"] if command == "serve" else []
    with subprocess.Popen(arguments, bufsize=0, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert b"ready" in process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        _, log = process.communicate(timeout=60)
    assert process.returncode == 0, log.decode()


def test_nohup_is_heard() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert signal.SIGHUP not in shutdown_signals()
    finally:
        signal.signal(signal.SIGHUP, before)
    assert signal.SIGHUP in shutdown_signals()


_WHEN_READY = """
import sys
from hookyard.cli import serve
serve.announce = lambda settings, link: print("LOADED", *sys.modules, flush=True)
sys.argv = ["hookyard", "serve", "--port", "0", "--data", sys.argv[1]]
from hookyard.cli.main import main
main()
"""


def test_a_server_is_ready_before_it_has_what_only_some_will_ask_for(tmp_path: Path) -> None:
    run_until_ready(tmp_path)  # makes the database
    loaded = set(run_until_ready(tmp_path, "-c", _WHEN_READY, str(tmp_path)).split())
    assert {"hookyard.web.app", "hookyard.web.pages"} <= loaded
    late = {"aiohttp", "alembic", "fastapi", "jinja2", "psycopg", "pydantic_ai", "yaml"}
    parts = ("web.pages.table", "web.api.application", "wiring.worker", "hooks.facade")
    assert not loaded & (late | {f"hookyard.{part}" for part in parts})


def test_a_port_in_use_is_one_line_with_the_mend(home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run_command("serve", "--port", str(port), "--data", str(home))
    assert (done.code, done.out) == (1, "")
    assert f"127.0.0.1:{port}" in one_line(done.err)
    assert "--port" in done.err
    assert not home.exists()


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        (("--host", "no.such.host.invalid"), {}, ("no.such.host.invalid", "127.0.0.1")),
        (("--host", "a..host"), {}, ("a..host", "127.0.0.1")),
        (("--host", "203.0.113.7"), {}, ("203.0.113.7", "--host")),
        ((), {"HOOKYARD_DATABASE_URL": "mysql://nowhere/x"}, ("HOOKYARD_DATABASE_URL", "postgresql://")),
        ((), {"HOOKYARD_EVENT_CALLBACK_DEDUP_WINDOW_MS": "soon"}, ("_EVENT_CALLBACK_DEDUP_WINDOW_MS", "whole number")),
        ((), {"HOOKYARD_EVENT_CALLBACK_MAX_QUEUE_SIZE": "inf"}, ("_EVENT_CALLBACK_MAX_QUEUE_SIZE", "finite")),
        ((), {"HOOKYARD_PORT": "eighty"}, ("HOOKYARD_PORT", "65535")),
        ((), {"HOOKYARD_ALLOW_PRIVATE_HOSTS": "10.0.0.0/99"}, ("HOOKYARD_ALLOW_PRIVATE_HOSTS",)),
    ],
)
def test_what_cannot_be_used_is_one_line_with_the_mend(
    home: Path, arguments: tuple[str, ...], environment: dict[str, str], words: tuple[str, ...]
) -> None:
    given = () if "HOOKYARD_PORT" in environment else ("--port", "0")
    done = run_command("serve", *given, "--data", str(home), *arguments, environment=environment)
    assert (done.code, done.out) == (1, "")
    assert all(word in one_line(done.err) for word in words), done.err
    assert "hunter2" not in done.err


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_a_database_that_is_away_is_waited_for_and_a_signal_ends_the_wait(home: Path, command: str) -> None:
    environment = {"HOOKYARD_DATABASE_URL": "postgresql://root:hunter2@127.0.0.1:1/x"}
    env = {name: value for name, value in os.environ.items() if not name.startswith("HOOKYARD_")} | environment
    arguments = [sys.executable, "-m", "hookyard.cli", command, "--data", str(home)]
    with subprocess.Popen(arguments, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        line = process.stderr.readline().decode()
        assert "waits for the database" in line
        assert "127.0.0.1:1" in line
        assert "hunter2" not in line
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert process.returncode is not None


def test_a_variable_that_nobody_reads_is_named_in_the_log_and_its_value_is_not(tmp_path: Path) -> None:
    mistyped = {"HOOKYARD_EVENT_CALLBACK_DEDUP_WINDOW": "1234", "HOOKYARD_ADMN_TOKEN": "hunter2"}
    with ServerProcess(tmp_path / "data", mistyped) as server:
        warnings = [line for line in server.log.read_text().splitlines() if "there is no variable" in line]
    assert len(warnings) == 2
    assert "HOOKYARD_ADMN_TOKEN, so it is ignored (did you mean HOOKYARD_ADMIN_TOKEN?)" in warnings[0]
    assert "did you mean HOOKYARD_EVENT_CALLBACK_DEDUP_WINDOW_MS?" in warnings[1]
    assert "hunter2" not in server.log.read_text()


def linked(data: Path, **environment: str) -> str:
    """The address that `login-link` gives."""
    done = run_command("login-link", "--data", str(data), environment=environment)
    assert (done.code, done.err) == (0, "")
    return done.out.partition("/login/")[0]


def test_a_login_link_leads_to_the_server_that_runs(tmp_path: Path) -> None:
    data = tmp_path / "data"
    usual = "http://127.0.0.1:8484"
    server = ServerProcess(data)
    second = ServerProcess(data)
    try:
        server.start()
        assert server.url != usual
        assert linked(data) == server.url
        assert linked(data, HOOKYARD_PORT=server.url.rpartition(":")[2]) == server.url
        assert linked(data, HOOKYARD_PUBLIC_URL="https://hooks.example.com") == "https://hooks.example.com"
        second.start()
        assert linked(data) == second.url
        assert linked(data, HOOKYARD_PORT=server.url.rpartition(":")[2]) == server.url
        assert second.stop() == 0
        assert linked(data) == server.url
        server.kill()  # what it has noted stays behind
        assert linked(data) == usual
        second.start()
        assert linked(data) == second.url
    finally:
        server.kill()
        second.kill()
    assert linked(data) == usual
    assert list((data / "hookyard.servers").iterdir()) == []


def test_a_server_serves_though_its_address_cannot_be_noted(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "hookyard.servers").write_text("a file, not a folder")
    with ServerProcess(data) as server:
        assert server.api("GET", "/workspaces")["items"] == []
        assert linked(data) == "http://127.0.0.1:8484"
        assert server.stop() == 0


def test_a_data_folder_that_cannot_be_written_is_one_line_with_the_mend(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file, not a folder")
    for data in (tmp_path / "file" / "data", Path("/proc/self/hookyard")):
        done = run_command("serve", "--port", "0", "--data", str(data))
        assert (done.code, done.out) == (1, "")
        assert str(data) in one_line(done.err)
        assert "--data" in done.err


def test_a_settings_file_without_end_is_one_line(home: Path) -> None:
    home.mkdir()
    (home / "hookyard.toml").write_text("port = " + "[" * 20_000)
    done = run_command("serve", "--data", str(home))
    assert (done.code, done.out) == (1, "")
    assert "hookyard.toml: cannot read the settings file" in one_line(done.err)


def test_servers_that_start_at_once_both_find_that_the_folder_can_be_written(tmp_path: Path) -> None:
    """In one process, as their process ids are the same where each has a container of its own."""
    together = Barrier(8, timeout=60)

    def start(_: int) -> None:
        for number in range(50):
            together.wait()
            prepare_directory(tmp_path / str(number))

    with ThreadPoolExecutor(8) as servers:
        list(servers.map(start, range(8)))
    assert [list(directory.iterdir()) for directory in tmp_path.iterdir()] == [[]] * 50


def test_a_broken_settings_file_is_one_line_with_its_place(home: Path) -> None:
    home.mkdir()
    (home / "hookyard.toml").write_text("port = = 1\n")
    done = run_command("serve", "--data", str(home))
    assert (done.code, done.out) == (1, "")
    assert "hookyard.toml" in one_line(done.err)
    assert "line 1" in done.err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("prot = 8484\n", ("'prot'", "did you mean port?")),
        ("[eventCallback]\ndedupWindow = 1\n", ("eventCallback.dedupWindow'", "eventCallback.dedupWindowMs")),
        ('[eventCallback]\ndedupWindowMs = "soon"\n', ("hookyard.toml: eventCallback.dedupWindowMs", "whole number")),
    ],
)
def test_a_setting_that_there_is_not_is_no_silence(home: Path, text: str, words: tuple[str, ...]) -> None:
    home.mkdir()
    (home / "hookyard.toml").write_text(text)
    done = run_command("serve", "--port", "0", "--data", str(home))
    assert (done.code, done.out) == (1, "")
    assert "hookyard.toml" in one_line(done.err)
    assert all(word in done.err for word in words), done.err


def test_a_database_of_a_newer_hookyard_is_left_alone(home: Path) -> None:
    home.mkdir()
    with sqlite3.connect(home / "hookyard.db") as database:
        database.execute("CREATE TABLE alembic_version (version_num varchar(32))")
        database.execute("INSERT INTO alembic_version VALUES ('9999')")
    done = run_command("serve", "--port", "0", "--data", str(home))
    assert (done.code, done.out) == (1, "")
    assert "another hookyard" in one_line(done.err)


def test_a_file_that_is_no_database_is_one_line(home: Path) -> None:
    home.mkdir()
    (home / "hookyard.db").write_bytes(b"this is no database at all" * 100)
    done = run_command("serve", "--port", "0", "--data", str(home))
    assert (done.code, done.out) == (1, "")
    assert "hookyard.db" in one_line(done.err)


def test_a_broken_hooks_file_is_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "hooks.toml").write_text('[[webhooks]]\nname = "a"\ntrigger = "pre_tool\n')
    server = ServerProcess(data)
    try:
        server.start()
        server.api("POST", "/workspaces", {"name": "W", "id": "w"})
        callback = {"name": "c", "events": ["task.created"], "prompt": "{{taskTitle}}"}
        server.api("POST", "/workspaces/w/callbacks", callback)
        server.api("POST", "/workspaces/w/tasks", {"title": "still here"})
        eventually(lambda: server.everything("/workspaces/w/runs")[0]["status"] != "queued", "the run is not held up")
        eventually(lambda: "hooks.toml" in server.log.read_text(), "the log names the file")
    finally:
        server.kill()


def test_windows_is_refused_plainly(home: Path) -> None:
    code = "import sys; from hookyard.cli.main import main; sys.platform = 'win32'; main()"
    done = subprocess.run([sys.executable, "-c", code, "serve"], capture_output=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "WSL" in one_line(done.stderr.decode())
