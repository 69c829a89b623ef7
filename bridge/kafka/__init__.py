"""The log: its port, its implementations, the stage loop."""
