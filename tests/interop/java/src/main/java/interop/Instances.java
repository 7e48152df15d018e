package interop;

import java.net.URI;
import java.util.List;
import java.util.Map;
import org.springframework.cloud.client.discovery.DiscoveryClient;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PathVariable;
import org.springframework.web.bind.annotation.RestController;

/** What this application knows of a service, before any balancer's cache. */
@RestController
public class Instances {
    private final DiscoveryClient discovery;

    Instances(DiscoveryClient discovery) {
        this.discovery = discovery;
    }

    record Known(URI uri, Map<String, String> metadata) {}

    @GetMapping("/instances/{service}")
    List<Known> instances(@PathVariable String service) {
        return discovery.getInstances(service).stream()
            .map(instance -> new Known(instance.getUri(), instance.getMetadata()))
            .toList();
    }
}
