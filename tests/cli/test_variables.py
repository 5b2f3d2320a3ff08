"""Variables that nobody reads are named when a server starts, those that others read are not."""

from __future__ import annotations

import re

import pytest

from hookyard.cli.variables import KNOWN, unknown
from tests.conftest import ROOT


def test_every_variable_that_the_code_names_is_known() -> None:
    sources = (ROOT / "src").rglob("*.py")
    named = {name for source in sources for name in re.findall(r"\bHOOKYARD_[A-Z][A-Z_]*[A-Z]\b", source.read_text())}
    assert len(named) > 15
    assert unknown(dict.fromkeys(named, "x")) == {}


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("HOOKYARD_EVENT_CALLBACK_DEDUP_WINDOW", "HOOKYARD_EVENT_CALLBACK_DEDUP_WINDOW_MS"),
        ("HOOKYARD_EVENTCALLBACK_MERGEWINDOWMS", "HOOKYARD_EVENT_CALLBACK_MERGE_WINDOW_MS"),
        ("HOOKYARD_eventCallback_maxQueueSize", "HOOKYARD_EVENT_CALLBACK_MAX_QUEUE_SIZE"),
        ("HOOKYARD_DATABASE", "HOOKYARD_DATABASE_URL"),
        ("HOOKYARD_ADMINTOKEN", "HOOKYARD_ADMIN_TOKEN"),
        ("HOOKYARD_XYLOPHONE_QUARTZ", None),
    ],
)
def test_a_mistyped_variable_is_found_with_the_one_that_was_meant(name: str, meant: str | None) -> None:
    assert unknown({name: "1", "PATH": "/bin", "MY_HOOKYARD_PORT": "1"}) == {name: meant}


def test_what_others_read_or_make_is_not_ours_to_warn_of() -> None:
    kubernetes = {
        "HOOKYARD_SERVICE_HOST": "10.0.0.1",
        "HOOKYARD_SERVICE_PORT_HTTP": "8484",
        "HOOKYARD_PORT_8484_TCP": "tcp://10.0.0.1:8484",
        "HOOKYARD_PORT_8484_TCP_ADDR": "10.0.0.1",
        "HOOKYARD_DB_SERVICE_PORT": "5432",
        "HOOKYARD_DB_PORT": "tcp://10.0.0.2:5432",
        "HOOKYARD_DB_PORT_5432_TCP_PROTO": "tcp",
    }
    assert unknown({**kubernetes, "HOOKYARD_TEST_KILLS": "50"}) == {}
    assert set(unknown({"HOOKYARD_DB_PORT": "5432"})) == {"HOOKYARD_DB_PORT"}
    assert unknown(dict.fromkeys(KNOWN, "x")) == {}
