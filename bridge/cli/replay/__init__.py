"""``flowbridge replay``: the command, and what stands behind it."""
