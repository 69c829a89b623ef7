"""The scenes: those of each kind of window, and of what is the same in all of them."""

from __future__ import annotations

from drawings.scene import Scene
from kinds import KINDS

SCENES = (
    *(scene for kind in KINDS.values() for scene in kind.scenes),
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
        "collect",
        "6 09:00",
        "6 10:20",
        """
        6 09:08 image i1 digest=sha1
        6 09:24 image i2 digest=sha2
        6 09:40 approval a1
        6 09:16 image i0 @09:52 digest=sha0
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
"""All scenes."""

OUTAGE = ("6 09:10", "6 12:00")
"""Of ``start-deadline``: from when to when no run could be created."""
