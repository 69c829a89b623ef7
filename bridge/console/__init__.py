"""HTTP out: health and metrics."""
