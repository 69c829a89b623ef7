"""What happens to published events until Kafka has them."""
