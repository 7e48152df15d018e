import com.alibaba.nacos.client.auth.ram.RamContext;
import com.alibaba.nacos.client.auth.ram.identify.StsConfig;
import com.alibaba.nacos.client.auth.ram.injector.AbstractResourceInjector;
import com.alibaba.nacos.client.auth.ram.injector.ConfigResourceInjector;
import com.alibaba.nacos.client.auth.ram.injector.NamingResourceInjector;
import com.alibaba.nacos.plugin.auth.api.LoginIdentityContext;
import com.alibaba.nacos.plugin.auth.api.RequestResource;

/**
 * Prints the headers with which the vendor's Java client signs requests, each in a line of `header`,
 * the case, the kind of request, name and value, among what the client itself prints:
 * java Sign.java ACCESS_KEY SECRET_KEY TEMPORARY_KEY REGION NAMESPACE GROUP NAME
 * A case is `key,region,namespace`, each `-` or `+`: whether the temporary key (in JSON) takes the
 * place of the other, and whether region and namespace are given or empty.
 */
public final class Sign {
    public static void main(String[] args) {
        RamContext keys = new RamContext();
        keys.setAccessKey(args[0]);
        keys.setSecretKey(args[1]);
        for (boolean temporary : new boolean[] {false, true}) {
            StsConfig.getInstance().setSecurityCredentials(temporary ? args[2] : "");
            for (boolean regional : new boolean[] {false, true}) {
                keys.setRegionId(regional ? args[3] : "");
                for (boolean named : new boolean[] {false, true}) {
                    String where = mark(temporary) + "," + mark(regional) + "," + mark(named);
                    sign(where, keys, named ? args[4] : "", args[5], args[6]);
                }
            }
        }
    }

    private static String mark(boolean given) {
        return given ? "+" : "-";
    }

    private static void sign(
        String where, RamContext keys, String namespace, String group, String name) {
        RequestResource config =
            filled(RequestResource.configBuilder(), namespace, group, name);
        RequestResource naming =
            filled(RequestResource.namingBuilder(), namespace, group, name);
        print(where + " naming", new NamingResourceInjector(), keys, naming);
        print(where + " config", new ConfigResourceInjector(), keys, config);
        // The client names nothing when it listens for the changes of many documents.
        RequestResource nothing = RequestResource.configBuilder().build();
        print(where + " listen", new ConfigResourceInjector(), keys, nothing);
    }

    private static RequestResource filled(
        RequestResource.Builder builder, String namespace, String group, String name) {
        return builder.setNamespace(namespace).setGroup(group).setResource(name).build();
    }

    private static void print(
        String what, AbstractResourceInjector injector, RamContext keys, RequestResource resource) {
        LoginIdentityContext headers = new LoginIdentityContext();
        injector.doInject(resource, keys, headers);
        for (String name : headers.getAllKey()) {
            System.out.println("header " + what + " " + name + " " + headers.getParameter(name));
        }
    }
}
