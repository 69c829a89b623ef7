"""The matcher: it keeps windows and makes runs of matches."""
