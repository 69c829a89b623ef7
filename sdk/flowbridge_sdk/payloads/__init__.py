"""Payloads of events without a schema, and values of other libraries."""
