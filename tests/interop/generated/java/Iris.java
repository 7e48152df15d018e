package caller;

import client.api.IrisApi;
import client.model.Inputs;
import client.model.RequestInput;
import client.model.Row;
import java.util.List;

/** Calls of a model of rows. */
final class Iris extends Calls {
  Iris(String url) {
    super(url);
  }

  private static Row row() {
    return new Row().sepalLength(5.1).sepalWidth(3.5).petalLength(1.4).petalWidth(0.2);
  }

  private static RequestInput input(String name, double value) {
    return new RequestInput().name(name).datatype("FP64").shape(List.of(1L)).data(List.of(value));
  }

  public static void main(String[] arguments) throws Exception {
    Iris calls = new Iris(arguments[0]);
    calls.shared(
        arguments[1],
        arguments[2],
        arguments[3],
        List.of(
            input("sepal_length", 5.1),
            input("sepal_width", 3.5),
            input("petal_length", 1.4),
            input("petal_width", 0.2)));
    IrisApi api = new IrisApi(calls.client);
    calls.answered("predict", () -> api.predict(new Inputs().inputs(List.of(row()))));
    Inputs wrong = new Inputs().inputs(List.of(row().petalWidth(-1.0)));
    calls.refused("invalid-rows", () -> api.predict(wrong));
    calls.print();
  }
}
