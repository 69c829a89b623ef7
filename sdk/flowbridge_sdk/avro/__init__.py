"""Reading and writing Avro."""
