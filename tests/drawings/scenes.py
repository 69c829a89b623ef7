"""The scenes: for each page of ``docs/triggers`` a few events that come to the trigger that it shows.

A line is an event: day of May 2026 and time at which it happened, by the scene's clock; the slot; the event's id; and
whatever its payload holds. ``@14:20`` is when it reached us, where that is another time of the day.
"""

from __future__ import annotations

from typing import NamedTuple


class Scene(NamedTuple):
    """Some events and the stretch of time that is shown.

    Attributes:
        page: The page whose example they come to; also the drawing's name.
        start: Where the drawing begins: day and time.
        end: Where it ends.
        events: The events, a line each.
        timezone: Whose clock is shown.

    """

    page: str
    start: str
    end: str
    events: str
    timezone: str = "UTC"


SCENES = (
    Scene(
        "one-event",
        "6 09:00",
        "6 10:00",
        """
        6 09:08 order o1 amount=250.0
        6 09:20 order o2 amount=40.0
        6 09:35 order o3 amount=120.0
        6 09:48 order o3 amount=120.0
        """,
    ),
    Scene(
        "within",
        "6 09:00",
        "6 13:00",
        """
        6 09:20 data d1
        6 10:00 approval a1
        6 10:50 data d2
        6 12:10 approval a2
        """,
    ),
    Scene(
        "require",
        "6 09:00",
        "6 09:35",
        """
        6 09:04 virus v1 file=f result=ok
        6 09:09 owner o1 file=f result=ok
        6 09:13 format f1 file=f result=ok
        """,
    ),
    Scene(
        "sequence",
        "6 09:00",
        "6 10:20",
        """
        6 09:08 reserved r1 cart=c
        6 09:22 paid p1 cart=c
        6 09:36 paid p2 cart=c
        6 09:48 reserved r2 cart=c
        """,
    ),
    Scene(
        "count",
        "6 09:00",
        "6 09:40",
        """
        6 09:03 failures f1 user=u address=a
        6 09:15 failures f2 user=u address=b
        6 09:19 failures f3 user=u address=c
        6 09:23 failures f4 user=u address=d
        """,
    ),
    Scene(
        "absent",
        "6 09:00",
        "6 10:30",
        """
        6 09:05 order o1 order_id=1
        6 09:20 order o2 order_id=2
        6 09:44 payment p2 order_id=2
        """,
    ),
    Scene(
        "dead-mans-switch",
        "5 00:00",
        "8 09:00",
        """
        5 23:30 done d5
        7 04:10 done d7
        """,
        "Europe/Berlin",
    ),
    Scene(
        "every",
        "5 00:00",
        "7 04:00",
        """
        5 08:00 sales s5
        5 13:00 stock t5
        5 19:00 stock x5
        6 09:00 sales s6
        """,
        "Europe/Berlin",
    ),
    Scene(
        "until",
        "5 12:00",
        "6 20:00",
        """
        5 14:00 files f1
        5 17:00 files f2
        5 22:00 files f3
        6 10:00 files f4
        """,
        "Europe/Berlin",
    ),
    Scene(
        "reset",
        "5 18:00",
        "6 08:00",
        """
        5 21:00 opened o1
        6 01:30 closed c1
        6 04:00 opened o2
        """,
        "Europe/Berlin",
    ),
    Scene(
        "session",
        "6 09:00",
        "6 11:40",
        """
        6 09:05 views v1 visitor=v page=a
        6 09:20 views v2 visitor=v page=b
        6 09:42 views v3 visitor=v page=c
        6 10:25 views v4 visitor=v page=a
        6 10:38 views v5 visitor=v page=b
        """,
    ),
    Scene(
        "batch",
        "6 09:00",
        "6 09:14",
        """
        6 09:01 documents d1 id=1
        6 09:02:30 documents d2 id=2
        6 09:04 documents d3 id=3
        6 09:05:30 documents d4 id=4
        6 09:07 documents d5 id=5
        6 09:08:30 documents d6 id=6
        """,
    ),
    Scene(
        "settle",
        "6 09:00",
        "6 09:50",
        """
        6 09:03 edits e1 site=s page=a
        6 09:08 edits e2 site=s page=b
        6 09:15 edits e3 site=s page=a
        6 09:33 edits e4 site=s page=c
        """,
    ),
    Scene(
        "collect",
        "6 09:00",
        "6 10:20",
        """
        6 09:08 image i1
        6 09:24 image i2
        6 09:40 approval a1
        6 09:16 image i0 @09:52
        """,
    ),
    Scene(
        "key",
        "5 00:00",
        "7 00:00",
        """
        5 06:00 order o1 order_id=1
        5 16:00 order o2 order_id=2
        6 06:00 payment p2 reference=2 amount=5
        6 16:00 payment p1 reference=1 amount=7
        """,
    ),
    Scene(
        "grace",
        "6 09:00",
        "6 10:30",
        """
        6 09:12 readings r1 value=1
        6 09:30 readings r2 value=2 @10:05
        6 09:50 readings r3 value=3 @10:20
        """,
        "Europe/Berlin",
    ),
    Scene(
        "dedupe",
        "6 09:00",
        "6 10:40",
        """
        6 09:06 left l1
        6 09:12 right r1
        6 09:40 left l1
        6 10:20 left l1
        """,
    ),
    Scene(
        "run-id",
        "6 09:00",
        "6 10:00",
        """
        6 09:08 order o1 customer=ann day=05-06
        6 09:22 order o2 customer=ben day=05-06
        6 09:40 order o3 customer=ann day=05-06
        """,
    ),
    Scene(
        "limits",
        "6 09:00",
        "6 09:03",
        """
        6 09:00:10 video v1
        6 09:00:30 video v2
        6 09:00:50 video v3
        6 09:01:10 video v4
        6 09:01:30 video v5
        """,
    ),
    Scene(
        "start-deadline",
        "6 09:00",
        "6 13:00",
        """
        6 09:20 markets m1
        6 10:40 markets m2
        """,
    ),
)
"""All scenes, in the order of the reference."""

OUTAGE = ("6 09:10", "6 12:00")
"""Of ``start-deadline``: from when to when no run could be created."""
