"""Flowbridge: starts Argo Workflows from events on Kafka."""
