package interop;

import jakarta.servlet.http.HttpServletRequest;
import java.util.Map;
import java.util.TreeMap;

/** A request as Java read it; `handler` names who answers, headers that begin with X-Forwarded- are kept. */
record Reading(
    String handler,
    String contextPath,
    String servletPath,
    String pathInfo,
    String requestUri,
    String host,
    String remoteAddr,
    String scheme,
    Map<String, String> forwarded,
    Map<String, String> matrix) {

    static Reading of(String handler, HttpServletRequest request, Map<String, String> matrix) {
        Map<String, String> forwarded = new TreeMap<>();
        request.getHeaderNames().asIterator().forEachRemaining(name -> {
            if (name.toLowerCase().startsWith("x-forwarded-")) {
                forwarded.put(name.toLowerCase(), request.getHeader(name));
            }
        });
        return new Reading(
            handler,
            request.getContextPath(),
            request.getServletPath(),
            request.getPathInfo(),
            request.getRequestURI(),
            request.getHeader("Host"),
            request.getRemoteAddr(),
            request.getScheme(),
            forwarded,
            matrix);
    }
}
