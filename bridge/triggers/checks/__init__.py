"""The checks of a trigger that look at more than one field."""
