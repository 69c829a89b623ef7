"""``flowbridge runs``: runs that were asked for, from their events to the end of their Workflows."""
