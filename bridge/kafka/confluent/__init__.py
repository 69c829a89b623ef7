"""The port to Kafka on confluent-kafka."""
