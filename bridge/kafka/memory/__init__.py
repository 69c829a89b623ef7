"""The port to Kafka in memory."""
