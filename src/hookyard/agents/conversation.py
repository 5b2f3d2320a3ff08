"""The built-in agent's conversation with its model: ask, do the tools it asks for, tell it, ask again.

Owner of pydantic-ai, and imported only when a built-in run starts, since importing it takes half a second. The loop is
ours and not pydantic-ai's agent because its steps are the product: every one of them is a hook point, a budget or a
retry that must be counted. pydantic-ai translates for each provider (`pydantic_ai.direct`).
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from pydantic_ai import exceptions
from pydantic_ai.direct import model_request
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import Model, ModelRequestParameters, infer_model
from pydantic_ai.tools import ToolDefinition

from hookyard.agents.base import SCRIPTED_PROVIDER, AgentError, BudgetError, Usage
from hookyard.agents.scripted import scripted_model
from hookyard.agents.session import AgentSession, add
from hookyard.agents.tools import Tool

TRIES = 4
"""Requests for one answer, on top of what the provider's own client does."""

WAIT_SECONDS = 1.0
"""Before the second try; doubled before each further one, unless the provider says how long."""

MOST_WAIT_SECONDS = 60.0

REQUESTS = 200
"""Model requests of one run; more is an agent that goes round in circles."""

HISTORY_CHARS = 600_000
"""What the tools' answers in the history may add up to, about 150,000 tokens; older ones are then left out."""

KEPT_MESSAGES = 8
"""The newest messages, which are never shortened."""

LEFT_OUT = "[left out to save room]"
STACK_CHARS = 4_000

_MAY_PASS = (
    exceptions.ModelRateLimitError,
    exceptions.ModelUnavailableError,
    exceptions.ModelServerError,
    exceptions.ModelConnectionError,
)


