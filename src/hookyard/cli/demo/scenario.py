"""The scenario of `hookyard demo`: each step is done for real, then checked through the API, then printed.

Called by the command. A step that did not happen ends the story with what was missing and exit code 1.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import queue
import secrets
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from hookyard.cli.demo.output import DemoOutput
from hookyard.cli.demo.receiver import CHAT, GATE, GateCall, Receiver, receiving
from hookyard.cli.demo.server import DemoServer, serving
from hookyard.core.clock import from_iso
from hookyard.core.errors import HookyardError

T = TypeVar("T")

WAIT_SECONDS = 10.0
WORKSPACE = "shop"
TRIAGE = {
    "name": "Blocked-task triage",
    "events": ["task.updated"],
    "condition": "JSON.parse(ctx.changes).labels?.includes('blocked')",
    "prompt": "{{taskId}} “{{taskTitle}}” was marked blocked by {{updatedBy}}.\n"
    "Find out why, write your finding as a comment on the task, and change nothing in production.",
}
CELEBRATE = {
    "name": "Release notes",
    "events": ["task.updated"],
    "condition": "ctx.taskStatus === 'done'",
    "prompt": "Write one line of release notes for {{taskId}}.",
}
LOG_LINES = 400
LAST_LINES = 5


class ExpectationError(HookyardError):
    """A step of the story was not there when it was looked for."""


def run_scenario(telling: DemoOutput, *, keep: bool) -> int:
    """Run the whole story; 0 only if every step happened."""
    began = time.monotonic()
    telling.write(telling.text("begin"))
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hookyard-demo-")))
        server = None
        try:
            receiver = stack.enter_context(receiving())
            write_hooks(directory, receiver)
            server = stack.enter_context(serving(directory, environment()))
            telling.print("server", url=server.url, data=directory)
            telling.print("receiver", url=receiver.url)
            telling.print("hooks")
            Scenario(telling, server, receiver, directory).go()
        except (HookyardError, OSError) as error:
            telling.print("failed", what=error)
            if server is not None:
                telling.write(telling.text("log", path=server.log))
                for line in server.log_tail():
                    telling.write(f"   {line}")
            return 1
        telling.print("done", seconds=f"{time.monotonic() - began:.1f}")
        if keep:
            _keep(telling, server)
    return 0


def environment() -> dict[str, str]:
    """Return the variables of the demo's server: its receiver is on loopback, which must be allowed."""
    return {"HOOKYARD_ALLOW_PRIVATE_HOSTS": "127.0.0.1/32"}


def _keep(telling: DemoOutput, server: DemoServer) -> None:
    telling.print("kept", link=server.link)
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        telling.write("")


def write_hooks(directory: Path, receiver: Receiver) -> None:
    """Write the server's `hooks.toml`: a gate for shell commands, and a chat webhook."""
    (directory / "hooks.toml").write_text(
        f"""[[webhooks]]
name = "command-gate"
description = "Asked before every shell command"
trigger = "pre_tool"
matcher = "bash"
url = "{receiver.url}{GATE}"
on_failure = "deny"

[[webhooks]]
name = "team-chat"
description = "Told of every finished turn"
trigger = "turn_complete"
url = "{receiver.url}{CHAT}"
format = "slack"
""",
        encoding="utf-8",
    )


