"""Everything that a route may need, in one object at `request.app.state.services`.

Filled by `wiring`, the only package that knows the concrete parts; read by the endpoints, the API and the pages.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from hookyard.agents.model_keys import ModelKeys
from hookyard.automations.callbacks import Callbacks
from hookyard.automations.preview import PreviewService
from hookyard.conditions.conditions import Conditions
from hookyard.core.clock import Clock
from hookyard.core.ids import Ids
from hookyard.events.event_types import EventTypes
from hookyard.identity.accounts import Accounts
from hookyard.identity.tokens import Tokens
from hookyard.intake.accept import EventIntake
from hookyard.intake.event_history import EventHistory
from hookyard.settings import Settings
from hookyard.store.database import Database
from hookyard.store.live_settings import LiveSettingsStore
from hookyard.store.secrets import SecretBox
from hookyard.telemetry.metrics import IngestCounts, Metrics
from hookyard.web.auth import Auth
from hookyard.workspace.comments import Comments
from hookyard.workspace.integrations import Integrations
from hookyard.workspace.members import Members
from hookyard.workspace.tasks import Tasks
from hookyard.workspace.workspaces import Workspaces

if TYPE_CHECKING:
    from hookyard.agents.profile_store import AgentProfiles
    from hookyard.workspace.webhooks import WorkspaceWebhooks


@dataclass(frozen=True)
class Services:
    """The parts of a running server.

    Attributes:
        settings: Where things are.
        database: The database.
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
        counts: What the ingest endpoint counts.
    """

    settings: Settings
    database: Database
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
    sources: Integrations
    event_types: EventTypes
    callbacks: Callbacks
    history: EventHistory
    preview: PreviewService
    accept: EventIntake
    model_keys: ModelKeys
    conditions: Conditions
    counts: IngestCounts = field(default_factory=IngestCounts)

    # These two know agents and hooks, which a server does without until a request needs them.

    @cached_property
    def agent_profiles(self) -> AgentProfiles:
        """Agents that callbacks may name."""
        from hookyard.agents.profile_store import AgentProfiles

        return AgentProfiles(self.database, self.clock)

    @cached_property
    def webhooks(self) -> WorkspaceWebhooks:
        """Webhooks of a workspace's runs."""
        from hookyard.workspace.webhooks import WorkspaceWebhooks

        return WorkspaceWebhooks(self.database, self.box, self.clock)

    @cached_property
    def metrics(self) -> Metrics:
        """The instruments of this server."""
        return Metrics(self.database, self.clock, self.counts)
