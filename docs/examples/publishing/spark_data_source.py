from pyspark.sql import SparkSession

from flowbridge_sdk.spark import FlowbridgeDataSource

spark = SparkSession.builder.getOrCreate()
spark.dataSource.register(FlowbridgeDataSource)
orders = spark.readStream.schema("order_id string, customer string, amount double, at timestamp").json("/data/orders")
query = (
    orders.writeStream.format("flowbridge")
    .option("kafka.bootstrap.servers", "localhost:9092")
    .option("name", "order.shipped")
    .option("key", "customer")
    .option("time", "at")
    .option("id", "order_id")
    .option("defaultSource", "shop")
    .option("batchDone", "order.shipped.done")
    .option("checkpointLocation", "/data/checkpoints/orders")
    .trigger(availableNow=True)
    .start()
)
query.awaitTermination()
