package caller;

import client.api.ClusteringApi;
import client.model.Points;
import client.model.RequestInput;
import java.util.List;

/** Calls of the clusterer. */
final class Clusterer extends Calls {
  Clusterer(String url) {
    super(url);
  }

  public static void main(String[] arguments) throws Exception {
    Clusterer calls = new Clusterer(arguments[0]);
    List<List<Double>> points =
        List.of(List.of(1.0, 2.0), List.of(1.5, 2.0), List.of(8.0, 8.0), List.of(20.0, 1.0));
    RequestInput input =
        new RequestInput()
            .name("points")
            .datatype("FP64")
            .shape(List.of(4L, 2L))
            .data(List.of(1.0, 2.0, 1.5, 2.0, 8.0, 8.0, 20.0, 1.0));
    calls.shared(arguments[1], arguments[2], arguments[3], List.of(input));
    ClusteringApi api = new ClusteringApi(calls.client);
    calls.answered("cluster", () -> api.cluster(new Points().points(points), true, true));
    Points uneven = new Points().points(List.of(List.of(1.0), List.of(1.0, 2.0)));
    calls.refused("invalid-points", () -> api.cluster(uneven, null, null));
    Points few = new Points().points(List.of(List.of(1.0)));
    calls.refused("too-few-points", () -> api.cluster(few, null, null));
    calls.print();
  }
}
