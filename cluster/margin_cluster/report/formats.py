"""Numbers and times as the tables of reports show them; nothing for values that are not known."""

import numpy as np

_MINUS = "\N{MINUS SIGN}"


def usd(value: float) -> str:
    """Return an amount in whole US dollars, for example ``−1,234``."""
    return f"{value:,.0f}".replace("-", _MINUS) if np.isfinite(value) else ""


def millions(value: float) -> str:
    """Return an amount in US dollars as millions with two decimals, for example ``−1.23``."""
    shown = f"{round(value / 1e6, 2) + 0.0:,.2f}"  # the sum turns a negative zero into zero
    return shown.replace("-", _MINUS) if np.isfinite(value) else ""


def percent(fraction: float) -> str:
    """Return a fraction in percent with one decimal, for example ``12.3 %``."""
    return f"{100 * fraction:.1f} %".replace("-", _MINUS) if np.isfinite(fraction) else ""


def minute(time: np.datetime64) -> str:
    """Return a UTC time to the minute, for example ``2026-05-15 11:27``."""
    return str(time.astype("datetime64[m]")).replace("T", " ")


def signed(fraction: float) -> str:
    """Return a change in percent with its sign and one decimal, for example ``+12.3 %``."""
    return f"{100 * fraction:+.1f} %".replace("-", _MINUS) if np.isfinite(fraction) else ""