class Conversation:
    """One conversation with one model. Made by `opened`."""

    def __init__(
        self,
        model: Model,
        life: AgentSession,
        tools: Mapping[str, Tool],
        history: list[ModelMessage],
        *,
        token_limit: int | None,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._model = model
        self._life = life
        self._tools = tools
        self._history = history
        self._token_limit = token_limit
        self._sleep = sleep
        self._usage = Usage()
        self._parameters = ModelRequestParameters(
            function_tools=[
                ToolDefinition(name=tool.name, description=tool.description, parameters_json_schema=tool.schema())
                for tool in tools.values()
            ]
        )

    @classmethod
    @asynccontextmanager
    async def opened(
        cls,
        model_name: str,
        system: str,
        prompt: str,
        life: AgentSession,
        tools: Mapping[str, Tool],
        *,
        token_limit: int | None,
        sleep: Callable[[float], Awaitable[None]],
    ) -> AsyncIterator[Conversation]:
        """Open the model's connection and yield a new conversation.

        Raises:
            AgentError: There is no such model, or its provider is not installed or has no key.
        """
        model = await asyncio.to_thread(find_model, model_name)
        history: list[ModelMessage] = [ModelRequest(parts=[UserPromptPart(prompt)], instructions=system)]
        async with model:
            yield cls(model, life, tools, history, token_limit=token_limit, sleep=sleep)

    async def converse(self) -> str:
        """Run the conversation and return the model's final text, after all tools that it requested.

        Raises:
            AgentError: The model failed.
            BudgetError: A budget is spent.
        """
        system = self._history[0]
        assert isinstance(system, ModelRequest)  # opened() begins with it
        while True:
            response = await self._answer()
            calls = [part for part in response.parts if isinstance(part, ToolCallPart)]
            if not calls:
                return "".join(part.content for part in response.parts if isinstance(part, TextPart)).strip()
            returned = await asyncio.gather(*(self._call(call) for call in calls))
            self._history += [response, ModelRequest(parts=returned, instructions=system.instructions)]

    async def _answer(self) -> ModelResponse:
        """Request the next answer, count it, and return it with the text as the webhooks left it."""
        self._check_budget()
        response = await self._ask()
        used = response.usage
        self._usage = add(
            self._usage, input_tokens=used.input_tokens, output_tokens=used.output_tokens, cost_usd=_price(response)
        )
        self._life.spent(self._usage)
        if response.finish_reason == "length":
            self._life.statistics.truncated = True
        text = "".join(part.content for part in response.parts if isinstance(part, TextPart))
        said = await self._life.answered(text, response.model_name or self._model.model_name)
        if said == text:
            return response
        others = [part for part in response.parts if not isinstance(part, TextPart)]
        return replace(response, parts=[TextPart(said), *others])

    async def _ask(self) -> ModelResponse:
        for tried in range(1, TRIES + 1):
            try:
                return await model_request(
                    self._model, bounded(self._history), model_request_parameters=self._parameters
                )
            except exceptions.ModelQuotaExceededError as error:
                quota = error.provider_error_code or "provider"
                raise BudgetError(f"the model's provider refused: {error}", quota_type=quota) from error
            except exceptions.AgentRunError as error:
                if not isinstance(error, _MAY_PASS) or tried == TRIES:
                    raise AgentError(
                        f"the model failed: {error}",
                        stack=traceback.format_exc()[-STACK_CHARS:],
                        retry_count=tried - 1,
                        hint=_hint(error),
                    ) from error
                wait = error.retry_after or WAIT_SECONDS * 2 ** (tried - 1)
                await self._sleep(min(wait, MOST_WAIT_SECONDS))
        raise AssertionError("the last try returns or raises")

    async def _call(self, call: ToolCallPart) -> ToolReturnPart:
        args = call.args if isinstance(call.args, str) else call.args_as_json_str()
        told, success = await self._life.tool(self._tools.get(call.tool_name), call.tool_name, call.tool_call_id, args)
        return ToolReturnPart(call.tool_name, told, call.tool_call_id, outcome="success" if success else "failed")

    def _check_budget(self) -> None:
        spent = self._usage.input_tokens + self._usage.output_tokens
        if self._token_limit is not None and spent >= self._token_limit:
            raise BudgetError(
                f"the run's {self._token_limit} tokens are spent",
                quota_type="token",
                hint="raise the workspace's tokens a day, or wait until tomorrow",
            )
        if self._usage.requests >= REQUESTS:
            raise BudgetError(
                f"the run made {REQUESTS} model requests without an end",
                quota_type="request",
                hint="ask for less in one run",
            )


def find_model(name: str) -> Model:
    """Return the model of a name `provider:name`.

    Raises:
        AgentError: There is none, or its provider is not installed or has no key; says what to do.
    """
    provider, _, rest = name.partition(":")
    if provider == SCRIPTED_PROVIDER:
        return scripted_model(Path(rest))
    try:
        return infer_model(name)
    except ImportError as error:
        raise AgentError(
            f"the provider {provider!r} is not installed", hint=f"install it: pip install '{_package(provider)}'"
        ) from error
    except Exception as error:  # of the provider's own package, which complains in its own types
        said = str(error).partition(" To try Pydantic AI")[0].removesuffix(".")  # what follows helps its programmers
        raise AgentError(
            f"the model {name!r} cannot be used: {said}",
            hint="give provider:name, and set the provider's key, such as ANTHROPIC_API_KEY",
        ) from error


def _hint(error: exceptions.AgentRunError) -> str | None:
    """Return advice for a failed model request, where it is known."""
    if isinstance(error, exceptions.ModelHTTPError):
        return "see that the provider's key is right" if error.status_code in (401, 403) else None
    if isinstance(error, exceptions.ModelConnectionError):
        return "see that the provider can be reached, and that a base URL set for it is right"
    return None


def _package(provider: str) -> str:
    """Return the package to install for a provider; those without a package of their own speak OpenAI's protocol."""
    if provider in ("groq", "mistral", "bedrock", "cohere", "huggingface"):
        return f"pydantic-ai-slim[{provider}]"
    return f"hookyard[{provider if provider in ('anthropic', 'google') else 'openai'}]"


def bounded(history: list[ModelMessage]) -> list[ModelMessage]:
    """Return the history without the oldest tool results, as many as needed to stay within `HISTORY_CHARS`."""
    excess = sum(_weight(message) for message in history) - HISTORY_CHARS
    kept = list(history)
    for index, message in enumerate(history[:-KEPT_MESSAGES]):
        if excess <= 0:
            break
        if isinstance(message, ModelRequest) and (weight := _weight(message)):
            kept[index] = replace(message, parts=[_emptied(part) for part in message.parts])
            excess -= weight
    return kept


def _weight(message: ModelMessage) -> int:
    return sum(len(part.model_response_str()) for part in message.parts if isinstance(part, ToolReturnPart))


def _emptied(part: ModelRequestPart) -> ModelRequestPart:
    if not isinstance(part, ToolReturnPart):
        return part
    return ToolReturnPart(part.tool_name, LEFT_OUT, part.tool_call_id, outcome=part.outcome)


def _price(response: ModelResponse) -> float | None:
    """Return the price in US dollars, None for a model with an unknown price."""
    try:
        return float(response.cost().total_price)
    except (LookupError, ValueError, AssertionError):
        return None
