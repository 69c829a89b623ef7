"""The code that reads and writes internal records, generated from their schemas."""
