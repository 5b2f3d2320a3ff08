"""Fixtures of the tests of callbacks."""

from collections.abc import AsyncIterator

import pytest_asyncio

from hookyard.callbacks.condition import Conditions
from tests.callbacks.conditions import Clock, Judge


@pytest_asyncio.fixture
async def judge() -> AsyncIterator[Judge]:
    clock = Clock()
    conditions = Conditions(clock)
    await conditions.start()
    yield Judge(conditions, clock)
    await conditions.close()
