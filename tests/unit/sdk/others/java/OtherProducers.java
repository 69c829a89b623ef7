import com.fasterxml.jackson.databind.ObjectMapper;
import io.cloudevents.CloudEvent;
import io.cloudevents.core.builder.CloudEventBuilder;
import io.cloudevents.core.message.Encoding;
import io.cloudevents.jackson.JsonFormat;
import io.cloudevents.kafka.CloudEventSerializer;
import io.debezium.converters.CloudEventsConverter;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaBuilder;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.json.JsonConverter;
import org.apache.kafka.connect.source.SourceRecord;
import org.apache.kafka.connect.storage.Converter;
import org.apache.kafka.connect.storage.SimpleHeaderConverter;
import org.apache.kafka.connect.transforms.InsertHeader;

/**
 * The records that the CloudEvents SDK for Java, Kafka Connect's JSON converter and Debezium's CloudEvents converter
 * write: a line of JSON for each in java.jsonl, with its case, its headers and its value (both in base64).
 */
public class OtherProducers {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final StringBuilder LINES = new StringBuilder();

    public static void main(String[] args) throws Exception {
        sdk();
        debezium();
        Files.writeString(Path.of("java.jsonl"), LINES);
    }

    private static void write(String name, Headers headers, byte[] value) throws Exception {
        List<List<String>> listed = new ArrayList<>();
        for (Header header : headers) {
            byte[] content = header.value();
            listed.add(java.util.Arrays.asList(
                header.key(), content == null ? null : Base64.getEncoder().encodeToString(content)));
        }
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("case", name);
        line.put("headers", listed);
        line.put("value", value == null ? null : Base64.getEncoder().encodeToString(value));
        LINES.append(JSON.writeValueAsString(line)).append('\n');
    }

    private static void sdk() throws Exception {
        CloudEventBuilder bare = CloudEventBuilder.v1()
            .withId("e-1").withSource(URI.create("/shop/caf%C3%A9")).withType("order.created")
            .withTime(OffsetDateTime.parse("2026-01-31T13:00:00.123456789+01:00"))
            .withSubject("größe").withExtension("traceparent", "00-ab").withExtension("attempt", 3)
            .withExtension("isurgent", true);
        byte[] data = "{\"order_id\":\"o-1\",\"amount\":12.5,\"note\":\"größe\"}".getBytes(StandardCharsets.UTF_8);
        write("binary", bare.withData("application/json", data).build(), Encoding.BINARY, null);
        write("structured", bare.withData("application/json", data).build(), Encoding.STRUCTURED, JsonFormat.CONTENT_TYPE);
        write("binary with a suffix", bare.withData("application/vnd.shop+json; charset=utf-8", data).build(), Encoding.BINARY, null);
        write("structured with a suffix", bare.withData("application/vnd.shop+json; charset=utf-8", data).build(), Encoding.STRUCTURED, JsonFormat.CONTENT_TYPE);
        write("structured xml", bare.withData("application/xml", "<order/>".getBytes(StandardCharsets.UTF_8)).build(), Encoding.STRUCTURED, JsonFormat.CONTENT_TYPE);
        write("binary xml", bare.withData("application/xml", "<order/>".getBytes(StandardCharsets.UTF_8)).build(), Encoding.BINARY, null);
        write("binary without data", bare.withoutData().withoutDataContentType().build(), Encoding.BINARY, null);
        write("structured without data", bare.withoutData().withoutDataContentType().build(), Encoding.STRUCTURED, JsonFormat.CONTENT_TYPE);
    }

    private static void write(String name, CloudEvent event, Encoding encoding, String format) throws Exception {
        try (CloudEventSerializer serializer = new CloudEventSerializer()) {
            Map<String, Object> config = new HashMap<>();
            config.put(CloudEventSerializer.ENCODING_CONFIG, encoding);
            if (format != null) {
                config.put(CloudEventSerializer.EVENT_FORMAT_CONFIG, format);
            }
            serializer.configure(config, false);
            Headers headers = new RecordHeaders();
            byte[] value = serializer.serialize("order.created", headers, event);
            write("sdk: " + name, headers, value);
        }
    }

