"""The measured clients: each runs alone in a process of its own, pinned to one core (:mod:`bench.child`)."""
