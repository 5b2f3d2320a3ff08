"""Settings: one frozen object for the process, one table for what can change while it runs.

`Settings` holds where things are (folders, addresses, keys): environment `HOOKYARD_*` over the settings file over the
defaults, read once at start. `LIVE` lists what administrators change at run time (`eventCallback.*` and the rest); its
values come from the environment over the settings file (read again while the server runs) over the database, and
`LiveSettings` is one snapshot of them.

Read by every layer; reads nothing of hookyard but errors.
"""

from __future__ import annotations

import contextlib
import difflib
import ipaddress
import math
import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from hookyard.core.errors import InvalidError, Problem

T = TypeVar("T")
SettingValue = bool | int | float | str

SETTINGS_FILE = "hookyard.toml"
"""Name of the settings file in the data folder."""

SQLITE = "sqlite:///"
"""How the URL of a SQLite database begins; what follows is the path of its file as it is, nothing in it is encoded."""

_IN_FILE = (
    "database_url", "host", "port", "public_url", "admin_token", "secret_key", "model", "allow_private_hosts",
    "egress_proxy",
)  # fmt: skip
"""What the settings file may say besides the settings that can change while the server runs."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting that can change while the server runs.

    Attributes:
        name: Dotted name, as in the API and the settings file.
        default: Its default; its type is the setting's type.
        help_en: What it means, one sentence, English.
        help_zh: The same in Chinese.
        minimum: Smallest number allowed.
        maximum: Largest number allowed.
        unit: Unit shown after the value.
    """

    name: str
    default: SettingValue
    help_en: str
    help_zh: str
    minimum: float | None = None
    maximum: float | None = None
    unit: str = ""

    @property
    def variable(self) -> str:
        """The environment variable that pins it, such as `HOOKYARD_EVENT_CALLBACK_DEDUP_WINDOW_MS`."""
        return "HOOKYARD_" + re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", self.name.replace(".", "_")).upper()

    def check(self, value: object) -> SettingValue:
        """Return the value in the setting's own type.

        Raises:
            InvalidError: Wrong type or outside the bounds.
        """
        checked: SettingValue
        if isinstance(self.default, bool):
            if not isinstance(value, bool):
                raise self._refuse(f"{value!r} is not true or false")
            checked = value
        elif isinstance(self.default, int | float):
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise self._refuse(f"{value!r} is not a number")
            if not math.isfinite(value):
                raise self._refuse(f"{value} is not a finite number")
            if isinstance(self.default, int) and value != int(value):
                raise self._refuse(f"{value!r} is not a whole number")
            if self.minimum is not None and value < self.minimum:
                raise self._refuse(f"{value} is below {_plain(self.minimum)}")
            if self.maximum is not None and value > self.maximum:
                raise self._refuse(f"{value} is above {_plain(self.maximum)}")
            checked = type(self.default)(value)
        else:
            if not isinstance(value, str):
                raise self._refuse(f"{value!r} is not a text")
            checked = value
        return checked

    def parse(self, text: str) -> SettingValue:
        """Return the value of an environment variable.

        Raises:
            InvalidError: The text is not a value of this setting.
        """
        if isinstance(self.default, bool):
            words = {
                "true": True,
                "1": True,
                "yes": True,
                "on": True,
                "false": False,
                "0": False,
                "no": False,
                "off": False,
            }
            if text.strip().lower() not in words:
                raise self._refuse(f"{text!r} is not true or false")
            return words[text.strip().lower()]
        if isinstance(self.default, int | float):
            try:
                number = float(text)
            except ValueError:
                raise self._refuse(f"{text!r} is not a number") from None
            return self.check(int(number) if number.is_integer() else number)
        return text

    def _refuse(self, what: str) -> InvalidError:
        if self.minimum is not None and self.maximum is not None:
            bounds = f" from {_plain(self.minimum)} to {_plain(self.maximum)}"
        else:
            bounds = "" if self.minimum is None else f" of at least {_plain(self.minimum)}"
        if isinstance(self.default, bool):
            hint = "give true or false"
        else:
            kind = {int: "a whole number", float: "a number"}.get(type(self.default), "a text")
            hint = f"give {kind}{bounds}, such as {self.default!r}"
        return InvalidError(what, where=self.name, hint=hint, problems=(Problem(self.name, f"{what}; {hint}"),))


