"""The supervisor: a small process between a worker and one child, so that no child outlives its worker.

Started by `agents.processes` as `python -S -E -I supervisor.py FD GRACE ARGV…`, never imported by hookyard. It runs
ARGV in a session of its own and waits for the first of two things: the child's end, or the end of the pipe FD, whose
other side only the worker holds. The kernel closes that side however the worker dies, SIGKILL included; a worker
that wants the child to end closes it. Either way everything that the child started is ended as well: SIGTERM, then
SIGKILL after GRACE seconds. Its exit code is the child's, or 128 plus the signal that ended it.

On Linux descendants cannot escape by daemonizing: the supervisor is their reaper, and a child dies with it. On
macOS, which has neither, those that made a session of their own are found only while their parents live.

It must import as little as Python allows, since every tool call that starts a process pays for it.
"""

import _signal  # type: ignore[import-not-found]  # `signal` itself imports enum, which costs more than the rest of this file
import os
import select
import sys
import time

SIGTERM, SIGKILL, SIGPIPE = 15, 9, 13
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
REAP_SECONDS = 5.0
CANNOT_START = 127


def prctl(option: int, value: int) -> None:
    """Call Linux's prctl; do nothing on other systems."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def start(argv: list[str]) -> int:
    """Start the child and return its process id."""
    keeper = os.getpid()
    child = os.fork()
    if child:
        return child
    try:
        os.setsid()
        prctl(PR_SET_PDEATHSIG, SIGKILL)
        if os.getppid() != keeper:
            os._exit(CANNOT_START)
        _signal.signal(SIGPIPE, _signal.SIG_DFL)  # Python ignores it, and its child would inherit that
        os.execvp(argv[0], argv)  # noqa: S606 - the argv is the administrator's or the user's own, and no shell reads it
    except OSError as error:
        os.write(2, f"{argv[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(CANNOT_START)


def wait(child: int, control: int) -> None:
    """Return when the child has ended or the worker has let go."""
    if sys.platform == "linux":
        poll = select.poll()
        poll.register(control, select.POLLIN | select.POLLHUP)
        poll.register(os.pidfd_open(child), select.POLLIN)
        poll.poll()
    else:
        events = [
            select.kevent(control, select.KQ_FILTER_READ, select.KQ_EV_ADD),
            select.kevent(child, select.KQ_FILTER_PROC, select.KQ_EV_ADD, select.KQ_NOTE_EXIT),
        ]
        try:
            select.kqueue().control(events, 1)
        except ProcessLookupError:
            return  # it had ended before it could be watched


def parents() -> dict[int, int]:
    """Return every process of the machine with its parent."""
    if sys.platform != "linux":
        import subprocess

        listed = subprocess.run(["/bin/ps", "-axo", "pid=,ppid="], capture_output=True, text=True, check=False).stdout
        return {int(pid): int(parent) for pid, parent in (line.split() for line in listed.splitlines())}
    found = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - pathlib costs milliseconds to import
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123
                    # The name, in parentheses, may itself hold spaces and parentheses.
                    found[int(name)] = int(file.read().rpartition(b")")[2].split()[1])
            except OSError:
                continue  # it has ended meanwhile
    return found


def descendants() -> set[int]:
    """Return every descendant of this process, including ended ones that no process has waited for."""
    of = parents()
    found = {os.getpid()}
    grown = True
    while grown:
        grown = False
        for pid, parent in of.items():
            if parent in found and pid not in found:
                found.add(pid)
                grown = True
    return found - {os.getpid()}


def signal_all(child: int, number: int) -> None:
    """Send a signal to the child's group and to every descendant."""
    for send, target in [(os.killpg, child), *((os.kill, pid) for pid in descendants())]:
        try:
            send(target, number)
        except OSError:
            continue  # it has ended meanwhile


class ExitTracker:
    """What has been waited for.

    Attributes:
        status: The child's wait status, None while it runs.
        none_left: Nothing is left to wait for.
    """

    def __init__(self, child: int) -> None:
        self.status: int | None = None
        self.none_left = False
        self._child = child

    def reap(self) -> None:
        """Wait for whatever has ended, without blocking."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self.none_left = True
                return
            if pid == 0:
                return
            if pid == self._child:
                self.status = status

    def within(self, seconds: float) -> bool:
        """Return whether no process is left to wait for within so many seconds."""
        deadline = time.monotonic() + seconds
        pause = 0.001
        while True:
            self.reap()
            if self.none_left:
                return True
            if time.monotonic() >= deadline:
                return False
            time.sleep(pause)
            pause = min(pause * 2, 0.02)


def main(control: int, grace: float, argv: list[str]) -> int:
    """Keep one child; gives the exit code."""
    os.set_inheritable(control, False)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    child = start(argv)
    wait(child, control)
    ended = ExitTracker(child)
    ended.reap()
    if not ended.none_left or sys.platform != "linux":
        signal_all(child, SIGTERM)
        if not ended.within(grace) or sys.platform != "linux":
            deadline = time.monotonic() + REAP_SECONDS
            while time.monotonic() < deadline:
                signal_all(child, SIGKILL)
                if ended.within(0.05):
                    break
    if ended.status is None:
        return CANNOT_START
    code = os.waitstatus_to_exitcode(ended.status)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    os._exit(main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]))
