package example;

import com.fasterxml.jackson.annotation.JsonProperty;
import java.util.List;
import org.springframework.cloud.openfeign.FeignClient;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RequestBody;

/** The classifier as Java sees it: its name in Nacos, its path, and the types of its JSON. */
@FeignClient(name = "car-evaluation")
public interface CarEvaluation {
    @PostMapping("/api/v1/predict")
    Answer predict(@RequestBody Question question);

    record Question(List<Car> inputs) {}

    record Car(
        String buying,
        String maint,
        String doors,
        String persons,
        @JsonProperty("lug_boot") String lugBoot,
        String safety) {}

    record Answer(List<Integer> predictions, List<String> labels, String version) {}
}