_DAY_MS = 86_400_000

LIVE: dict[str, Setting] = {
    s.name: s
    for s in (
        Setting(
            "eventCallback.dedupEnabled", True, "Drop events that repeat within the window", "在窗口内去除重复事件"
        ),
        Setting("eventCallback.dedupWindowMs", 5000, "Window of event dedupe", "事件去重的时间窗口", 0, _DAY_MS, "ms"),
        Setting(
            "eventCallback.mergeEnabled", False, "Merge events of one kind into one run", "将同类事件合并为一次运行"
        ),
        Setting("eventCallback.mergeWindowMs", 5000, "Window of merging", "批量合并的时间窗口", 1, _DAY_MS, "ms"),
        Setting(
            "eventCallback.maxQueueSize",
            100,
            "Callback runs executing at once, all workers together",
            "所有工作进程同时执行的回调运行数上限",
            1,
            100_000,
        ),
        Setting(
            "eventCallback.maxBacklog",
            10_000,
            "Waiting runs of one workspace above which new events are answered 429",
            "单个工作空间等待中的运行数上限，超过后对新事件返回 429",
            1,
            10_000_000,
        ),
        Setting(
            "eventCallback.maxChain",
            3,
            "Longest chain of events caused by runs",
            "由运行引发的事件链的最大长度",
            0,
            100,
        ),
        Setting(
            "eventCallback.subjectRunsPerHour",
            30,
            "Runs an hour of one callback for one task or conversation",
            "同一回调对同一任务或对话每小时的运行数上限",
            1,
            100_000,
        ),
        Setting(
            "quota.tokensPerDay",
            0,
            "Tokens a day of one workspace; 0 = no limit",
            "单个工作空间每天的 token 上限；0 表示不限",
            0,
        ),
        Setting(
            "quota.runsPerHour",
            0,
            "Runs an hour of one workspace; 0 = no limit",
            "单个工作空间每小时的运行数上限；0 表示不限",
            0,
        ),
        Setting(
            "runs.timeoutSeconds",
            1800,
            "Time limit of a run whose callback sets none",
            "回调未设置时运行的时限",
            1,
            86_400,
            "s",
        ),
        Setting(
            "runs.maxAttempts",
            3,
            "Attempts of a run, restarts after crashes included, orderly stops not",
            "一次运行的最大尝试次数（含崩溃后的重启，不含正常停止）",
            1,
            20,
        ),
        Setting("worker.maxRuns", 16, "Runs at once in one worker", "单个工作进程同时执行的运行数", 1, 1000),
        Setting(
            "worker.leaseSeconds",
            45,
            "Silence after which a worker on PostgreSQL is treated as dead; read when a worker starts",
            "PostgreSQL 上的工作进程静默多久后视为已终止；工作进程启动时读取",
            6,
            3600,
            "s",
        ),
        Setting(
            "retention.eventDays",
            90,
            "Days that events are kept; 0 = keep permanently",
            "事件保留天数；0 表示永久",
            0,
            36_500,
            "d",
        ),
        Setting(
            "retention.runDays",
            90,
            "Days that finished runs are kept; 0 = keep permanently",
            "已结束运行的保留天数；0 表示永久",
            0,
            36_500,
            "d",
        ),
        Setting(
            "retention.deliveryDays",
            30,
            "Days that deliveries are kept; 0 = keep permanently",
            "投递记录保留天数；0 表示永久",
            0,
            36_500,
            "d",
        ),
    )
}
"""Every live setting by name, with the seed's defaults."""


