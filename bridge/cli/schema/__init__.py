"""``flowbridge schema``: the Avro schemas of events, before an event is published with them."""
