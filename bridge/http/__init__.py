"""HTTP in, with bounds on what a client may do: the gateway and the console are served through it."""