@dataclass(frozen=True, slots=True)
class LiveSettings:
    """One snapshot of the live settings.

    Attributes:
        values: A value for each name of `LIVE`.
        pinned: Names that the environment or the settings file fixes, with the place that does; no API changes them.
    """

    values: Mapping[str, SettingValue] = field(default_factory=lambda: {s.name: s.default for s in LIVE.values()})
    pinned: Mapping[str, str] = field(default_factory=dict)

    def flag(self, name: str) -> bool:
        """Return a true-or-false setting."""
        return bool(self.values[name])

    def number(self, name: str) -> int:
        """Return a whole-number setting."""
        return int(self.values[name])

    def with_stored(self, stored: Mapping[str, SettingValue]) -> LiveSettings:
        """Return this snapshot with the values that the database holds, except where they are pinned."""
        free = {name: value for name, value in stored.items() if name in LIVE and name not in self.pinned}
        return LiveSettings({**self.values, **free}, self.pinned)


@dataclass(frozen=True, slots=True)
class Settings:
    """Where things are, for one process.

    Attributes:
        home: `HOOKYARD_HOME`, the user's own folder.
        data: The server's data folder; the home unless `--data` says otherwise.
        database_url: SQLite in the data folder, or `postgresql://…`.
        host: Address the server listens on.
        port: Port the server listens on, 0 = any free one.
        public_url: How others reach the server, no trailing slash; None = from host and port.
        admin_token: An administrator's token for scripts.
        secret_key: Key that stored secrets are encrypted with; None = the key file of the data folder.
        model: Default model of the built-in agent, `provider:name`.
        allow_private_hosts: Networks that server-side deliveries may reach.
        egress_proxy: Proxy of server-side deliveries.
    """

    home: Path
    data: Path
    database_url: str
    host: str = "127.0.0.1"
    port: int = 8484
    public_url: str | None = None
    admin_token: str | None = field(default=None, repr=False)
    secret_key: str | None = field(default=None, repr=False)
    model: str | None = None
    allow_private_hosts: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()
    egress_proxy: str | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """How this machine, or anybody through the public URL, reaches the server; no trailing slash."""
        if self.public_url:
            return self.public_url
        host = self.host
        with contextlib.suppress(ValueError):
            parsed = ipaddress.ip_address(host)
            if parsed.is_unspecified:
                host = "127.0.0.1" if parsed.version == 4 else "::1"
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, *, data: Path | None = None) -> Settings:
        """Read the environment and the settings file of the data folder.

        Args:
            environ: Variables; the process's own when None.
            data: The data folder, over `HOOKYARD_DATA` and the home.

        Raises:
            InvalidError: A value that cannot be used; names the variable or the file and the hint.
        """
        env = os.environ if environ is None else environ
        home = Path(env.get("HOOKYARD_HOME") or Path.home() / ".hookyard").expanduser().absolute()
        directory = (data or Path(env.get("HOOKYARD_DATA") or home)).expanduser().absolute()
        file = directory / SETTINGS_FILE
        in_file = read_settings_file(file)

        def value(name: str) -> str | None:
            from_env = env.get(f"HOOKYARD_{name.upper()}")
            if from_env:
                return from_env
            with _at(f"{file}: {name}"):
                return _as_text(in_file.get(name))

        def read(name: str, check: Callable[[str], T], otherwise: T) -> T:
            """Return the setting after `check`; an error names the variable or the file."""
            text = value(name)
            variable = f"HOOKYARD_{name.upper()}"
            with _at(variable if env.get(variable) else f"{file}: {name}"):
                return otherwise if not text else check(text)

        return cls(
            home=home,
            data=directory,
            database_url=read("database_url", _database, f"{SQLITE}{directory / 'hookyard.db'}"),
            host=value("host") or "127.0.0.1",
            port=read("port", _port, 8484),
            public_url=read("public_url", _address, None),
            admin_token=value("admin_token"),
            secret_key=value("secret_key"),
            model=value("model"),
            allow_private_hosts=read("allow_private_hosts", _networks, ()),
            egress_proxy=read("egress_proxy", _proxy, None),
        )

    def live(self, environ: Mapping[str, str] | None = None) -> LiveSettings:
        """Return the live settings that the environment and the settings file pin, over the defaults.

        Raises:
            InvalidError: A value that is not one of its setting.
        """
        env = os.environ if environ is None else environ
        path = self.data / SETTINGS_FILE
        in_file = _flatten(read_settings_file(path))
        values: dict[str, SettingValue] = {}
        pinned: dict[str, str] = {}
        for setting in LIVE.values():
            values[setting.name] = setting.default
            if setting.variable in env:
                with _at(setting.variable):
                    values[setting.name] = setting.parse(env[setting.variable])
                pinned[setting.name] = setting.variable
            elif setting.name in in_file:
                with _at(f"{path}: {setting.name}"):
                    values[setting.name] = setting.check(in_file[setting.name])
                pinned[setting.name] = str(path)
        return LiveSettings(values, pinned)


