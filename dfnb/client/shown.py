"""How times and lengths of time are written for people. In test mode all are the same."""

from __future__ import annotations

from datetime import datetime

from dfnb.client import test_mode


def clock(milliseconds: float) -> str:
    """A time of day in the local zone, with the date when it is another day."""
    if test_mode.is_on():
        return test_mode.TIME_OF_DAY
    when = datetime.fromtimestamp(milliseconds / 1000).astimezone()
    today = datetime.now().astimezone().date()
    return when.strftime("%H:%M:%S" if when.date() == today else "%Y-%m-%d %H:%M:%S")


def date_and_time(milliseconds: float) -> str:
    """A date and a time of day in the local zone."""
    if test_mode.is_on():
        return test_mode.DATE_AND_TIME
    return datetime.fromtimestamp(milliseconds / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def span(milliseconds: float) -> str:
    """A length of time in words of at most two units."""
    if test_mode.is_on():
        return test_mode.LENGTH
    if milliseconds < 1:
        return "<1 ms"
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    if milliseconds < 10_000:
        return f"{milliseconds / 1000:.2f} s"
    minutes, seconds = divmod(int(milliseconds // 1000), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def brief(microseconds: int) -> str:
    """A short length of time in milliseconds."""
    return test_mode.LENGTH if test_mode.is_on() else f"{microseconds / 1000:.3g} ms"
