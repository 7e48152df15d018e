package example;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.cloud.client.loadbalancer.LoadBalanced;
import org.springframework.cloud.openfeign.EnableFeignClients;
import org.springframework.context.annotation.Bean;
import org.springframework.web.client.RestClient;

/** An application whose RestClient and Feign clients find services by their names in Nacos. */
@SpringBootApplication
@EnableFeignClients
public class SpringClient {
    public static void main(String[] arguments) {
        SpringApplication.run(SpringClient.class, arguments);
    }

    @Bean
    @LoadBalanced
    RestClient.Builder restClientBuilder() {
        return RestClient.builder();
    }
}
