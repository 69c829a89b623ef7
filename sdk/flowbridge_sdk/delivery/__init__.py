"""The delivery of published events, until Kafka has them."""
