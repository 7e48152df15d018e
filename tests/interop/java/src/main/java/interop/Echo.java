package interop;

import jakarta.servlet.http.HttpServletRequest;
import java.util.HashMap;
import java.util.Map;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.web.bind.annotation.RequestBody;
import org.springframework.web.bind.annotation.RequestMapping;
import org.springframework.web.bind.annotation.RestController;

/** The Java provider that Python calls: says what arrived. */
@RestController
public class Echo {
    private final String service;

    Echo(@Value("${spring.application.name}") String service) {
        this.service = service;
    }

    record Received(
        String service, String method, String path, Map<String, String> headers, String body) {}

    @RequestMapping("/echo/**")
    Received echo(HttpServletRequest request, @RequestBody(required = false) String body) {
        Map<String, String> headers = new HashMap<>();
        request.getHeaderNames().asIterator()
            .forEachRemaining(name -> headers.put(name.toLowerCase(), request.getHeader(name)));
        return new Received(
            service, request.getMethod(), request.getRequestURI(), headers, body);
    }
}
