"""Values of numpy, pandas and Spark as plain ones. They are recognised by their types' names, without an import.

=========================================  ===============================================
value                                      taken as
=========================================  ===============================================
numpy's scalars                            bool, int, float, str or bytes
numpy's arrays                             lists
numpy's ``datetime64``                     dates where its unit is a day, else datetimes without a time zone, to the
                                           microsecond; ``NaT`` is None
named tuples, Spark's ``Row``              mappings of their fields
a row of a pandas frame (``Series``)       a mapping
=========================================  ===============================================
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_TIMES = "mM"  # the kinds of numpy's timedelta64 and datetime64


def plain(value: Any) -> Any:
    """Return a scalar or array of numpy as a plain value. Other values, and those without a plain equal, stay."""
    if not _is_numpy(value):
        return value
    if value.dtype.kind not in _TIMES:
        python_value = value.tolist()
        return value if _is_numpy(python_value) else python_value  # a long double has more digits than a float
    if value.ndim:
        return [plain(item) for item in value]
    time = value.tolist()
    if isinstance(time, int) and value.dtype.kind == "M":  # nanoseconds, or outside the years 1 to 9999
        time = value.astype("datetime64[us]").tolist()
    return value if isinstance(time, int) else time


def _is_numpy(value: Any) -> bool:
    return type(value).__module__ == "numpy" and hasattr(value, "dtype")


def as_mapping(value: Any) -> Mapping[str, Any] | None:
    """Return the fields of a row; None for other values."""
    if isinstance(value, tuple):
        names = getattr(value, "_fields", None) or getattr(value, "__fields__", None)
        return dict(zip(names, value, strict=False)) if names else None
    if type(value).__module__.startswith("pandas.") and hasattr(value, "to_dict") and getattr(value, "ndim", 0) == 1:
        return dict(value.to_dict())
    return None
