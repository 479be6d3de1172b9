"""Numbers in words: how messages write metric values, counts and shares."""


def decimal(value: float) -> str:
    """Write a metric value or difference with three digits and no leading zero: ``.812``, ``-.062``."""
    text = f"{value:.3f}"
    if text in ("0.000", "-0.000"):
        return ".000"
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text


def count(rows: float) -> str:
    """Write rows in groups of three: ``1 630``."""
    return f"{rows:,.0f}".replace(",", " ")


def percent(share: float) -> str:
    """Write a share with up to one decimal: ``20 %``, ``4.8 %``."""
    return f"{100.0 * share:.1f}".removesuffix(".0") + " %"


def duration(seconds: float) -> str:
    """Write seconds for people: ``42 s``, ``9.1 min``, ``3.2 h``, ``12 d``."""
    for unit, size, most in (("s", 1.0, 90.0), ("min", 60.0, 5400.0), ("h", 3600.0, 172800.0)):
        if seconds < most:
            return f"{_digits(seconds / size)} {unit}"
    return f"{_digits(seconds / 86400.0)} d"


def _digits(number: float) -> str:
    return f"{number:.1f}" if number < 9.95 else f"{number:.0f}"
