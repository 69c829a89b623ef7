"""The router: it sends each event to the triggers that want it."""
