"""Where things are: what cannot be used is refused at the start, with the variable or the file that says it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hookyard.core.errors import InvalidError
from hookyard.settings import LIVE, Settings


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("database_url", "mysql://x", "not a database that hookyard can use"),
        ("database_url", "sqlite:///:memory:", "not a database that hookyard can use"),
        ("database_url", "postgresql://me:hunter2@db:port/x", "not a database that hookyard can use"),
        ("database_url", "sqlite:////data/x.db?mode=ro", "takes no options (give sqlite:///PATH without ?"),
        ("port", "x", "'x' is not a port (give a number from 0 to 65535)"),
        ("port", "-1", "'-1' is not a port"),
        ("port", "65536", "'65536' is not a port"),
        ("public_url", "hookyard.example.com", "is no http:// or https:// URL (give one such as https://"),
        ("public_url", "https://", "is no http:// or https:// URL"),
        ("public_url", "https://a b", "is no http:// or https:// URL"),
        ("public_url", "https://a/?x=1", "is no http:// or https:// URL"),
        ("egress_proxy", "proxy.example.com:3128", "is no http:// or https:// URL (give one such as http://proxy"),
        ("egress_proxy", "socks5://me:hunter2@proxy", "is no http:// or https:// URL"),
        ("egress_proxy", "http://proxy:port", "is no http:// or https:// URL"),
        ("allow_private_hosts", "10.0.0.0/8,foo", "'foo' is not a network (give CIDRs"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_with_its_place(tmp_path: Path, name: str, text: str, said: str) -> None:
    variable = f"HOOKYARD_{name.upper()}"
    home = {"HOOKYARD_HOME": str(tmp_path)}
    with pytest.raises(InvalidError) as of_variable:
        Settings.load({**home, variable: text})
    assert str(of_variable.value).startswith(f"{variable}: ")
    assert said in str(of_variable.value)
    assert "hunter2" not in str(of_variable.value)
    file = tmp_path / "hookyard.toml"
    file.write_text(f'{name} = "{text}"\n')
    with pytest.raises(InvalidError) as of_file:
        Settings.load(home)
    assert str(of_file.value).startswith(f"{file}: {name}: ")
    assert said in str(of_file.value)


@pytest.mark.parametrize(
    "line", ["model = true", "model = 1.5", "admin_token = 2026-11-21", "allow_private_hosts = [10]"]
)
def test_the_settings_file_is_not_guessed_at(tmp_path: Path, line: str) -> None:
    file = tmp_path / "hookyard.toml"
    file.write_text(line)
    with pytest.raises(InvalidError) as refused:
        Settings.load({"HOOKYARD_HOME": str(tmp_path)})
    assert str(refused.value) == f"{file}: {line.partition(' ')[0]}: is no text (put it into quotes)"


def test_what_can_be_used_is_read_from_either(tmp_path: Path) -> None:
    (tmp_path / "hookyard.toml").write_text(
        'port = 9000\npublic_url = "https://hooks.example.com/yard/"\nallow_private_hosts = ["10.0.0.0/8"]\n'
    )
    settings = Settings.load({"HOOKYARD_HOME": str(tmp_path), "HOOKYARD_EGRESS_PROXY": "http://me:pw@proxy:3128"})
    assert (settings.port, settings.public_url) == (9000, "https://hooks.example.com/yard")
    assert [str(network) for network in settings.allow_private_hosts] == ["10.0.0.0/8"]
    assert settings.egress_proxy == "http://me:pw@proxy:3128"


@pytest.mark.parametrize(
    ("name", "text", "hint"),
    [
        ("eventCallback.dedupEnabled", "maybe", "give true or false"),
        ("eventCallback.maxQueueSize", "many", "give a whole number from 1 to 100000, such as 100"),
    ],
)
def test_a_setting_that_cannot_be_used_says_what_can(name: str, text: str, hint: str) -> None:
    with pytest.raises(InvalidError) as refused:
        LIVE[name].parse(text)
    assert refused.value.hint == hint
