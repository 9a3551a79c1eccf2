"""Convert times of the history: input is ISO 8601 with a time zone, output UTC in seconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from scdiff.errors import ConfigError

__all__ = ["choose_time", "now", "utc"]

SKEW = timedelta(minutes=5)
"""Allowed difference between the clocks of two computers that write to one history.

Chosen, not tuned.
"""

_FORM = "%Y-%m-%dT%H:%M:%SZ"


def now() -> str:
    """Return the current time.

    >>> len(now())
    20
    """
    return datetime.now(tz=UTC).strftime(_FORM)


def utc(text: str | None, *, option: str) -> str | None:
    """Convert a time with its time zone to UTC; None stays None.

    Parameters
    ----------
    text
        ISO 8601 with a time zone, as in ``2026-03-01T09:30:00+01:00``.
    option
        Name of the option, for the error message.

    Raises
    ------
    ConfigError
        If it is not a time, or the time zone is missing.

    >>> utc("2026-03-01T09:30:00+01:00", option="--collected")
    '2026-03-01T08:30:00Z'
    """
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"{option} {text!r}: this is not a time. Write it as 2026-03-01T09:30:00+01:00."
        ) from None
    if time.tzinfo is None:
        raise ConfigError(
            f"{option} {text!r}: the time zone is missing. Write {time.isoformat()}Z for UTC, or "
            "add an offset as in +01:00."
        )
    return time.astimezone(UTC).strftime(_FORM)


def choose_time(given: str | None, last: str | None, collected: str | None) -> str:
    """Return the time of the analysis: the given time or now, never before the last row.

    Parameters
    ----------
    given, last, collected
        UTC, as :func:`utc` returns them; ``last`` is the latest analysis in the history.

    Raises
    ------
    ConfigError
        If the time is before the last row or the collection, or in the future.
    """
    current = now()
    time = given or current
    if given and given > _shift(current, SKEW):
        raise ConfigError(f"--analysed {given} is in the future: it is {current} now.")
    if last and time < last and not given and last <= _shift(current, SKEW):
        time = last  # the clock of another computer is slightly ahead
    if last and time < last:
        which = f"--analysed {given}" if given else f"the clock of this computer ({current})"
        raise ConfigError(
            f"{which} is before the last row of the history ({last}), but rows must be in order "
            f"of time. Give --analysed {last} or later, and check the clock."
        )
    if collected and collected > time:
        raise ConfigError(f"--collected {collected} is after the analysis ({time}).")
    return time


def _shift(time: str, by: timedelta) -> str:
    """Return a time plus a difference."""
    return (datetime.strptime(time, _FORM).replace(tzinfo=UTC) + by).strftime(_FORM)
