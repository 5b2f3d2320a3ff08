"""`Hooks`: what an agent holds. Fire a point, get a decision.

The one entry to this half for agents, adapters, the bridge, the server and users of the Python API. It loads the
configuration, notices when it changes, and hands each firing to `dispatch`. A point to which nothing listens costs next
to nothing.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from hookyard.core.clock import Clock
from hookyard.core.errors import InvalidError
from hookyard.core.message_catalog import preferred_language
from hookyard.hooks.config.configuration import ConfigSources, Configuration, ConfiguredHook, load
from hookyard.hooks.config.file_watcher import FileWatcher
from hookyard.hooks.config.hooks_file import HooksFile, Role, user_sources
from hookyard.hooks.config.last_good import LastGoodStore
from hookyard.hooks.config.trust import Trust
from hookyard.hooks.decision import GO_ON, Decision, Result, Verdict
from hookyard.hooks.delivery.delivery import Traceparent
from hookyard.hooks.delivery.delivery_log import Delivery, DeliveryLog
from hookyard.hooks.delivery.egress import Egress
from hookyard.hooks.delivery.guard import Guard, Network
from hookyard.hooks.delivery.proxies import Proxies
from hookyard.hooks.delivery.sender import Sender
from hookyard.hooks.dispatch import Dispatch
from hookyard.hooks.formats.base import one_line
from hookyard.hooks.payload import HookEvent, as_json
from hookyard.hooks.points import POINTS, Point
from hookyard.hooks.protect import AgentFiles
from hookyard.hooks.samples import SAMPLE_TOOL, sample
from hookyard.hooks.warning import Warn, to_stderr
from hookyard.hooks.webhook import InvalidFailClosedHook, Webhook

_BY_NAME: dict[str, Point] = {name: spec.point for spec in POINTS.values() for name in (spec.event, *spec.words)} | {
    "message_received": Point.MESSAGE
}
_BEFORE_TOOLS = frozenset({Point.TOOL_CALL_START, Point.PRE_TOOL})
_OWN_VARIABLES = "HOOKYARD_"


class Hooks:
    """The webhooks of one user, project or workspace.

    Make one with `load` (an agent of a user) or `for_server` (a run on the server). It may be used by many tasks of one
    event loop at once.

    Args:
        sources: Where the configuration comes from.
        sender: What sends.
        warn: Takes each line for the user; stderr by default.
        log: Keeps the deliveries that were waited for.
        shared: Others use the sender too, so `aclose` leaves it open.
    """

    def __init__(
        self,
        sources: ConfigSources,
        sender: Sender,
        *,
        warn: Callable[[str], None] = to_stderr,
        log: DeliveryLog | None = None,
        shared: bool = False,
    ) -> None:
        self._sources = sources
        self._sender = sender
        self._shared = shared
        self._clock = sender.clock
        self._warn = Warn.of(warn)
        deliverer = replace(sender.deliverer, warn=self._warn)
        self._dispatch = Dispatch(deliverer, sender.background, sender.breaker, sender.ids.delivery, log)
        self._told: set[str] = set()
        self._watch = FileWatcher(sources.watched, self._clock)
        self._use(load(sources))

    @classmethod
    def load(
        cls,
        project: str | Path | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        home: str | Path | None = None,
        warn: Callable[[str], None] = to_stderr,
        clock: Clock | None = None,
        log: DeliveryLog | None = None,
        agent_files: AgentFiles | None = None,
    ) -> Hooks:
        """Return the webhooks of this user, and those that a trusted project adds.

        Args:
            project: Folder of the project whose `.hookyard/hooks.toml` and `.atomcode/hooks/hooks.toml` count too.
            environ: Variables; the process's own when None.
            home: `HOOKYARD_HOME`, over the variable.
            warn: Takes each line for the user; stderr by default.
            clock: Dates and measures; the machine's own when None.
            log: Keeps the deliveries that were waited for; the home's outbox file when None, where
                `hookyard hooks deliveries` finds them.
            agent_files: Other agents' settings, which a governed agent may not write to either:
                `hookyard.bridge.dialects.agent_files`; none when None.

        Returns:
            Hooks that work even when a file has faults; see `configuration.problems`.
        """
        env = dict(os.environ if environ is None else environ)
        own = Path(home or env.get("HOOKYARD_HOME") or Path.home() / ".hookyard").expanduser().absolute()
        atomcode = Path(env.get("ATOMCODE_HOME") or Path.home() / ".atomcode").expanduser().absolute()
        directory = None if project is None else Path(project).expanduser().resolve()
        sources = ConfigSources(
            files=user_sources(own, atomcode, directory),
            environ=env,
            remembered=LastGoodStore(own / "state" / "hooks"),
            trust=Trust(own),
            agent_files=agent_files or AgentFiles(),
            project=directory,
        )
        bundle = env.get("HOOKYARD_CA_BUNDLE")
        egress = Egress(
            Guard.for_user(),
            proxies=Proxies.of_environment(env),
            ca_bundle=Path(bundle).expanduser() if bundle else None,
        )
        sender = Sender(own, egress, clock=clock, warn=warn, language=_language(env))
        return cls(sources, sender, warn=warn, log=log or sender.background)

    @classmethod
    def for_server(
        cls,
        data: Path,
        sender: Sender,
        *,
        webhooks: Sequence[Mapping[str, Any]] = (),
        workspace_id: str = "",
        environ: Mapping[str, str] | None = None,
        warn: Callable[[str], None] = to_stderr,
        log: DeliveryLog | None = None,
    ) -> Hooks:
        """Return the webhooks of runs on the server: `<data>/hooks.toml` and a workspace's, nothing else.

        Args:
            data: The server's data folder.
            sender: The server's own, shared by all workspaces: `server_sender`.
            webhooks: The workspace's webhooks as parsed entries, with the keys of the file.
            workspace_id: Whose they are.
            environ: Variables for `${NAME}`; hookyard's own are never among them.
            warn: Takes each line for the operator.
            log: Keeps the deliveries that were waited for.
        """
        env = os.environ if environ is None else environ
        sources = ConfigSources(
            files=(HooksFile(data / "hooks.toml", Role.SERVER),),
            environ={name: value for name, value in env.items() if not name.startswith(_OWN_VARIABLES)},
            remembered=LastGoodStore(data / "state" / "hooks"),
            entries=tuple(webhooks),
            entries_place=f"workspace {workspace_id}".strip(),
        )
        return cls(sources, sender, warn=warn, log=log, shared=True)

    @property
    def sources(self) -> ConfigSources:
        """Where the configuration comes from."""
        return self._sources

    @property
    def sender(self) -> Sender:
        """What sends: the outbox and the breaker are its."""
        return self._sender

    @property
    def configuration(self) -> Configuration:
        """What applies now, with every problem found."""
        return self._configuration

    def loaded_line(self) -> str | None:
        """Return `[Hook] webhooks: N loaded`, None when nothing is configured."""
        count = len(self._configuration.gates)
        return f"[Hook] webhooks: {count} loaded" if count else None

    def listens(self, point: Point | str, tool_name: str | None = None) -> bool:
        """Return whether any webhook would be called. To gate a step, fire its point in any case."""
        self._look()
        spot = point_named(point)
        return any(gate.wants(spot, tool_name) for gate in self._at[spot])

    def fail_closed(self, point: Point | str | None = None, tool_name: str | None = None) -> bool:
        """Return whether any gate fails closed: an agent that cannot be gated must not start then.

        Args:
            point: Only gates of this point; any point when None.
            tool_name: Only gates that apply to this tool.
        """
        self._look()
        spots = [spec.point for spec in POINTS.values() if spec.may_deny]
        if point is not None:
            spots = [spot for spot in spots if spot is point_named(point)]
        return any(
            gate.wants(spot, tool_name) and (isinstance(gate, InvalidFailClosedHook) or gate.fails_closed)
            for spot in spots
            for gate in self._at[spot]
        )

    async def fire(
        self,
        point: Point | str,
        *,
        session_id: str | None = None,
        working_dir: str | None = None,
        turn_number: int | None = None,
        tool_name: str | None = None,
        tool_args: str | Mapping[str, Any] | None = None,
        agent: str = "hookyard",
        cause: Mapping[str, Any] | None = None,
        run_id: str = "",
        workspace_id: str = "",
        **own: Any,
    ) -> Decision:
        """Call the webhooks of a point.

        Args:
            point: A point, one of its trigger words, or its name on the wire.
            session_id: The agent's session.
            working_dir: The agent's working folder.
            turn_number: Turn of the session, from 1.
            tool_name: The tool that the point is about.
            tool_args: Its arguments, best as the JSON text that the model gave.
            agent: Which agent fires.
            cause: The event, callback and run that led here.
            run_id: The run, for the record.
            workspace_id: The run's workspace, for the record.
            own: The event's own keys of the contract, section 3, such as `call_id` or `result`.

        Returns:
            What the webhooks decided. A webhook that fails never makes this raise.

        Raises:
            InvalidError: There is no such point.
        """
        self._look()
        spot = point if point.__class__ is Point else point_named(point)
        gates = self._at[spot]
        if self._protection and tool_args and spot in _BEFORE_TOOLS:
            tool_args = tool_args if isinstance(tool_args, str) else as_json(tool_args)
            refusal = self._protection.refusal(tool_name, tool_args, working_dir)
            if refusal is not None:
                self._warn(f"[Hook] hookyard: deny at {POINTS[spot].event}: {one_line(refusal)}")
                return Decision(Result.DENY, refusal, None, (Verdict("hookyard", Result.DENY, refusal),))
        if not gates:
            return GO_ON
        wanted = [gate for gate in gates if gate.matcher is None or gate.wants(spot, tool_name)]
        if not wanted:
            return GO_ON
        if tool_args is not None and not isinstance(tool_args, str):
            tool_args = as_json(tool_args)
        occasion = HookEvent(
            spot,
            self._clock.now(),
            session_id,
            working_dir,
            turn_number,
            tool_name,
            tool_args,
            agent,
            cause,
            run_id,
            workspace_id,
            own,
        )
        return await self._dispatch.fire(wanted, occasion)

    async def try_webhook(
        self, webhook: Webhook, point: Point, working_dir: str, tool: str = SAMPLE_TOOL
    ) -> tuple[Verdict, Delivery]:
        """Send a sample of a point to one webhook, even one that does not listen there or is switched off, and wait.

        Args:
            webhook: One of `configuration.webhooks`.
            point: The point.
            working_dir: The folder that the sample names.
            tool: The tool that the sample is about, where the point is about one.

        Returns:
            What the answer counts for, and the delivery with everything that was sent and answered.
        """
        return await self._dispatch.ask(webhook, sample(point, self._clock.now(), working_dir, tool))

    def reload_if_changed(self) -> bool:
        """Look at the files now; whether a new configuration is in use."""
        if not self._watch.changed():
            return False
        self._use(load(self._sources))
        return True

    def _look(self) -> None:
        if self._clock.monotonic() >= self._watch.next_look:
            self.reload_if_changed()

    def _use(self, configuration: Configuration) -> None:
        """Put a configuration into use; every problem is reported once."""
        self._configuration = configuration
        self._protection = self._sources.protection if configuration.gates else None
        self._background = any(not webhook.waits for webhook in configuration.webhooks)
        self._sender.background.register(self, configuration)
        self._at: dict[Point, tuple[ConfiguredHook, ...]] = {point: configuration.at(point) for point in Point}
        for problem in configuration.problems:
            line = f"[Hook Warning] {problem}"
            if line not in self._told:
                self._warn(line)
        self._told = {f"[Hook Warning] {problem}" for problem in configuration.problems}

    async def aclose(self) -> None:
        """Deliver what is under way, as far as a few seconds allow (the rest stays on disk), and close connections."""
        if self._shared:
            return
        if self._background:
            self._sender.background.resume()
        await self._sender.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def server_sender(
    data: Path,
    *,
    allow: Sequence[Network] = (),
    proxy: str | None = None,
    ca_bundle: Path | None = None,
    warn: Callable[[str], None] = to_stderr,
    log: DeliveryLog | None = None,
    traceparent: Traceparent | None = None,
) -> Sender:
    """Return the sender of a server: public addresses, those that the administrator allows, and no proxy but its own.

    Args:
        data: The server's data folder, where the outbox is kept.
        allow: Private networks that may be reached.
        proxy: `HOOKYARD_EGRESS_PROXY`.
        ca_bundle: Certificates to trust besides the machine's own.
        warn: Takes each line about background deliveries for the operator.
        log: Keeps background deliveries where the others are kept.
        traceparent: Names the traces that deliveries of runs belong to.
    """
    egress = Egress(Guard.for_server(allow), proxies=Proxies.always(proxy), ca_bundle=ca_bundle)
    return Sender(data, egress, warn=warn, log=log, traceparent=traceparent)


def _language(environ: Mapping[str, str]) -> str:
    """Return the language of chat messages: that of the command line."""
    return "zh" if preferred_language(environ) == "zh-CN" else "en"


def point_named(name: Point | str) -> Point:
    """Return the point of a trigger word, an alias or a wire name.

    Raises:
        InvalidError: No point is called so.
    """
    if isinstance(name, Point):
        return name
    found = _BY_NAME.get(name.strip().lower())
    if found is None:
        near = difflib.get_close_matches(name.lower(), _BY_NAME, n=1)
        raise InvalidError(
            f"{name!r} is no hook point", hint=f"did you mean {near[0]!r}?" if near else f"one of {', '.join(Point)}"
        )
    return found
