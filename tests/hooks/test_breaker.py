"""The breaker: what fails is left alone for a while and tried again by itself, in all processes; gates never are."""

from __future__ import annotations

import json
import multiprocessing
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookyard.core.clock import SystemClock
from hookyard.hooks.delivery import breaker as module
from hookyard.hooks.delivery.breaker import Breaker, Endpoint
from tests.hooks.receiver import FakeClock


def fail(breaker: Breaker, times: int, status: int | None = 500) -> Endpoint | None:
    off = None
    for _ in range(times):
        off = breaker.failure("k", "audit", "HTTP 500", status)
    return off


def test_it_is_switched_off_after_so_many_failures_and_says_so(clock: FakeClock) -> None:
    breaker = Breaker(None, clock)
    assert fail(breaker, module.FAILURES - 1) is None
    assert breaker.off("k") is None
    off = fail(breaker, 1)
    assert str(off) == "switched off for 30 s after 5 failed deliveries, the last: HTTP 500; tried again by itself"
    assert breaker.off("k") == off
    assert breaker.off("other") is None


def test_a_success_in_between_starts_the_count_anew(clock: FakeClock) -> None:
    breaker = Breaker(None, clock)
    fail(breaker, module.FAILURES - 1)
    breaker.success("k")
    assert fail(breaker, module.FAILURES - 1) is None


def test_one_try_after_the_time_then_twice_as_long_or_on_again(clock: FakeClock) -> None:
    breaker = Breaker(None, clock)
    fail(breaker, module.FAILURES)
    clock.ticks += 30.1
    assert breaker.off("k") is None  # the one try
    assert breaker.off("k") is not None  # the others wait
    assert fail(breaker, 1).seconds == 60  # type: ignore[union-attr]
    clock.ticks += 59
    assert breaker.off("k") is not None
    clock.ticks += 1.1
    assert breaker.off("k") is None
    breaker.success("k")
    assert breaker.off("k") is None
    assert breaker.endpoints() == {}


def test_a_try_of_which_nothing_is_heard_is_made_again(clock: FakeClock) -> None:
    breaker = Breaker(None, clock)
    fail(breaker, module.FAILURES)
    clock.ticks += 31
    assert breaker.off("k") is None
    clock.ticks += 31
    assert breaker.off("k") is None


def test_gone_is_off_at_once_and_longer(clock: FakeClock) -> None:
    breaker = Breaker(None, clock)
    off = breaker.failure("k", "audit", "HTTP 410", 410)
    assert off is not None
    assert str(off).startswith("switched off for 60 min after 1 failed delivery, the last: HTTP 410")
    for _ in range(10):
        clock.ticks += off.seconds + 1
        assert breaker.off("k") is None
        off = breaker.failure("k", "audit", "HTTP 410", 410)
        assert off is not None
    assert off.seconds == module.LONGEST_GONE_SECONDS


def test_a_gate_that_fails_closed_is_never_left_out(clock: FakeClock) -> None:
    breaker = Breaker(None, clock)
    fail(breaker, 50, 410)
    assert breaker.off("k", fails_closed=True) is None
    assert breaker.off("k") is not None


def test_all_processes_know_and_the_file_holds_no_address(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "home" / "breakers.json"
    one, two = Breaker(path, clock), Breaker(path, clock)
    assert two.off("k") is None
    fail(one, module.FAILURES)
    clock.ticks += 1
    assert two.off("k") is not None
    clock.ticks += 30
    assert two.off("k") is None
    clock.ticks += 0.3
    assert one.off("k") is not None  # the other one is trying
    two.success("k")
    clock.ticks += 0.3
    assert one.off("k") is None
    assert json.loads(path.read_text()) == {}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_failures_of_short_processes_add_up(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "breakers.json"
    for _ in range(module.FAILURES - 1):
        assert Breaker(path, clock).failure("k", "audit", "timeout") is None
    assert Breaker(path, clock).failure("k", "audit", "timeout") is not None


@pytest.mark.parametrize("wall", [-1e9, 1e9])
def test_the_wall_clock_does_not_matter(clock: FakeClock, wall: float) -> None:
    breaker = Breaker(None, clock)
    fail(breaker, module.FAILURES)
    clock.at += wall
    assert breaker.off("k") is not None
    clock.ticks += 31
    assert breaker.off("k") is None


def test_a_restart_of_the_machine_lets_it_be_tried(clock: FakeClock) -> None:
    breaker = Breaker(None, clock)
    clock.ticks = 90_000.0
    fail(breaker, module.FAILURES)
    clock.ticks = 5.0
    assert breaker.off("k") is None


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"k": 1}', '{"k": {"name": 1}}', "[" * 100_000, "\ud800"])
def test_a_broken_file_is_as_good_as_none(tmp_path: Path, clock: FakeClock, text: str) -> None:
    path = tmp_path / "breakers.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    breaker = Breaker(path, clock)
    assert breaker.off("k") is None
    assert fail(breaker, module.FAILURES) is not None
    assert Breaker(path, clock).off("k") is not None


def test_a_file_that_cannot_be_written_costs_only_the_sharing(tmp_path: Path, clock: FakeClock) -> None:
    (tmp_path / "file").write_text("in the way")
    breaker = Breaker(tmp_path / "file" / "breakers.json", clock)
    assert fail(breaker, module.FAILURES) is not None
    assert breaker.off("k") is not None


def _fail_once(path: Path) -> None:
    Breaker(path, SystemClock()).failure("k", "audit", "timeout")


def test_processes_at_once_lose_no_count(tmp_path: Path) -> None:
    path = tmp_path / "breakers.json"
    processes = [multiprocessing.get_context("spawn").Process(target=_fail_once, args=(path,)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert Breaker(path, SystemClock()).endpoints()["k"].failures == 4


@given(st.lists(st.tuples(st.sampled_from(["ok", "500", "410"]), st.floats(0, 10_000)), max_size=40))
def test_it_is_never_off_longer_than_the_longest_and_never_after_a_success(events: list[tuple[str, float]]) -> None:
    clock = FakeClock()
    breaker = Breaker(None, clock)
    for event, wait in events:
        clock.ticks += wait
        if event == "ok":
            breaker.success("k")
            assert breaker.off("k") is None
        else:
            off = breaker.failure("k", "audit", event, int(event))
            assert off is None or 0 < off.seconds <= module.LONGEST_GONE_SECONDS
    clock.ticks += module.LONGEST_GONE_SECONDS + 1
    assert breaker.off("k") is None
