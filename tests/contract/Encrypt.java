import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.HexFormat;
import javax.crypto.Cipher;
import javax.crypto.spec.IvParameterSpec;
import javax.crypto.spec.SecretKeySpec;

/**
 * Encrypts and decrypts documents with Java's cryptography in the form of Nacos' AES plugin; keys
 * are hexadecimal, texts Base64. The key of a document is encrypted with that of a file:
 * java Encrypt.java encrypt FILE_KEY DOCUMENT_KEY TEXT, prints the document and its encrypted key;
 * java Encrypt.java decrypt FILE_KEY ENCRYPTED_KEY DOCUMENT, prints the text.
 */
public final class Encrypt {
    public static void main(String[] args) throws Exception {
        Base64.Encoder base64 = Base64.getEncoder();
        if (args[0].equals("encrypt")) {
            byte[] text = Base64.getDecoder().decode(args[3]);
            byte[] key = base64.encode(args[2].getBytes(StandardCharsets.UTF_8));
            System.out.println(HexFormat.of().formatHex(run(ENCRYPT, args[2], text)));
            System.out.println(HexFormat.of().formatHex(run(ENCRYPT, args[1], key)));
            return;
        }
        byte[] key = run(DECRYPT, args[1], HexFormat.of().parseHex(args[2]));
        String digits = new String(Base64.getDecoder().decode(key), StandardCharsets.UTF_8);
        byte[] text = run(DECRYPT, digits, HexFormat.of().parseHex(args[3]));
        System.out.println(base64.encodeToString(text));
    }

    private static final int ENCRYPT = Cipher.ENCRYPT_MODE;
    private static final int DECRYPT = Cipher.DECRYPT_MODE;

    private static byte[] run(int mode, String digits, byte[] input) throws Exception {
        Cipher cipher = Cipher.getInstance("AES/CBC/PKCS5Padding");
        byte[] vector = digits.substring(0, 16).getBytes(StandardCharsets.UTF_8);
        SecretKeySpec key = new SecretKeySpec(HexFormat.of().parseHex(digits), "AES");
        cipher.init(mode, key, new IvParameterSpec(vector));
        return cipher.doFinal(input);
    }
}
