"""The outbox: what it accepts is delivered, in order, whatever crashes, the disk, the clock and other processes do."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from hookyard.core.clock import SystemClock
from hookyard.core.errors import ConflictError, NotFoundError
from hookyard.core.ids import Ids
from hookyard.hooks.delivery.delivery_log import Attempt, DeliveryState
from hookyard.hooks.formats.base import Rate
from hookyard.hooks.outbox import process_owner
from hookyard.hooks.outbox import queue as rows
from hookyard.hooks.outbox.limits import OutboxLimits
from hookyard.hooks.outbox.models import Batching, NewDelivery, QueuedDelivery, SendResult, UnknownOriginError
from hookyard.hooks.outbox.outbox import Outbox
from hookyard.hooks.outbox.sqlite_thread import FileBusyError, FileFullError
from tests.hooks.outbox_process import delivery, owed, post

START_SECONDS = 60.0
"""For what must come: far longer than it takes, on a machine that does much else."""

QUICK = OutboxLimits(poll_seconds=0.02, lease_seconds=0.6)
HELD = replace(QUICK, lease_seconds=START_SECONDS)
"""Where each delivery is counted: nobody loses a lane because the machine let it wait."""

SCRIPT = Path(__file__).with_name("outbox_process.py")
Send = Callable[[QueuedDelivery], Awaitable[SendResult]]


@dataclass
class Receiver:
    """A real receiver; remembers what it got and answers the statuses it is given, then 200."""

    url: str = ""
    got: list[tuple[str, str, str]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    session: aiohttp.ClientSession | None = None

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.text()
        self.got.append((request.headers["webhook-id"], request.headers["x-webhook"], body))
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200)

    async def send(self, parcel: QueuedDelivery) -> SendResult:
        assert self.session is not None
        return await post(self.session, self.url, parcel)

    @property
    def bodies(self) -> list[str]:
        return [body for _, _, body in self.got]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    app = web.Application()
    app.router.add_post("/", made.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    async with aiohttp.ClientSession() as made.session:
        yield made
    await runner.cleanup()


@dataclass
class Box:
    """Outboxes on one file, closed at the end, and what they warned of."""

    path: Path
    warnings: list[str] = field(default_factory=list)
    made: list[Outbox] = field(default_factory=list)
    ids: Ids = field(default_factory=Ids)

    def open(self, send: Send | None = None, bounds: OutboxLimits = QUICK, clock: SystemClock | None = None) -> Outbox:
        outbox = Outbox(
            self.path, clock=clock or SystemClock(), ids=self.ids, send=send, warn=self.warnings.append, bounds=bounds
        )
        self.made.append(outbox)
        return outbox

    async def fill(self, outbox: Outbox, count: int, webhook: str = "audit") -> list[str]:
        names: list[str] = [self.ids.delivery() for _ in range(count)]
        for number, name in enumerate(names):
            await outbox.put(owed(name, webhook, str(number)))
        return names


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    made = Box(tmp_path / "home" / "outbox.db")
    yield made
    for outbox in made.made:
        outbox.close()


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.005)


async def none_left(outbox: Outbox) -> None:
    deadline = time.monotonic() + START_SECONDS
    while await outbox.left():
        assert time.monotonic() < deadline, "something is still owed"
        await asyncio.sleep(0.02)


async def test_what_is_put_is_delivered_in_order_and_recorded(box: Box, receiver: Receiver) -> None:
    outbox = box.open(receiver.send)
    names = await box.fill(outbox, 20)
    assert await outbox.drain(START_SECONDS) == 0
    assert [got[0] for got in receiver.got] == names
    newest = (await outbox.listed(limit=1))[0]
    assert (newest.id, newest.state, newest.attempts[0].status) == (names[-1], DeliveryState.DELIVERED, 200)
    assert box.warnings == []


async def test_a_running_outbox_sends_what_is_put_later(box: Box, receiver: Receiver) -> None:
    outbox = box.open(receiver.send, replace(HELD, poll_seconds=3600.0))
    running = asyncio.create_task(outbox.run())
    await asyncio.sleep(0.05)
    await outbox.put(owed("dlv_1"))
    await until(lambda: len(receiver.got) == 1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_drain_beside_a_running_outbox_sends_everything_once(box: Box, receiver: Receiver) -> None:
    outbox = box.open(receiver.send, replace(HELD, poll_seconds=3600.0))
    running = asyncio.create_task(outbox.run())
    await asyncio.sleep(0.05)
    names = await box.fill(outbox, 50)
    await outbox.put(entry(0, Batching(10, 3600.0)))
    assert await outbox.drain(START_SECONDS) == 0
    await outbox.put(owed("dlv_later"))
    await until(lambda: len(receiver.got) == 52)
    running.cancel()
    assert [got[0] for got in receiver.got if got[1] == "audit"] == [*names, "dlv_later"]


async def test_order_holds_per_webhook_while_one_is_failing(box: Box, receiver: Receiver) -> None:
    outbox = box.open(receiver.send)
    for number in range(5):
        await outbox.put(owed(f"dlv_a{number}", "a", f"a{number}"))
        await outbox.put(owed(f"dlv_b{number}", "b", f"b{number}"))
    receiver.statuses = [503, 503, 503, 503]
    assert await outbox.drain(START_SECONDS) == 0
    for webhook in "ab":
        seen = list(dict.fromkeys(body for body in receiver.bodies if body.startswith(webhook)))
        assert seen == [f"{webhook}{number}" for number in range(5)]
    attempts = [len(d.attempts) for d in await outbox.listed()]
    assert sum(attempts) == 14
    assert Counter(got[0] for got in receiver.got).most_common(1)[0][1] > 1  # a retry has the id of the first


async def test_a_dead_letter_is_kept_shown_and_replayed_with_its_id(box: Box, receiver: Receiver) -> None:
    outbox = box.open(receiver.send)
    receiver.statuses = [400]
    names = await box.fill(outbox, 2)
    assert await outbox.drain(START_SECONDS) == 0
    dead = await outbox.listed(state=DeliveryState.DEAD)
    assert [d.id for d in dead] == [names[0]]
    assert (await outbox.get(names[0])).attempts[0].status == 400
    assert await outbox.replay(names[0]) == names[0]
    with pytest.raises(ConflictError):
        await outbox.replay(names[0])
    assert await outbox.drain(START_SECONDS) == 0
    assert [got[0] for got in receiver.got] == [*names, names[0]]
    assert len((await outbox.get(names[0])).attempts) == 2


async def test_a_delivered_one_is_replayed_under_a_new_id(box: Box, receiver: Receiver) -> None:
    outbox = box.open(receiver.send)
    (name,) = await box.fill(outbox, 1)
    await outbox.drain(START_SECONDS)
    again = await outbox.replay(name)
    assert again != name
    await outbox.drain(START_SECONDS)
    assert [got[0] for got in receiver.got] == [name, again]
    assert receiver.bodies == ["0", "0"]


async def test_a_delivery_that_an_agent_waited_for_is_recorded_and_not_replayed(box: Box) -> None:
    outbox = box.open()
    made = replace(delivery("dlv_1"), state=DeliveryState.FAILED, attempts=(Attempt(1, 1.0, 2.0, None, "timeout"),))
    outbox.record(replace(made, state=DeliveryState.PENDING))
    outbox.record(made)
    assert await outbox.get("dlv_1") == made
    with pytest.raises(ConflictError, match="waited"):
        await outbox.replay("dlv_1")
    with pytest.raises(NotFoundError):
        await outbox.replay("dlv_2")
    assert await outbox.left() == 0


async def test_pages_of_the_list_go_on_where_the_last_one_ended(box: Box) -> None:
    outbox = box.open()
    names = await box.fill(outbox, 5)
    first = await outbox.listed(limit=2)
    rest = await outbox.listed(limit=10, before=first[-1].id)
    assert [d.id for d in first + rest] == names[::-1]
    assert await outbox.listed(webhook="other") == []


def entry(number: int, batching: Batching) -> NewDelivery:
    return NewDelivery(delivery("", "batched", json.dumps({"n": number})), "hooks.toml", batching=batching)


async def test_batches_are_full_or_flushed_and_in_order(box: Box, receiver: Receiver) -> None:
    outbox = box.open(receiver.send)
    for number in range(25):
        await outbox.put(entry(number, Batching(10, 0.1)))
    running = asyncio.create_task(outbox.run())
    await until(lambda: len(receiver.got) == 3)
    running.cancel()
    batches = [[event["n"] for event in json.loads(body)["events"]] for body in receiver.bodies]
    assert batches == [list(range(10)), list(range(10, 20)), list(range(20, 25))]
    assert len({got[0] for got in receiver.got}) == 3
    shown = (await outbox.listed())[0]
    assert (shown.webhook, shown.event) == ("batched", "")


async def test_a_batch_waits_for_more_until_its_time_but_not_at_the_end(box: Box, receiver: Receiver) -> None:
    outbox = box.open(receiver.send)
    await outbox.put(entry(0, Batching(10, 3600.0)))
    running = asyncio.create_task(outbox.run())
    await asyncio.sleep(0.2)
    assert receiver.got == []
    assert await outbox.left() == 1
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await outbox.drain(START_SECONDS) == 0
    assert len(receiver.got) == 1


async def test_a_batch_keeps_its_id_and_events_on_a_retry_in_another_process(box: Box, receiver: Receiver) -> None:
    async def die(parcel: QueuedDelivery) -> SendResult:
        await receiver.send(parcel)
        raise asyncio.CancelledError

    first = box.open(die)
    for number in range(3):
        await first.put(entry(number, Batching(10, 0.0)))
    dying = asyncio.create_task(first.run())
    await until(lambda: len(receiver.got) > 0)
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    await first.put(entry(3, Batching(10, 0.0)))
    assert await box.open(receiver.send).drain(START_SECONDS) == 0
    ids = [got[0] for got in receiver.got]
    assert len(set(ids)) == 2
    first_batches = {got[2] for got in receiver.got if got[0] == ids[0]}
    assert [json.loads(body)["events"] for body in first_batches] == [[{"n": 0}, {"n": 1}, {"n": 2}]]


async def test_a_huge_batch_is_split(box: Box, receiver: Receiver) -> None:
    outbox = box.open(receiver.send)
    for _ in range(3):
        made = delivery("", "batched", json.dumps({"text": "x" * 600_000}))
        await outbox.put(NewDelivery(made, "hooks.toml", batching=Batching(10, 0.0)))
    assert await outbox.drain(START_SECONDS) == 0
    assert [len(json.loads(body)["events"]) for body in receiver.bodies] == [1, 1, 1]


async def test_rate_limits_hold_for_all_webhooks_of_one_endpoint(box: Box, receiver: Receiver) -> None:
    sent: list[float] = []

    async def send(parcel: QueuedDelivery) -> SendResult:
        sent.append(time.monotonic())
        return await receiver.send(parcel)

    outbox = box.open(send)
    for number in range(6):
        made = owed(f"dlv_{number}", "ab"[number % 2])
        await outbox.put(replace(made, rates=(Rate(2, 0.2),), endpoint="robot"))
    with sqlite3.connect(box.path) as connection:  # a place that was taken long ago is forgotten: keep them all
        connection.execute("CREATE TABLE places (at_mono REAL)")
        connection.execute(
            "CREATE TRIGGER kept AFTER INSERT ON pace BEGIN INSERT INTO places VALUES (NEW.at_mono); END"
        )
    assert await outbox.drain(START_SECONDS) == 0
    places = [at for (at,) in connection.execute("SELECT at_mono FROM places ORDER BY at_mono")]
    connection.close()
    assert len(places) == len(sent) == 6
    assert all(places[i + 2] - places[i] >= 0.2 - 1e-9 for i in range(4))
    assert all(at <= begun for at, begun in zip(places, sent, strict=True))  # none goes out before it has its place


async def test_a_long_rate_limit_lets_the_lane_go_and_loses_nothing(box: Box, receiver: Receiver) -> None:
    outbox = box.open(receiver.send)
    for number in range(3):
        await outbox.put(replace(owed(f"dlv_{number}"), rates=(Rate(2, 3600.0),), endpoint="robot"))
    assert await outbox.drain(3600) == 1  # which does not last as long
    assert len(receiver.got) == 2


async def test_a_webhook_that_this_process_cannot_send_for_is_left_to_another(box: Box, receiver: Receiver) -> None:
    async def elsewhere(parcel: QueuedDelivery) -> SendResult:
        if parcel.delivery.webhook == "theirs":
            raise UnknownOriginError("the variable TOKEN is not set")
        return await receiver.send(parcel)

    outbox = box.open(elsewhere)
    await outbox.put(owed("dlv_1", "theirs"))
    await outbox.put(owed("dlv_2", "ours"))
    assert await outbox.drain(START_SECONDS) == 1
    assert [got[0] for got in receiver.got] == ["dlv_2"]
    assert await box.open(receiver.send).drain(START_SECONDS) == 0
    assert [got[0] for got in receiver.got] == ["dlv_2", "dlv_1"]


async def test_a_sender_that_breaks_holds_back_its_own_webhook_only(box: Box, receiver: Receiver) -> None:
    async def broken(parcel: QueuedDelivery) -> SendResult:
        if parcel.delivery.webhook == "bad":
            raise RuntimeError("boom")
        return await receiver.send(parcel)

    outbox = box.open(broken)
    await outbox.put(owed("dlv_1", "bad"))
    await outbox.put(owed("dlv_2", "good"))
    assert await outbox.drain(START_SECONDS) == 1
    assert box.warnings == ["background deliveries of one webhook are held back: boom"]


async def test_a_drain_ends_in_its_time_and_the_next_process_goes_on(box: Box, receiver: Receiver) -> None:
    async def stuck(parcel: QueuedDelivery) -> SendResult:
        await asyncio.Event().wait()
        raise AssertionError

    outbox = box.open(stuck)
    names = await box.fill(outbox, 3)
    assert await outbox.drain(0.2) == 3
    outbox.close()
    assert await box.open(receiver.send).drain(START_SECONDS) == 0
    assert [got[0] for got in receiver.got] == names


async def test_the_same_delivery_is_accepted_once(box: Box) -> None:
    outbox = box.open()
    await outbox.put(owed("dlv_1"))
    await outbox.put(owed("dlv_1"))
    assert await outbox.left() == 1


def alive(_: str) -> bool:
    return False


def test_only_a_process_that_is_certainly_gone_is_called_gone() -> None:
    mine = process_owner.new_owner()
    assert not process_owner.is_gone(mine)
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    assert process_owner.is_gone(mine.replace(str(os.getpid()), str(ended.pid), 1))
    for other in ("", "x", "@", "dead", f"{ended.pid}@elsewhere/:x", "0@", "-1@", "9" * 40 + mine[mine.index("@") :]):
        assert not process_owner.is_gone(other)


async def test_a_claim_that_waited_for_its_turn_takes_no_lane_that_was_leased_meanwhile(box: Box) -> None:
    outbox = box.open()
    await box.fill(outbox, 1)
    outbox.close()
    taking = rows.BatchLimits(time.time(), box.ids.delivery, 10, 1000, flush=False)
    with sqlite3.connect(box.path) as connection:
        assert rows.claim(connection, 1, rows.Lease("first", 100.2, 15.0), taking).parcels
        late = rows.Lease("second", 100.0, 15.0)  # looked at the clock before the first one did
        assert rows.ready(connection, late, alive) == []
        assert rows.claim(connection, 1, late, taking) == rows.QueueLease()
        assert rows.ready(connection, rows.Lease("second", 115.3, 15.0), alive) == [1]
    connection.close()


async def test_a_late_look_at_the_clock_does_not_beat_a_rate_limit(box: Box) -> None:
    outbox = box.open()
    await box.fill(outbox, 1)
    outbox.close()
    limit = (Rate(1, 10.0),)
    with sqlite3.connect(box.path) as connection:
        assert rows.reserve(connection, "robot", limit, 100.2) == 0
        assert rows.reserve(connection, "robot", limit, 100.0) == pytest.approx(10.2)
        assert rows.reserve(connection, "robot", limit, 110.3) == 0
    connection.close()


async def test_two_outboxes_at_once_send_everything_once_and_in_order(box: Box, receiver: Receiver) -> None:
    first, second = box.open(receiver.send, HELD), box.open(receiver.send, HELD)
    for number in range(60):
        for webhook in ("a", "b", "c"):
            await (first if number % 2 else second).put(owed(box.ids.delivery(), webhook, f"{number}"))
    await asyncio.gather(first.drain(START_SECONDS), second.drain(START_SECONDS))
    assert await first.left() == 0
    assert len(receiver.got) == len({got[0] for got in receiver.got}) == 180
    for webhook in ("a", "b", "c"):
        assert [int(got[2]) for got in receiver.got if got[1] == webhook] == list(range(60))


def run_script(box: Box, url: str, mode: str, count: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), str(box.path), url, mode, str(count)],
        stdout=subprocess.PIPE,
        cwd=SCRIPT.parents[2],
    )


async def ended(process: subprocess.Popen[bytes]) -> tuple[int, bytes]:
    output, _ = await asyncio.to_thread(process.communicate, timeout=60)
    return process.returncode, output


async def test_killed_between_send_and_record_the_next_process_repeats_under_the_same_id(
    box: Box, receiver: Receiver
) -> None:
    outbox = box.open(receiver.send)
    names = await box.fill(outbox, 10)
    code, _ = await ended(run_script(box, receiver.url, "die-after-send", 4))
    assert code == -signal.SIGKILL
    assert await outbox.left() >= 7
    for _ in range(100):
        if await outbox.drain(5) == 0:
            break
        await asyncio.sleep(0.05)  # the dead process's lease has to end
    ids = [got[0] for got in receiver.got]
    assert list(dict.fromkeys(ids)) == names  # all of them, first seen in order
    repeated = {name for name, count in Counter(ids).items() if count > 1}
    assert names[3] in repeated
    assert repeated <= set(names[:4])


async def test_killed_while_accepting_nothing_that_was_accepted_is_lost(box: Box, receiver: Receiver) -> None:
    process = run_script(box, receiver.url, "put", 100_000)
    assert process.stdout is not None
    last = 0
    for _ in range(50):
        last = int((await asyncio.to_thread(process.stdout.readline)).split()[1])
    process.kill()
    rest = await asyncio.to_thread(process.stdout.read)
    await asyncio.to_thread(process.wait)
    process.stdout.close()
    last = max([last, *(int(line.split()[1]) for line in rest.decode().split("\n")[:-1])])
    assert await box.open(receiver.send).drain(START_SECONDS) == 0
    bodies = [int(body) for body in receiver.bodies]
    assert bodies == list(range(len(bodies)))
    assert len(bodies) >= last + 1


async def test_two_processes_at_once_lose_and_double_nothing(box: Box, receiver: Receiver) -> None:
    outbox = box.open()
    for number in range(100):
        await outbox.put(owed(box.ids.delivery(), f"hook-{number % 4}", str(number)))
    processes = [run_script(box, receiver.url, "send", 60) for _ in range(2)]
    assert [(await ended(process))[0] for process in processes] == [0, 0]
    assert await outbox.left() == 0
    assert len(receiver.got) == len({got[0] for got in receiver.got}) == 100
    for lane in range(4):
        numbers = [int(got[2]) for got in receiver.got if got[1] == f"hook-{lane}"]
        assert numbers == sorted(numbers)


class JumpingClock(SystemClock):
    """The wall clock can be set; the monotonic one goes on, as on a real machine."""

    jump = 0.0

    def now(self) -> float:
        return super().now() + self.jump


@pytest.mark.parametrize("jump", [-10 * 365 * 86_400.0, 10 * 365 * 86_400.0])
async def test_a_clock_that_jumps_delays_and_loses_nothing(box: Box, receiver: Receiver, jump: float) -> None:
    clock = JumpingClock()
    receiver.statuses = [503, 503]
    outbox = box.open(receiver.send, clock=clock)
    await box.fill(outbox, 5)
    await outbox.put(entry(0, Batching(10, 0.05)))
    running = asyncio.create_task(outbox.run())
    await until(lambda: len(receiver.got) >= 2)
    clock.jump = jump
    await outbox.put(entry(1, Batching(10, 0.05)))
    await until(lambda: sum(len(json.loads(b)["events"]) for b in set(receiver.bodies) if "events" in b) == 2)
    await until(lambda: {"0", "1", "2", "3", "4"} <= set(receiver.bodies))
    await none_left(outbox)
    running.cancel()


async def test_a_restart_of_the_machine_frees_leases_and_waits(box: Box, receiver: Receiver) -> None:
    """After a restart the monotonic clock begins anew, far below the stored times."""
    outbox = box.open(receiver.send)
    await box.fill(outbox, 1)
    with sqlite3.connect(box.path) as connection:
        far = time.monotonic() + 40_000
        connection.execute("UPDATE lane SET owner = 'dead', leased_until_mono = ?, due_mono = ?", (far, far))
        connection.execute("INSERT INTO pace VALUES ('x', ?)", (far,))
    connection.close()
    assert await outbox.drain(5) == 0


async def test_the_file_is_its_owners_and_holds_no_secret(box: Box) -> None:
    outbox = box.open()
    await box.fill(outbox, 1)
    for path in (box.path, box.path.with_name("outbox.db-wal")):
        assert path.stat().st_mode & 0o777 == 0o600
    assert box.path.parent.stat().st_mode & 0o777 == 0o700


async def put_until_full(outbox: Outbox, body: str) -> tuple[int, FileFullError]:
    """How many were accepted before there was no room."""
    for accepted in range(10_000):
        try:
            await outbox.put(owed(f"dlv_{accepted:04}", body=body))
        except FileFullError as error:
            return accepted, error
    raise AssertionError("it was never full")


async def test_a_full_outbox_says_so_keeps_what_it_has_and_goes_on_when_there_is_room(
    box: Box, receiver: Receiver
) -> None:
    outbox = box.open(receiver.send, replace(QUICK, most_bytes=300_000))
    accepted, error = await put_until_full(outbox, "x" * 20_000)
    assert "the outbox has reached its bound of 292 KiB" in str(error)
    assert "make room" in str(error)
    assert 3 < accepted < 20
    assert await outbox.left() == accepted
    assert await outbox.drain(START_SECONDS) == 0
    assert len(receiver.got) == accepted
    for number in range(30):  # what was delivered makes room for what is owed
        await outbox.put(owed(f"dlv_more_{number}", body="x" * 20_000))
        await outbox.drain(START_SECONDS)
    assert len(receiver.got) == accepted + 30
    assert box.path.stat().st_size <= 300_000


async def test_a_full_disk_loses_nothing_accepted(box: Box, receiver: Receiver) -> None:
    """The disk is full for real: a limit on the size of files makes every longer write fail."""
    outbox = box.open(receiver.send)
    await box.fill(outbox, 3)
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    wal = box.path.with_name("outbox.db-wal")
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (wal.stat().st_size + 30_000, old[1]))
        accepted, _ = await put_until_full(outbox, "y" * 2000)
        running = asyncio.create_task(outbox.run())
        await until(lambda: any("cannot be written down" in warning for warning in box.warnings))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, ignored)
    await none_left(outbox)
    running.cancel()
    assert len({got[0] for got in receiver.got}) == accepted + 3


async def test_a_locked_file_gives_a_clear_error_and_later_works(box: Box) -> None:
    outbox = box.open()
    await box.fill(outbox, 1)
    outbox._file._busy_seconds = 0.1
    outbox.close()
    outbox = box.open()
    outbox._file._busy_seconds = 0.1
    await outbox.left()
    held, free = threading.Event(), threading.Event()

    def hold() -> None:
        connection = sqlite3.connect(box.path, isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        held.set()
        free.wait(START_SECONDS)
        connection.execute("ROLLBACK")
        connection.close()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(START_SECONDS)
    with pytest.raises(FileBusyError, match="another process has held the file"):
        await outbox.put(owed("dlv_x"))
    free.set()
    holder.join()
    await outbox.put(owed("dlv_x"))
    assert await outbox.left() == 2


async def test_a_file_that_is_no_database_is_refused_and_left_alone(box: Box) -> None:
    box.path.parent.mkdir()
    box.path.write_bytes(b"precious notes, not a database" * 100)
    before = box.path.read_bytes()
    outbox = box.open()
    with pytest.raises(Exception, match="cannot use the file"):
        await outbox.put(owed("dlv_1"))
    outbox.record(delivery("dlv_2"))
    outbox.close()
    assert box.path.read_bytes() == before
    assert any("not recorded" in warning for warning in box.warnings)


async def test_a_file_that_cannot_be_read_is_told_of_once_and_used_when_it_can(box: Box, receiver: Receiver) -> None:
    box.path.parent.mkdir()
    box.path.mkdir()
    outbox = box.open(receiver.send)
    running = asyncio.create_task(outbox.run())
    await until(lambda: bool(box.warnings))
    await asyncio.sleep(0.3)  # it goes on looking, and says no more
    box.path.rmdir()
    await outbox.put(owed("dlv_1"))
    await until(lambda: len(receiver.got) == 1)
    running.cancel()
    assert len(box.warnings) == 1
    assert "the outbox cannot be read" in box.warnings[0]


async def test_finished_deliveries_are_pruned_and_owed_ones_never(box: Box, receiver: Receiver) -> None:
    bounds = replace(QUICK, kept_rows=50)
    outbox = box.open(receiver.send, bounds)
    await outbox.put(owed("dlv_first", "theirs"))
    for number in range(1200):
        outbox.record(replace(delivery(f"dlv_{number:04}"), state=DeliveryState.DELIVERED))
    deadline = time.monotonic() + START_SECONDS
    while len(await outbox.listed(state=DeliveryState.DELIVERED, limit=5000)) > 50 + 500:
        assert time.monotonic() < deadline, "nothing was pruned"
    assert await outbox.left() == 1
    assert (await outbox.listed(limit=1))[0].id == "dlv_1199"


async def test_puts_from_many_threads_are_all_accepted(box: Box, receiver: Receiver) -> None:
    outbox = box.open(receiver.send)

    def put(thread: int) -> None:
        for number in range(50):
            outbox.put_nowait(owed(f"dlv_{thread}_{number}", f"t{thread}", str(number))).result(START_SECONDS)

    await asyncio.gather(*(asyncio.to_thread(put, thread) for thread in range(4)))
    assert await outbox.drain(START_SECONDS) == 0
    assert len(receiver.got) == 200
