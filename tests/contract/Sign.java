import com.alibaba.nacos.client.auth.ram.RamContext;
import com.alibaba.nacos.client.auth.ram.injector.AbstractResourceInjector;
import com.alibaba.nacos.client.auth.ram.injector.ConfigResourceInjector;
import com.alibaba.nacos.client.auth.ram.injector.NamingResourceInjector;
import com.alibaba.nacos.plugin.auth.api.LoginIdentityContext;
import com.alibaba.nacos.plugin.auth.api.RequestResource;

/**
 * Prints the headers with which the vendor's Java client signs requests, as `what header value`:
 * java Sign.java ACCESS_KEY SECRET_KEY NAMESPACE GROUP NAME
 */
public final class Sign {
    public static void main(String[] args) {
        RamContext keys = new RamContext();
        keys.setAccessKey(args[0]);
        keys.setSecretKey(args[1]);
        RequestResource.Builder config = RequestResource.configBuilder();
        RequestResource.Builder naming = RequestResource.namingBuilder();
        print("naming", new NamingResourceInjector(), keys, filled(naming, args));
        print("config", new ConfigResourceInjector(), keys, filled(config, args));
        // The client names nothing when it listens for the changes of many documents.
        RequestResource nothing = RequestResource.configBuilder().build();
        print("listen", new ConfigResourceInjector(), keys, nothing);
    }

    private static RequestResource filled(RequestResource.Builder builder, String[] args) {
        return builder.setNamespace(args[2]).setGroup(args[3]).setResource(args[4]).build();
    }

    private static void print(
        String what, AbstractResourceInjector injector, RamContext keys, RequestResource resource) {
        LoginIdentityContext headers = new LoginIdentityContext();
        injector.doInject(resource, keys, headers);
        for (String name : headers.getAllKey()) {
            System.out.println(what + " " + name + " " + headers.getParameter(name));
        }
    }
}
