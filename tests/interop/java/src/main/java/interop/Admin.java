package interop;

import com.fasterxml.jackson.databind.ObjectMapper;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.util.Map;
import org.springframework.boot.web.servlet.ServletRegistrationBean;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;

/** What must not be reached without a key: a servlet that Tomcat finds by its own reading of the path. */
@Configuration
public class Admin {
    @Bean
    ServletRegistrationBean<HttpServlet> adminServlet(ObjectMapper json) {
        return new ServletRegistrationBean<>(new AdminServlet(json), "/app/admin/*", "/shop/admin/*");
    }

    private static final class AdminServlet extends HttpServlet {
        private final transient ObjectMapper json;

        AdminServlet(ObjectMapper json) {
            this.json = json;
        }

        @Override
        protected void doGet(HttpServletRequest request, HttpServletResponse response)
            throws IOException {
            response.setContentType("application/json");
            json.writeValue(response.getOutputStream(), Reading.of("admin", request, Map.of()));
        }
    }
}
