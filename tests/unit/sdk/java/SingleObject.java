import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HexFormat;
import org.apache.avro.Schema;
import org.apache.avro.SchemaNormalization;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.message.BinaryMessageEncoder;

/**
 * What Java's own Avro makes of the cases in cases.txt: a line each of fingerprint (the number, in hex) and message
 * (single-object encoding, in hex). A line of cases.txt is a schema's file, a tab, and a value in Avro's JSON encoding.
 */
public class SingleObject {
    public static void main(String[] args) throws Exception {
        StringBuilder lines = new StringBuilder();
        for (String line : Files.readAllLines(Path.of("cases.txt"))) {
            String[] parts = line.split("\t");
            Schema schema = new Schema.Parser().parse(Files.readString(Path.of(parts[0])));
            Object value = new GenericDatumReader<Object>(schema)
                .read(null, DecoderFactory.get().jsonDecoder(schema, parts[1]));
            byte[] message = new BinaryMessageEncoder<Object>(GenericData.get(), schema).encode(value).array();
            lines.append(String.format("%016x", SchemaNormalization.parsingFingerprint64(schema)))
                .append('\t').append(HexFormat.of().formatHex(message)).append('\n');
        }
        Files.writeString(Path.of("single-object.txt"), lines);
    }
}
