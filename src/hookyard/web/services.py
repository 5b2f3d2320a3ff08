"""Everything that a route may need, in one object at `request.app.state.services`.

Filled by `wiring`, the only room that knows the concrete parts; read by the doors, the API and the pages.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from hookyard.callbacks.accept import Accept
from hookyard.callbacks.condition import Conditions
from hookyard.callbacks.event_types import EventTypes
from hookyard.callbacks.history import History
from hookyard.callbacks.model import Callbacks
from hookyard.callbacks.preview import Preview
from hookyard.clock import Clock
from hookyard.ids import Ids
from hookyard.runs.model_keys import ModelKeys
from hookyard.settings import Settings
from hookyard.store.database import Database
from hookyard.store.live_settings import LiveSettingsStore
from hookyard.store.secrets import SecretBox
from hookyard.web.auth import Auth
from hookyard.web.metrics import IngestCounts, Metrics
from hookyard.workspace.accounts import Accounts
from hookyard.workspace.comments import Comments
from hookyard.workspace.members import Members
from hookyard.workspace.sources import Sources
from hookyard.workspace.tasks import Tasks
from hookyard.workspace.tokens import Tokens
from hookyard.workspace.workspaces import Workspaces

if TYPE_CHECKING:
    from hookyard.web.agent_profiles import AgentProfiles
    from hookyard.web.webhooks import WorkspaceWebhooks


@dataclass(frozen=True)
class Services:
    """The parts of a running server.

    Attributes:
        settings: Where things are.
        db: The database.
        clock: The time.
        ids: Makes ids.
        box: Encrypts the secrets that are kept there.
        live: What administrators change at run time.
        auth: Who asks.
        accounts: Who can sign in.
        tokens: Bearer tokens.
        workspaces: Workspaces.
        members: Their members.
        tasks: Their tasks.
        comments: The tasks' comments.
        sources: Services whose webhooks are taken.
        event_types: The event types, built in and declared.
        callbacks: Callbacks and their versions.
        history: Accepted events, their traces and replays.
        preview: Tries a callback on a stored event.
        accept: Where events go.
        model_keys: Keys of model providers.
        conditions: Judges conditions, for the editor's preview.
        counts: What the ingest door counts.
    """

    settings: Settings
    db: Database
    clock: Clock
    ids: Ids
    box: SecretBox
    live: LiveSettingsStore
    auth: Auth
    accounts: Accounts
    tokens: Tokens
    workspaces: Workspaces
    members: Members
    tasks: Tasks
    comments: Comments
    sources: Sources
    event_types: EventTypes
    callbacks: Callbacks
    history: History
    preview: Preview
    accept: Accept
    model_keys: ModelKeys
    conditions: Conditions
    counts: IngestCounts = field(default_factory=IngestCounts)

    # These two know agents and hooks, which a server does without until somebody asks for them.

    @cached_property
    def agent_profiles(self) -> AgentProfiles:
        """Agents that callbacks may name."""
        from hookyard.web.agent_profiles import AgentProfiles

        return AgentProfiles(self.db, self.clock)

    @cached_property
    def webhooks(self) -> WorkspaceWebhooks:
        """Webhooks of a workspace's runs."""
        from hookyard.web.webhooks import WorkspaceWebhooks

        return WorkspaceWebhooks(self.db, self.box, self.clock)

    @cached_property
    def metrics(self) -> Metrics:
        """The instruments of this server."""
        return Metrics(self.db, self.clock, self.counts)
