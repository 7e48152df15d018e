package caller;

import client.ApiClient;
import client.ApiException;
import client.api.OpenInferenceProtocolApi;
import client.api.OperationsApi;
import client.model.InferRequest;
import client.model.ProblemDocument;
import client.model.RequestInput;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Calls of every route of a service through the client that was made from its description. */
abstract class Calls {
  /** A call of the client. */
  interface Call {
    Object answer() throws ApiException;
  }

  /** A client whose requests carry one more header. */
  static ApiClient client(String url, String header, String value) {
    ApiClient client = new ApiClient();
    client.updateBaseUri(url);
    client.setRequestInterceptor(request -> request.setHeader(header, value));
    return client;
  }

  final Map<String, Object> answers = new LinkedHashMap<>();
  final Map<String, Object> problems = new LinkedHashMap<>();
  final ApiClient client;

  Calls(String url) {
    this.client = client(url, "X-Request-Id", "from-java");
  }

  /** Keep the answer of an operation. */
  void answered(String operation, Call call) throws ApiException {
    answers.put(operation, call.answer());
  }

  /** Keep the problem, read into its class, that a call is refused with. */
  void refused(String name, Call call) throws Exception {
    try {
      call.answer();
    } catch (ApiException error) {
      ProblemDocument problem =
          client.getObjectMapper().readValue(error.getResponseBody(), ProblemDocument.class);
      Map<String, Object> told = new LinkedHashMap<>();
      told.put("code", error.getCode());
      told.put("status", problem.getStatus());
      told.put("type", problem.getType());
      told.put("detail", problem.getDetail());
      told.put("request_id", problem.getRequestId());
      told.put("errors", problem.getErrors());
      problems.put(name, told);
    }
  }

  /** Call what every service has; `direct` is its URL without a gateway. */
  void shared(String model, String version, String direct, List<RequestInput> inputs)
      throws Exception {
    OperationsApi operations = new OperationsApi(client);
    answered("alive", operations::alive);
    answered("readiness", operations::readiness);
    answered("actuator_health", operations::actuatorHealth);
    answered("actuator_info", operations::actuatorInfo);
    operations.metrics();
    answers.put("metrics", "read");

    OpenInferenceProtocolApi v2 = new OpenInferenceProtocolApi(client);
    InferRequest asked = new InferRequest().id("mine").inputs(inputs);
    answered("server_metadata", v2::serverMetadata);
    answered("server_live", v2::serverLive);
    answered("server_ready", v2::serverReady);
    answered("model_metadata", () -> v2.modelMetadata(model));
    answered("model_ready", () -> v2.modelReady(model));
    answered("model_infer", () -> v2.modelInfer(model, asked));
    answered("model_statistics", () -> v2.modelStatistics(model));
    answered("model_version_metadata", () -> v2.modelVersionMetadata(model, version));
    answered("model_version_ready", () -> v2.modelVersionReady(model, version));
    answered("model_version_infer", () -> v2.modelVersionInfer(model, version, asked));
    answered("model_version_statistics", () -> v2.modelVersionStatistics(model, version));

    RequestInput other =
        new RequestInput().name("other").datatype("BYTES").shape(List.of(1L)).data(List.of("x"));
    InferRequest wrong = new InferRequest().inputs(List.of(other));
    refused("no-model", () -> v2.modelMetadata("other"));
    refused("invalid-tensor", () -> v2.modelInfer(model, wrong));
    OpenInferenceProtocolApi late =
        new OpenInferenceProtocolApi(client(direct, "X-Request-Timeout-Ms", "0"));
    refused("deadline", () -> late.modelInfer(model, asked));
    OpenInferenceProtocolApi odd =
        new OpenInferenceProtocolApi(client(direct, "X-Request-Timeout-Ms", "soon"));
    refused("bad-deadline", () -> odd.modelInfer(model, asked));
  }

  /** Print all that was kept. */
  void print() throws Exception {
    ObjectMapper mapper = client.getObjectMapper();
    System.out.println(
        mapper.writeValueAsString(Map.of("answers", answers, "problems", problems)));
  }
}
