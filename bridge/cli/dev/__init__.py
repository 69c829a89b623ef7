"""``flowbridge dev``."""
