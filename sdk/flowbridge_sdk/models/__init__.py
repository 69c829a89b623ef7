"""Dataclasses and pydantic models as payloads: their Avro schemas, and their writers."""