def read_settings_file(path: Path) -> dict[str, object]:
    """Return the settings file as TOML tables; empty when there is none.

    Raises:
        InvalidError: It cannot be read or parsed, or has an unknown setting.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidError(
            f"cannot read the settings file: {error}", where=str(path), hint="hint or remove it"
        ) from error
    for name in _flatten(content):
        if name not in _IN_FILE and name not in LIVE:
            near = difflib.get_close_matches(name, [*_IN_FILE, *LIVE], n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join([*_IN_FILE, *LIVE])}"
            raise InvalidError(f"there is no setting {name[:100]!r}", where=str(path), hint=hint)
    return content


def _as_text(value: object) -> str | None:
    """Return a value of the settings file in the form of a variable; None when there is none."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return ",".join(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise InvalidError("is no text", hint="put it into quotes")


@contextlib.contextmanager
def _at(where: str) -> Iterator[None]:
    """Say of a value that cannot be used where it stands."""
    try:
        yield
    except InvalidError as error:
        error.where = where
        raise


def _flatten(table: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            flat.update(_flatten(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat


def _plain(number: float) -> str:
    """Return a bound without an exponent."""
    return str(int(number)) if number == int(number) else str(number)


def checked_database(text: str) -> str:
    """Return the URL of a database as it was given. This is the only place that decides which URLs are valid;
    `store.engine` uses it too.

    Raises:
        InvalidError: Another kind of database, or none in a file.
    """
    if text.startswith(SQLITE):
        usable = text.removeprefix(SQLITE) not in ("", ":memory:")
    else:
        usable = text.startswith(("postgresql://", "postgresql+psycopg://", "postgres://")) and _is_split(text)
    if not usable:
        raise InvalidError(
            "not a database that hookyard can use", hint="give sqlite:///PATH or postgresql://USER@HOST/NAME"
        )
    return text


def _database(text: str) -> str:
    if text.startswith(SQLITE) and "?" in text:  # where other programs read options, which we have none of
        raise InvalidError("a SQLite database takes no options", hint="give sqlite:///PATH without ? and what follows")
    return checked_database(text)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65_535):
        raise InvalidError(f"{text[:100]!r} is not a port", hint="give a number from 0 to 65535")
    return int(text)


def _address(text: str) -> str:
    """Return the address at which others reach the server: links begin with it, so it is a whole address or none."""
    if not _is_http(text) or "?" in text or "#" in text:
        raise InvalidError(
            f"{text[:100]!r} is no http:// or https:// URL", hint="give one such as https://hookyard.example.com"
        )
    return text.rstrip("/")


def _proxy(text: str) -> str:
    # It may hold a password, so it is not shown.
    if not _is_http(text):
        raise InvalidError("is no http:// or https:// URL", hint="give one such as http://proxy.example.com:3128")
    return text


def _is_http(text: str) -> bool:
    plain = text.isprintable() and " " not in text
    return plain and _is_split(text) and urlsplit(text).scheme in ("http", "https") and bool(urlsplit(text).hostname)


def _is_split(text: str) -> bool:
    """Return whether a URL splits into parts, with a number as its port."""
    try:
        urlsplit(text).port  # noqa: B018 - it is read when it is asked for
    except ValueError:
        return False
    return True


def _networks(text: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    networks = []
    for part in text.split(","):
        if not part.strip():
            continue
        try:
            networks.append(ipaddress.ip_network(part.strip(), strict=False))
        except ValueError:
            raise InvalidError(
                f"{part.strip()!r} is not a network",
                hint="give CIDRs separated by commas, such as 10.0.0.0/8,127.0.0.1/32",
            ) from None
    return tuple(networks)
