package interop;

import java.util.List;
import org.springframework.cloud.openfeign.FeignClient;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RequestBody;

/** The Python clusterer by its Nacos name. */
@FeignClient(name = "skl-kmeans")
public interface Clusterer {
    @PostMapping("/api/skl-kmeans")
    Answer cluster(@RequestBody Question question);

    record Question(List<List<Double>> points) {}

    record Answer(List<Integer> results, int clusters) {}
}
