package peer;

import java.util.UUID;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.cloud.gateway.filter.GlobalFilter;
import org.springframework.context.annotation.Bean;

/** Spring Cloud Gateway as its users run it: all behaviour but the request id is in application.yml. */
@SpringBootApplication
public class SpringGateway {
    private static final String REQUEST_ID = "X-Request-Id";

    public static void main(String[] arguments) {
        SpringApplication.run(SpringGateway.class, arguments);
    }

    /** Gives a request an id, unless it has one. */
    @Bean
    GlobalFilter requestId() {
        return (exchange, chain) -> {
            var request = exchange.getRequest();
            if (request.getHeaders().getFirst(REQUEST_ID) != null) {
                return chain.filter(exchange);
            }
            var named = request.mutate().header(REQUEST_ID, UUID.randomUUID().toString()).build();
            return chain.filter(exchange.mutate().request(named).build());
        };
    }
}
