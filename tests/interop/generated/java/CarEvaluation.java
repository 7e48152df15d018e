package caller;

import client.api.CarEvaluationApi;
import client.model.Car;
import client.model.Doors;
import client.model.Inputs;
import client.model.Persons;
import client.model.RequestInput;
import java.util.Collections;
import java.util.List;

/** Calls of the classifier. */
final class CarEvaluation extends Calls {
  CarEvaluation(String url) {
    super(url);
  }

  private static Car car() {
    return new Car()
        .buying(Car.BuyingEnum.MED)
        .maint(Car.MaintEnum.HIGH)
        .doors(new Doors("4"))
        .persons(new Persons("more"))
        .lugBoot(Car.LugBootEnum.BIG)
        .safety(Car.SafetyEnum.HIGH);
  }

  private static RequestInput input(String name, String value) {
    return new RequestInput()
        .name(name)
        .datatype("BYTES")
        .shape(List.of(1L))
        .data(List.of(value));
  }

  public static void main(String[] arguments) throws Exception {
    CarEvaluation calls = new CarEvaluation(arguments[0]);
    calls.shared(
        arguments[1],
        arguments[2],
        arguments[3],
        List.of(
            input("buying", "med"),
            input("maint", "high"),
            input("doors", "4"),
            input("persons", "more"),
            input("lug_boot", "big"),
            input("safety", "high")));
    CarEvaluationApi api = new CarEvaluationApi(calls.client);
    Inputs inputs = new Inputs().inputs(List.of(car(), car().doors(new Doors(4L))));
    calls.answered("health", api::health);
    calls.answered("predict", () -> api.predict(inputs, true));
    calls.answered("explain", () -> api.explain(inputs));
    Inputs wrong = new Inputs().inputs(List.of(car().doors(new Doors("many"))));
    calls.refused("invalid-rows", () -> api.predict(wrong, null));
    Inputs many = new Inputs().inputs(Collections.nCopies(101, car()));
    calls.refused("too-many-rows", () -> api.explain(many));
    calls.print();
  }
}
