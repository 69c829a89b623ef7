"""The sources of triggers."""
