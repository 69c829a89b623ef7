"""Values of numpy, pandas and Spark as plain ones. They are told by their looks, so none of these is imported here.

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
    """Return a scalar or array of numpy as a plain value; anything else as it is, also what Python cannot hold."""
    if not _is_numpy(value):
        return value
    if value.dtype.kind not in _TIMES:
        found = value.tolist()
        return value if _is_numpy(found) else found  # a long double has more digits than a float
    if value.ndim:
        return [plain(item) for item in value]
    found = value.tolist()
    if isinstance(found, int) and value.dtype.kind == "M":  # nanoseconds, or outside the years 1 to 9999
        found = value.astype("datetime64[us]").tolist()
    return value if isinstance(found, int) else found


def _is_numpy(value: Any) -> bool:
    return type(value).__module__ == "numpy" and hasattr(value, "dtype")


def as_mapping(value: Any) -> Mapping[str, Any] | None:
    """Return the fields of a row; None for what is no row."""
    if isinstance(value, tuple):
        names = getattr(value, "_fields", None) or getattr(value, "__fields__", None)
        return dict(zip(names, value, strict=False)) if names else None
    if type(value).__module__.startswith("pandas.") and hasattr(value, "to_dict") and getattr(value, "ndim", 0) == 1:
        return dict(value.to_dict())
    return None
