package example;

import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RequestBody;
import org.springframework.web.bind.annotation.RestController;
import org.springframework.web.client.RestClient;

/** Asks the classifier about cars, by RestClient and by OpenFeign. */
@RestController
public class Cars {
    private final RestClient restClient;
    private final CarEvaluation carEvaluation;

    Cars(RestClient.Builder restClientBuilder, CarEvaluation carEvaluation) {
        this.restClient = restClientBuilder.build();
        this.carEvaluation = carEvaluation;
    }

    @PostMapping("/by-rest-client")
    CarEvaluation.Answer byRestClient(@RequestBody CarEvaluation.Question question) {
        return restClient.post()
            .uri("http://car-evaluation/api/v1/predict")
            .body(question)
            .retrieve()
            .body(CarEvaluation.Answer.class);
    }

    @PostMapping("/by-feign")
    CarEvaluation.Answer byFeign(@RequestBody CarEvaluation.Question question) {
        return carEvaluation.predict(question);
    }
}
