"""Times of the history: ISO 8601 with a zone in, UTC to the second out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from scdiff.errors import ConfigError

__all__ = ["choose_time", "now", "utc"]

SKEW = timedelta(minutes=5)
"""How far the clocks of two computers that write to the same history may differ."""

_FORM = "%Y-%m-%dT%H:%M:%SZ"


def now() -> str:
    """Say the time.

    >>> len(now())
    20
    """
    return datetime.now(tz=UTC).strftime(_FORM)


def utc(text: str | None, *, option: str) -> str | None:
    """Convert a time with its zone to UTC; nothing stays nothing.

    Parameters
    ----------
    text
        ISO 8601 with a zone, as in ``2026-03-01T09:30:00+01:00``.
    option
        Name of the option, for an error.

    Raises
    ------
    ConfigError
        If it cannot be read as a time, or lacks the zone.

    >>> utc("2026-03-01T09:30:00+01:00", option="--collected")
    '2026-03-01T08:30:00Z'
    """
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"{option} {text!r}: cannot be read as a time. Write it as 2026-03-01T09:30:00+01:00."
        ) from None
    if time.tzinfo is None:
        raise ConfigError(
            f"{option} {text!r}: the zone is missing. Write it as {time.isoformat()}Z for UTC, or "
            "+01:00."
        )
    return time.astimezone(UTC).strftime(_FORM)


def choose_time(given: str | None, last: str | None, collected: str | None) -> str:
    """Choose the time of the analysis: the one given, or now; never before the last row.

    Parameters
    ----------
    given, last, collected
        UTC, as :func:`utc` gives them; ``last`` is the latest analysis in the history.

    Raises
    ------
    ConfigError
        If the time precedes the last row or the collection, or lies in the future.
    """
    current = now()
    time = given or current
    if given and given > _shift(current, SKEW):
        raise ConfigError(f"--analysed {given} lies in the future: it is {current} now.")
    if last and time < last and not given and last <= _shift(current, SKEW):
        time = last  # another computer's clock is a little ahead
    if last and time < last:
        which = f"--analysed {given}" if given else f"the clock of this computer ({current})"
        raise ConfigError(
            f"{which} precedes the last row of the history ({last}): its rows follow the order "
            "of time. "
            f"Give an --analysed time from {last} on, and check the clock."
        )
    if collected and collected > time:
        raise ConfigError(f"--collected {collected} is later than the analysis ({time}).")
    return time


def _shift(time: str, by: timedelta) -> str:
    """Move a time."""
    return (datetime.strptime(time, _FORM).replace(tzinfo=UTC) + by).strftime(_FORM)
