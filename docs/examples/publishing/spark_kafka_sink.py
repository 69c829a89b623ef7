from pyspark.sql import SparkSession

from flowbridge_sdk import EventEncoder
from flowbridge_sdk.spark import to_kafka_columns

spark = SparkSession.builder.getOrCreate()
orders = spark.readStream.schema("order_id string, customer string, amount double, at timestamp").json("/data/orders")
encoder = EventEncoder("shop")
events = to_kafka_columns(orders, "order.created", encoder, key="customer", time="at", id="order_id")
query = (
    events.writeStream.format("kafka")
    .option("kafka.bootstrap.servers", "localhost:9092")
    .option("checkpointLocation", "/data/checkpoints/orders")
    .trigger(availableNow=True)
    .start()
)
query.awaitTermination()
