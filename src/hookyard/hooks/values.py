"""Values: frozen to the type checker, plain to the interpreter.

A frozen dataclass sets every field through `object.__setattr__`, which takes six times as long. Each delivery makes
half a dozen values: that was a third of what hooks cost an agent. For the hot path only; elsewhere a value is an
ordinary `@dataclass(frozen=True, slots=True)`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value(cls: type[T]) -> type[T]:
    """Return a dataclass that is frozen for the type checker."""
    return dataclass(cls)


class once(Generic[T]):  # noqa: N801 - it is used like `property`
    """A property of a value that is worked out when it is first asked for.

    `functools.cached_property` without its lock (which Python 3.12 has dropped too): two threads may both work it out.
    """

    def __init__(self, work_out: Callable[[Any], T]) -> None:
        self._work_out = work_out
        self._name = work_out.__name__
        self.__doc__ = work_out.__doc__

    def __get__(self, instance: object, owner: type[object]) -> T:
        made = instance.__dict__[self._name] = self._work_out(instance)
        return made