    private static void debezium() throws Exception {
        Schema row = SchemaBuilder.struct().optional().name("shop.public.orders.Value")
            .field("id", Schema.INT32_SCHEMA).field("status", Schema.OPTIONAL_STRING_SCHEMA).build();
        Schema source = SchemaBuilder.struct().name("io.debezium.connector.postgresql.Source")
            .field("version", Schema.STRING_SCHEMA).field("connector", Schema.STRING_SCHEMA)
            .field("name", Schema.STRING_SCHEMA).field("ts_ms", Schema.INT64_SCHEMA)
            .field("snapshot", Schema.OPTIONAL_STRING_SCHEMA).field("db", Schema.STRING_SCHEMA)
            .field("sequence", Schema.OPTIONAL_STRING_SCHEMA).field("ts_us", Schema.OPTIONAL_INT64_SCHEMA)
            .field("ts_ns", Schema.OPTIONAL_INT64_SCHEMA)
            .field("schema", Schema.STRING_SCHEMA).field("table", Schema.STRING_SCHEMA)
            .field("txId", Schema.OPTIONAL_INT64_SCHEMA).field("lsn", Schema.OPTIONAL_INT64_SCHEMA)
            .field("xmin", Schema.OPTIONAL_INT64_SCHEMA).build();
        Schema envelope = SchemaBuilder.struct().name("shop.public.orders.Envelope").version(2)
            .field("before", row).field("after", row).field("source", source).field("op", Schema.STRING_SCHEMA)
            .field("ts_ms", Schema.OPTIONAL_INT64_SCHEMA).field("ts_us", Schema.OPTIONAL_INT64_SCHEMA)
            .field("ts_ns", Schema.OPTIONAL_INT64_SCHEMA).build();
        Struct origin = new Struct(source).put("version", "3.0.8.Final").put("connector", "postgresql")
            .put("name", "shop").put("ts_ms", 1769860800123L).put("snapshot", "false").put("db", "shop")
            .put("schema", "public").put("table", "orders").put("txId", 565L).put("lsn", 29274832L);
        Struct before = new Struct(row).put("id", 7).put("status", "new");
        Struct after = new Struct(row).put("id", 7).put("status", "paid");
        Struct update = new Struct(envelope).put("before", before).put("after", after).put("source", origin)
            .put("op", "u").put("ts_ms", 1769860800456L).put("ts_us", 1769860800456000L).put("ts_ns", 1769860800456000000L);
        Struct delete = new Struct(envelope).put("before", before).put("source", origin)
            .put("op", "d").put("ts_ms", 1769860800456L);
        for (boolean schemas : new boolean[] {false, true}) {
            JsonConverter json = new JsonConverter();
            json.configure(Map.of("schemas.enable", schemas, "converter.type", "value"));
            String name = schemas ? " with schemas" : " without schemas";
            write("connect: update" + name, json, envelope, update, false);
            write("connect: delete" + name, json, envelope, delete, false);
            write("connect: tombstone" + name, json, null, null, false);
            CloudEventsConverter events = new CloudEventsConverter();
            events.configure(
                Map.of("serializer.type", "json", "data.serializer.type", "json", "json.schemas.enable", schemas), false);
            write("debezium: update" + name, events, envelope, update, false);
            write("debezium: update with a header," + name, events, envelope, update, true);
            write("debezium: delete with a header," + name, events, envelope, delete, true);
        }
    }

    /** Write what a connector's task would, with the transformation that adds the header in front if that is wanted. */
    private static void write(String name, Converter converter, Schema schema, Struct value, boolean header) throws Exception {
        SourceRecord record = new SourceRecord(
            Map.of(), Map.of(), "shop.public.orders", 0, null, null, schema, value);
        if (header) {
            InsertHeader<SourceRecord> insert = new InsertHeader<>();
            insert.configure(Map.of("header", "content-type", "value.literal", "application/cloudevents+json"));
            record = insert.apply(record);
        }
        Headers headers = new RecordHeaders();
        SimpleHeaderConverter text = new SimpleHeaderConverter();
        for (org.apache.kafka.connect.header.Header added : record.headers()) {
            headers.add(added.key(), text.fromConnectHeader(record.topic(), added.key(), added.schema(), added.value()));
        }
        write(name, headers, converter.fromConnectData(record.topic(), headers, record.valueSchema(), record.value()));
    }
}
