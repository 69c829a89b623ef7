"""The checks of ``flowbridge check`` that ask Kafka or the cluster."""
