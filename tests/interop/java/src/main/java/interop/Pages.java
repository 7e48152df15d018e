package interop;

import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.util.Map;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.MatrixVariable;
import org.springframework.web.bind.annotation.PathVariable;
import org.springframework.web.bind.annotation.RestController;

/** Pages that anybody may see, as Spring's own reading of the path finds them. */
@RestController
public class Pages {
    @GetMapping("/app/{things}/list")
    Reading list(
        @PathVariable String things,
        @MatrixVariable(pathVar = "things") Map<String, String> matrix,
        HttpServletRequest request) {
        return Reading.of(things, request, matrix);
    }

    @GetMapping("/cars")
    Reading cars(HttpServletRequest request) {
        return Reading.of("cars", request, Map.of());
    }

    @GetMapping("/login")
    Reading login(HttpServletRequest request) {
        return Reading.of("login", request, Map.of());
    }

    /** A page for those who are logged in: nobody is, so everybody is sent to the login. */
    @GetMapping("/login-needed")
    void loginNeeded(HttpServletResponse response) throws IOException {
        response.sendRedirect("/login");
    }
}
