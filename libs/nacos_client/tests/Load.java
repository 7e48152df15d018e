import java.io.StringReader;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.Properties;
import java.util.Scanner;
import java.util.TreeMap;

/** Reads each line of standard input, a text in hexadecimal UTF-8, with java.util.Properties. */
public class Load {
    public static void main(String[] arguments) throws Exception {
        Scanner lines = new Scanner(System.in);
        while (lines.hasNextLine()) {
            System.out.println(pairs(plain(lines.nextLine())));
        }
    }

    private static String pairs(String text) throws Exception {
        Properties properties = new Properties();
        try {
            properties.load(new StringReader(text));
        } catch (IllegalArgumentException malformed) {
            return "refused";
        }
        StringBuilder pairs = new StringBuilder();
        for (var entry : new TreeMap<>(properties).entrySet()) {
            pairs.append(hex(entry.getKey())).append('=').append(hex(entry.getValue())).append(' ');
        }
        return pairs.indexOf("half") < 0 ? pairs.toString() : "refused";
    }

    /** Java takes half of a character, which no text in UTF-8 can hold; we refuse it. */
    private static String hex(Object text) {
        String whole = text.toString();
        if (!StandardCharsets.UTF_8.newEncoder().canEncode(whole)) {
            return "half";
        }
        return HexFormat.of().formatHex(whole.getBytes(StandardCharsets.UTF_8));
    }

    private static String plain(String hex) {
        return new String(HexFormat.of().parseHex(hex), StandardCharsets.UTF_8);
    }
}
