"""Where triggers come from."""
