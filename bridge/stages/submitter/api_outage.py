"""Log an outage of the API server: one warning when it begins, one line when it is over.

Every run that waits for it is tried again and again, and decided each time. The log has the trouble once: of all
namespaces together, since most trouble is the whole cluster's, and at most once a minute, since trouble that is one
namespace's ends with each success of another.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from bridge.core.event import MINUTE, SECOND, Micros

logger = logging.getLogger(__name__)

_EVERY: Micros = MINUTE
_FORGOTTEN: Micros = 30 * MINUTE  # trouble of runs that are gone by now; those that wait are tried more often


class ApiTrouble:
    """Knows whether requests fail, and says so.

    Args:
        pace: A steady clock.

    """

    def __init__(self, pace: Callable[[], Micros]) -> None:
        self._pace = pace
        self._failing: dict[str, Micros] = {}  # when the newest request for a namespace failed
        self._began: Micros = 0
        self._said: Micros | None = None
        self._is_said = False

    def failed(self, namespace: str, reason: str) -> None:
        """Hear that a request for a run failed in a way that is not the run's."""
        now = self._pace()
        self._failing = {name: at for name, at in self._failing.items() if now - at <= _FORGOTTEN}
        if not self._failing:
            self._began, self._is_said = now, False
        self._failing[namespace] = now
        if self._is_said or (self._said is not None and now - self._said < _EVERY):
            return
        self._said, self._is_said = now, True
        logger.warning(
            "the API server does not serve runs of namespace %s: %s. They wait and are tried again", namespace, reason
        )

    def answered(self, namespace: str) -> None:
        """Hear that a request for a run was answered."""
        if self._failing.pop(namespace, None) is None or self._failing or not self._is_said:
            return
        self._is_said = False
        seconds = (self._pace() - self._began) / SECOND
        logger.info("the API server serves runs of namespace %s again, after %.0f s", namespace, seconds)