@dataclass(frozen=True, slots=True)
class Scenario:
    """The steps, in their order."""

    telling: DemoOutput
    server: DemoServer
    receiver: Receiver
    folder: Path

    def go(self) -> None:
        """Do and tell every step.

        Raises:
            DidNotHappenError: One of them did not happen.
        """
        secret = self._set_up()
        callbacks = [self._callback(spec) for spec in (TRIAGE, CELEBRATE)]
        task_id = self._deliver(secret)
        event = self._event(task_id)
        run_id = self._why(event, callbacks)
        self._gates(run_id)
        run = self._finished(run_id)
        self._commented(run, task_id)
        self._notified()

    def _set_up(self) -> str:
        """Create a workspace with its GitHub integration, directory and agent; return the integration's secret."""
        say, api = self.telling.print, self.server.api
        api("POST", "/workspaces", {"id": WORKSPACE, "name": "Shop"})
        secret = secrets.token_hex(16)
        api("PUT", f"/workspaces/{WORKSPACE}/sources/github", {"secret": secret})
        say("workspace", name=WORKSPACE)
        work = self.folder / "work"
        (work / "releases").mkdir(parents=True)
        (work / "releases" / "current").write_text("v41\n", encoding="utf-8")
        log = "".join(f"09:{n // 60:02}:{n % 60:02} WARN bank-b timed out after 30 s\n" for n in range(LOG_LINES))
        (work / "pay-callback.log").write_text(log, encoding="utf-8")
        script = self.folder / "script.json"
        script.write_bytes(_resource("script.json"))
        profile = {"name": "triage", "kind": "built-in", "model": f"scripted:{script}", "folder": str(work)}
        api("POST", "/agent-profiles", {**profile, "authors": "anyone"})
        return secret

    def _callback(self, spec: Mapping[str, Any]) -> str:
        made = self.server.api("POST", f"/workspaces/{WORKSPACE}/callbacks", {**spec, "agent": "triage"})
        self.telling.print(
            "callback", name=spec["name"], events=" + ".join(spec["events"]), condition=spec["condition"]
        )
        return str(made["id"])

    def _deliver(self, secret: str) -> str:
        """Send GitHub's delivery: forged, real, and repeated."""
        body = _resource("github_issues_labeled.json")
        payload = json.loads(body)
        task_id = f"{payload['repository']['full_name']}#{payload['issue']['number']}"
        self._expect(self._send(body, "not the secret") == 401, "the forged delivery was refused")
        self.telling.print("forged")
        self._expect(self._send(body, secret) == 202, "the delivery was accepted")
        self.telling.print("delivery", task=task_id, title=payload["issue"]["title"])
        before = self._run_count()
        self._expect(self._send(body, secret) in (200, 202), "the repeated delivery was answered")
        self._expect(self._run_count() == before, "the repeated delivery started nothing")
        self.telling.print("again")
        return task_id

    def _send(self, body: bytes, secret: str) -> int:
        signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {
            "X-GitHub-Event": "issues",
            "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
            "X-Hub-Signature-256": f"sha256={signature}",
        }
        status, _ = self.server.call("POST", f"/in/github/{WORKSPACE}", raw=body, headers=headers)
        return status

    def _run_count(self) -> int:
        return len(self.server.api("GET", f"/workspaces/{WORKSPACE}/runs?limit=100")["items"])

    def _event(self, task_id: str) -> dict[str, Any]:
        found = self._named("task.updated", task_id)
        self._expect(found is not None, f"task.updated on {task_id} was stored")
        assert found is not None
        self.telling.print("event", name=found["eventName"], task=task_id, changes=found["variables"]["changes"])
        return found

    def _named(self, name: str, task_id: str) -> dict[str, Any] | None:
        """Return the newest event of a name on the task, with its verdicts."""
        events = self.server.api("GET", f"/workspaces/{WORKSPACE}/events?limit=100")["items"]
        for event in events:
            whole: dict[str, Any] = self.server.api("GET", f"/workspaces/{WORKSPACE}/events/{event['id']}")
            if whole["eventName"] == name and whole["variables"].get("taskId") == task_id:
                return whole
        return None

    def _why(self, event: Mapping[str, Any], callbacks: list[str]) -> str:
        """Show which callback ran and why the other did not; return the run's id."""
        verdicts = {verdict["callbackId"]: verdict for verdict in event["callbacks"]}
        triage, celebrate = (verdicts.get(callback) for callback in callbacks)
        self._expect(bool(triage and triage.get("runId")), "the callback whose condition holds started a run")
        self._expect(bool(celebrate) and not (celebrate or {}).get("runId"), "the other callback started none")
        assert triage is not None
        assert celebrate is not None
        self.telling.print("started", name=triage["name"], run=triage["runId"])
        self.telling.print("skipped", name=celebrate["name"], gate=celebrate["gate"])
        return str(triage["runId"])

    def _gates(self, run_id: str) -> None:
        """Show what the gate was asked while the agent ran: first a modification, then a deny."""
        modified = self._next_asked()
        self.telling.print("asked", command=modified.command)
        self._expect(modified.result == "modify", "the gate modified the first command")
        self.telling.print("modified", command=modified.modified)
        denied = self._next_asked()
        self.telling.print("asked", command=denied.command)
        self._expect(denied.result == "deny", "the gate denied the second command")
        self.telling.print("denied", reason=denied.message)
        run = self._finished_run(run_id)
        calls = {json.loads(call["args"])["command"]: call for call in run["toolCalls"] if call["name"] == "bash"}
        self._expect(len(calls) == 2, "both commands are in the run")
        output = next(call["result"] for call in calls.values() if "WARN" in str(call["result"]))
        lines = str(output).count("WARN")
        self._expect(lines == LAST_LINES, f"the modified command ran and not the original ({lines} lines came back)")
        self.telling.print("ran", lines=lines)
        kept = self.folder / "work" / "releases" / "current"
        self._expect(kept.exists(), "the denied command did not run")
        self.telling.print("untouched", file="releases/current")

    def _next_asked(self) -> GateCall:
        try:
            return self.receiver.asked.get(timeout=WAIT_SECONDS)
        except queue.Empty:
            raise ExpectationError("the gate was asked about a command of the agent") from None

    def _finished_run(self, run_id: str) -> dict[str, Any]:
        def finished() -> dict[str, Any] | None:
            run: dict[str, Any] = self.server.api("GET", f"/workspaces/{WORKSPACE}/runs/{run_id}")
            return run if run["status"] not in ("queued", "running") else None

        return self._until(finished, f"run {run_id} finished")

    def _finished(self, run_id: str) -> dict[str, Any]:
        run = self._finished_run(run_id)
        self._expect(run["status"] == "succeeded", f"run {run_id} succeeded (it {run['status']}: {run.get('error')})")
        results = {decision["result"] for decision in run["decisions"]}
        self._expect({"deny", "modify"} <= results, "the run keeps what its webhooks decided")
        return run

    def _commented(self, run: Mapping[str, Any], task_id: str) -> None:
        """Show the agent's comment and its event, which has the run as its cause."""
        path = f"/workspaces/{WORKSPACE}/tasks/{quote(task_id, safe='')}/comments"
        comments = [comment["content"] for comment in self.server.api("GET", path)["items"]]
        self._expect(any("bank-b" in text for text in comments), "the agent commented on the task")
        self.telling.print("commented", task=task_id, text=_short(comments[-1]))
        event = self._until(lambda: self._named("task.commented", task_id), "the comment is an event")
        self._expect(
            any(link["runId"] == run["id"] for link in event["causes"]), "the comment's event has the run as its cause"
        )
        self.telling.print("caused", event=event["eventName"])
        seconds = f"{from_iso(run['finishedAt']) - from_iso(run['startedAt']):.1f}"
        self.telling.print(
            "finished", run=run["id"], status=run["status"], seconds=seconds, answer=_short(run["answer"])
        )

    def _notified(self) -> None:
        try:
            message = self.receiver.told.get(timeout=WAIT_SECONDS)
        except queue.Empty:
            raise ExpectationError("the chat room was told of the finished turn") from None
        self._expect("blocks" in message or "text" in message, "the notification has Slack's shape")
        self.telling.print("notified", text=_short(str(message.get("text") or message), 90))

    def _until(self, look: Callable[[], T | None], what: str) -> T:
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            found = look()
            if found is not None:
                return found
            time.sleep(0.05)
        raise ExpectationError(what)

    def _expect(self, happened: bool, what: str) -> None:
        if not happened:
            raise ExpectationError(what)


def _resource(name: str) -> bytes:
    return resources.files("hookyard.cli.demo").joinpath(name).read_bytes()


def _short(text: str, most: int = 110) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
