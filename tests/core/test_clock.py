"""Times as texts."""

import pytest

from hookyard.core.clock import from_iso, iso


@pytest.mark.parametrize(
    ("written", "at"),
    [
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000Z"),
        ("1990-12-31t15:59:60-08:00", "1991-01-01T00:00:00.000Z"),  # RFC 3339, section 5.8
        ("2016-12-31 23:59:60.25z", "2017-01-01T00:00:00.250Z"),
        ("20161231T235960Z", "2017-01-01T00:00:00.000Z"),
        ("2016-12-31T23:59:59Z", "2016-12-31T23:59:59.000Z"),
    ],
)
def test_a_leap_second_is_the_first_second_of_the_next_day(written: str, at: str) -> None:
    assert iso(from_iso(written)) == at


@pytest.mark.parametrize(
    "written",
    ["2016-12-31T23:58:60Z", "2016-12-31T23:59:61Z", "2016-12-31T15:59:60Z", "2016-12-31T23:60:60Z", "T23:59:60", "60"],
)
def test_a_sixtieth_second_elsewhere_is_no_time(written: str) -> None:
    with pytest.raises(ValueError, match=r"must be in|Invalid isoformat"):
        from_iso(written)
