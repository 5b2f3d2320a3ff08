"""The command that an agent's hook runs: hands one event to the relay and ends as the relay says.

Installed as `python -S -E -I shim.py FOLDER AGENT EVENT SECONDS MODE`, never imported. FOLDER holds the relay's socket.
MODE is letters: `c` closed (whatever goes wrong refuses the step), `m` the user allowed modifications, `s` the relay is
started when there is none. An agent waits for this program at every tool call, so it imports nothing but what the
interpreter has in itself: `socket`, `json` and `argparse` would each cost more than all of it.
"""

import posix
import sys
import time
from _signal import ITIMER_REAL, SIGALRM, setitimer, signal  # type: ignore[import-not-found]
from _socket import AF_UNIX, SHUT_WR, SOCK_STREAM, socket

SOCKET = "relay.sock"
BLOCKED = 2
SAID = 12  # a closed line's tail knows by this that the reason has been given, and makes it 2
TOO_LARGE = "L"
LARGEST_EVENT = 16 * 1024 * 1024
LARGEST_ANSWER = 32 * 1024 * 1024
CHUNK = 65_536
START = "from hookyard.bridge.relay import main; main()"


class ShimError(Exception):
    """Why the relay could not be asked."""


class TooLargeError(ShimError):
    """There is more to read than may be."""


def main(arguments: list[str]) -> int:
    """Ask, and pass on what comes back; gives the exit code."""
    mode = "c"
    try:
        directory, agent, event, seconds, mode = arguments
        signal(SIGALRM, _late)
        setitimer(ITIMER_REAL, float(seconds))
        where = posix.getcwd()
        text, whole = _read_event()
        head = (agent, event, mode + noise() + ("" if whole else TOO_LARGE), seconds, where)
        sent = b"".join([part.encode("utf-8", "surrogateescape") + b"\0" for part in head]) + text
        posix.chdir(directory)  # the path of a socket may be 107 bytes long, that of a folder longer
        try:
            code, out, err = _ask(sent, "s" in mode)
        except ConnectionResetError:  # a relay that was just being killed: it has not read what was sent
            code, out, err = _ask(sent, "s" in mode)
        setitimer(ITIMER_REAL, 0.0)
        _write(2, err)
        _write(1, out)
    except (OSError, ValueError, ShimError) as error:
        _write(2, f"hookyard: the webhooks could not be asked: {error}\n".encode("utf-8", "replace"))
        code = BLOCKED if "c" in mode else 0
    return SAID if code == BLOCKED and "c" in mode else code


def noise() -> str:
    """Return letters for what can make the hook's shell print; the dialect knows which of them that shell obeys."""
    own = posix.environ
    found = ""
    if own.get(b"BASH_ENV") or b"BASH_XTRACEFD" in own:
        found += "B"
    if own.get(b"ENV"):
        found += "E"
    places = [own.get(b"ZDOTDIR"), own.get(b"HOME")]
    files = [place + b"/.zshenv" for place in places if place]
    if own.get(b"SHELL", b"").endswith(b"zsh"):
        files += [b"/etc/zshenv", b"/etc/zsh/zshenv"]
    for file in files:
        try:
            posix.stat(file)
        except OSError:
            continue
        return found + "Z"
    return found


def _read_event() -> tuple[bytes, bool]:
    """Return the agent's event, and whether it is complete: an event that is too large is not sent to the relay."""
    try:
        return _read_all(0, LARGEST_EVENT), True
    except TooLargeError:
        while posix.read(0, CHUNK):
            pass  # an agent whose pipe breaks might go on
        return b"", False


def _late(*_: object) -> None:
    raise ShimError("no answer in time")


def _ask(sent: bytes, may_start: bool) -> tuple[int, bytes, bytes]:
    talk = _connect(may_start)
    try:
        talk.sendall(sent)
        talk.shutdown(SHUT_WR)
    except BrokenPipeError:
        pass  # it has read enough to answer
    answer = _read_all(talk.fileno(), LARGEST_ANSWER)
    head, found, rest = answer.partition(b"\n")
    if not found:
        raise ShimError("the relay ended without an answer")
    code, out, err = (int(part) for part in head.split())
    if len(rest) != out + err:
        raise ShimError("the relay's answer is cut off")
    return code, rest[:out], rest[out:]


def _connect(may_start: bool) -> socket:
    """Return a connection to the relay, which is started when none listens. The alarm ends the wait."""
    started = False
    while True:
        talk = socket(AF_UNIX, SOCK_STREAM)
        try:
            talk.connect(SOCKET)
        except (FileNotFoundError, ConnectionRefusedError) as error:
            if not may_start:
                raise ShimError("no relay") from error
            if not started:
                _start()
                started = True
            time.sleep(0.02)
        else:
            return talk


def _start() -> None:
    """Start the relay, detached: it outlives the agent and holds none of its pipes."""
    if posix.fork():
        return
    try:
        posix.setsid()
        nothing = posix.open("/dev/null", posix.O_RDWR)
        told = posix.open("relay.log", posix.O_WRONLY | posix.O_CREAT | posix.O_APPEND, 0o600)
        posix.dup2(nothing, 0)
        posix.dup2(nothing, 1)
        posix.dup2(told, 2)
        posix.execv(sys.executable, [sys.executable, "-I", "-c", START, posix.getcwd()])
    finally:
        posix._exit(127)  # noqa: SLF001 - the one way to end a forked child


def _read_all(source: int, limit: int) -> bytes:
    parts = []
    size = 0
    while chunk := posix.read(source, CHUNK):
        parts.append(chunk)
        size += len(chunk)
        if size > limit:
            raise TooLargeError(f"more than {limit} bytes")
    return b"".join(parts)


def _write(target: int, text: bytes) -> None:
    try:
        while text:
            text = text[posix.write(target, text) :]
    except OSError:
        pass  # the agent does not listen


if __name__ == "__main__":
    posix._exit(main(sys.argv[1:]))  # noqa: SLF001 - without the interpreter's farewell
