"""The HTTP server of the gateway and the console, with bounds on its clients."""
