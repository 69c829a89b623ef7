"""The way to a Kubernetes API server: configuration, credentials, requests, watches, time-outs and errors."""
