"""What hookyard signs, the reference library believes; what was changed on the way, neither does."""

from __future__ import annotations

import base64
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from hookyard.hooks.delivery import signing

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OLDER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
BODY = '{"event":"pre_tool_execution","text":"汉字"}'.encode()

secrets = st.binary(min_size=1, max_size=64).map(lambda key: "whsec_" + base64.b64encode(key).decode())
bodies = st.text(st.characters(codec="utf-8"), max_size=300).map(str.encode)
ids = st.from_regex(r"dlv_[0-9A-Z]{1,26}", fullmatch=True)


def test_the_example_of_the_specification() -> None:
    made = signing.headers([SECRET], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert made == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@given(st.lists(secrets, min_size=1, max_size=4), ids, bodies, st.data())
def test_the_reference_library_believes_it_with_any_of_the_secrets(
    keys: list[str], delivery_id: str, body: bytes, data: st.DataObject
) -> None:
    made = signing.headers(keys, delivery_id, int(time.time()), body)
    known = data.draw(st.sampled_from(keys))
    Webhook(known).verify(body, made, json_parse=False)
    assert signing.verify([known], made, body, time.time()) is None


@given(secrets, secrets, ids, bodies, bodies)
def test_another_secret_body_or_id_is_not_believed(
    key: str, other: str, delivery_id: str, body: bytes, changed: bytes
) -> None:
    now = time.time()
    made = signing.headers([key], delivery_id, int(now), body)
    if other != key:
        assert signing.verify([other], made, body, now) is not None
    if changed != body:
        assert signing.verify([key], made, changed, now) is not None
        with pytest.raises(WebhookVerificationError):
            Webhook(key).verify(changed, made, json_parse=False)
    assert signing.verify([key], {**made, "webhook-id": delivery_id + "x"}, body, now) is not None


@given(secrets, ids, bodies)
def test_what_the_reference_library_signs_is_believed(key: str, delivery_id: str, body: bytes) -> None:
    from datetime import UTC, datetime

    at = datetime.fromtimestamp(1_700_000_000, UTC)
    made = {
        "Webhook-Id": delivery_id,
        "Webhook-Timestamp": "1700000000",
        "Webhook-Signature": "v1a,ignored " + Webhook(key).sign(delivery_id, at, body.decode()),
    }
    assert signing.verify([key], made, body, 1_700_000_000) is None


@pytest.mark.parametrize("secret", ["mysecret", "aGVsbG8gd29ybGQgaGVsbG8gd29ybGQ=", "not base64, plain words", "密钥"])
def test_a_plain_text_may_be_meant_as_it_stands_or_as_base64(secret: str) -> None:
    made = signing.headers([secret], "dlv_1", int(time.time()), BODY)
    Webhook(secret.encode()).verify(BODY, made)
    if secret.isalnum() and secret.isascii():
        Webhook(secret).verify(BODY, made)
    assert signing.verify([secret], made, BODY, time.time()) is None


def test_rotation_signs_newest_first_and_no_secret_signs_nothing() -> None:
    now = int(time.time())
    both = signing.headers([SECRET, OLDER], "dlv_1", now, BODY)["webhook-signature"].split(" ")
    assert both == [signing.headers([key], "dlv_1", now, BODY)["webhook-signature"] for key in (SECRET, OLDER)]
    assert "webhook-signature" not in signing.headers([], "dlv_1", now, BODY)


@pytest.mark.parametrize("secret", ["", "  ", "whsec_", "whsec_%%%", "whsec_a", "whsk_abc", "whpk_abc"])
def test_a_secret_that_cannot_sign_is_refused_without_being_shown(secret: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        signing.check_secret(secret)
    assert "%%%" not in str(caught.value)
    with pytest.raises(ValueError, match=r"."):
        signing.headers([secret], "dlv_1", 1, b"")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"webhook-id": ""}, "no webhook-id"),
        ({"webhook-signature": ""}, "no webhook-signature"),
        ({"webhook-timestamp": "soon"}, "not a number"),
        ({"webhook-timestamp": "9" * 5000}, "not a number"),
        ({"webhook-timestamp": "²"}, "not a number"),
        ({"webhook-timestamp": "1"}, "s off"),
        ({"webhook-signature": "v1"}, "another secret"),
        ({"webhook-signature": "v1,\ud800 " * 10_000}, "another secret"),
    ],
)
def test_malformed_headers_are_refused_with_the_reason(change: dict[str, str], reason: str) -> None:
    now = 1_700_000_000
    made = signing.headers([SECRET], "dlv_1", now, BODY) | change
    assert reason in str(signing.verify([SECRET], made, BODY, now))
