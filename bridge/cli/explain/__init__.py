"""``flowbridge explain``, ``plan``, ``test`` and ``record``."""
