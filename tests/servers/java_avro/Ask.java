import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import org.apache.avro.Schema;
import org.apache.avro.SchemaCompatibility;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.Encoder;
import org.apache.avro.io.EncoderFactory;

/**
 * Answers questions to Java's own Avro: one a line of standard input, with tabs between its parts, one answer a line.
 *
 * again SCHEMA HEX            the value written again (hex), and as JSON
 * read READER WRITER HEX      the value of a writer read by a reader, and written with the reader's schema (hex)
 * compatible READER WRITER    true or false
 *
 * A question that ends in an error is answered by "error" and its text.
 */
public class Ask {
    public static void main(String[] args) throws Exception {
        BufferedReader questions = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream answers = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        for (String line = questions.readLine(); line != null; line = questions.readLine()) {
            String answer;
            try {
                answer = answer(line.split("\t", -1));
            } catch (Exception | StackOverflowError error) {
                answer = "error\t" + String.valueOf(error).replaceAll("\\s+", " ");
            }
            answers.println(answer);
        }
        answers.flush();
    }

    private static String answer(String[] parts) throws Exception {
        Schema schema = new Schema.Parser().parse(parts[1]);
        switch (parts[0]) {
            case "again":
                Object value = read(schema, schema, parts[2]);
                ByteArrayOutputStream json = new ByteArrayOutputStream();
                write(schema, value, EncoderFactory.get().jsonEncoder(schema, json, false));
                return written(schema, value) + "\t" + json.toString(StandardCharsets.UTF_8);
            case "read":
                return written(schema, read(schema, new Schema.Parser().parse(parts[2]), parts[3]));
            case "compatible":
                Schema writer = new Schema.Parser().parse(parts[2]);
                return String.valueOf(SchemaCompatibility.checkReaderWriterCompatibility(schema, writer).getType()
                    == SchemaCompatibility.SchemaCompatibilityType.COMPATIBLE);
            default:
                throw new IllegalArgumentException(parts[0]);
        }
    }

    private static Object read(Schema reader, Schema writer, String hex) throws Exception {
        byte[] bytes = HexFormat.of().parseHex(hex);
        return new GenericDatumReader<Object>(writer, reader)
            .read(null, DecoderFactory.get().binaryDecoder(bytes, null));
    }

    private static String written(Schema schema, Object value) throws Exception {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        write(schema, value, EncoderFactory.get().binaryEncoder(bytes, null));
        return HexFormat.of().formatHex(bytes.toByteArray());
    }

    private static void write(Schema schema, Object value, Encoder encoder) throws Exception {
        new GenericDatumWriter<Object>(schema).write(value, encoder);
        encoder.flush();
    }
}
