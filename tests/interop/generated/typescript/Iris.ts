// Calls a model of rows with types that are generated from its OpenAPI document.
import createClient from "openapi-fetch";
import { baseUrl, model_name } from "./given.js";
import type { components, paths } from "./openapi.js";

const client = createClient<paths>({ baseUrl });
const row: components["schemas"]["Row"] = {
  sepal_length: 5.1,
  sepal_width: 3.5,
  petal_length: 1.4,
  petal_width: 0.2,
};
const predicted = await client.POST("/api/v1/predict", { body: { inputs: [row] } });
const metadata = await client.GET("/v2/models/{model_name}", { params: { path: { model_name } } });
const refused = await client.POST("/api/v1/predict", { body: { inputs: [] } });

const classes: number[] = predicted.data?.predictions ?? [];
const inputs = metadata.data?.inputs.map((input) => input.name) ?? [];
const problem: string | undefined = refused.error?.type;
console.log(JSON.stringify({ classes, inputs, problem }));
