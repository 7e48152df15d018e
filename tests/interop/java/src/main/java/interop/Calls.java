package interop;

import org.springframework.http.HttpStatus;
import org.springframework.http.ResponseEntity;
import org.springframework.web.bind.annotation.ExceptionHandler;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RequestBody;
import org.springframework.web.bind.annotation.RequestMapping;
import org.springframework.web.bind.annotation.RestController;
import org.springframework.web.client.RestTemplate;

/** Passes a question on to a Python service, once per call and without a retry, and the answer back. */
@RestController
@RequestMapping("/calls")
public class Calls {
    private final CarEvaluation carEvaluation;
    private final Clusterer clusterer;
    private final RestTemplate restTemplate;

    Calls(CarEvaluation carEvaluation, Clusterer clusterer, RestTemplate restTemplate) {
        this.carEvaluation = carEvaluation;
        this.clusterer = clusterer;
        this.restTemplate = restTemplate;
    }

    @PostMapping("/feign/car-evaluation")
    CarEvaluation.Answer predictByFeign(@RequestBody CarEvaluation.Question question) {
        return carEvaluation.predict(question);
    }

    @PostMapping("/feign/skl-kmeans")
    Clusterer.Answer clusterByFeign(@RequestBody Clusterer.Question question) {
        return clusterer.cluster(question);
    }

    @PostMapping("/rest-template/car-evaluation")
    CarEvaluation.Answer predictByRestTemplate(@RequestBody CarEvaluation.Question question) {
        return restTemplate.postForObject(
            "http://car-evaluation/api/v1/predict", question, CarEvaluation.Answer.class);
    }

    @PostMapping("/rest-template/skl-kmeans")
    Clusterer.Answer clusterByRestTemplate(@RequestBody Clusterer.Question question) {
        return restTemplate.postForObject(
            "http://skl-kmeans/api/skl-kmeans", question, Clusterer.Answer.class);
    }

    /** A call that failed is told to the test in full: 502 and the exception's text. */
    @ExceptionHandler
    ResponseEntity<String> failed(Exception error) {
        return ResponseEntity.status(HttpStatus.BAD_GATEWAY).body(error.toString());
    }
}
