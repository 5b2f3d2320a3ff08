"""Fixtures of the tests of callbacks."""

from collections.abc import AsyncIterator

import pytest_asyncio

from hookyard.conditions.conditions import Conditions
from tests.conditions.conditions import ConditionTester, FakeClock


@pytest_asyncio.fixture
async def judge() -> AsyncIterator[ConditionTester]:
    clock = FakeClock()
    conditions = Conditions(clock)
    await conditions.start()
    yield ConditionTester(conditions, clock)
    await conditions.close()
