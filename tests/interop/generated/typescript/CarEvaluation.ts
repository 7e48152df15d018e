// Calls the classifier with types that are generated from its OpenAPI document.
import createClient from "openapi-fetch";
import { baseUrl, model_name } from "./given.js";
import type { components, paths } from "./openapi.js";

const client = createClient<paths>({ baseUrl });
const car: components["schemas"]["Car"] = {
  buying: "med",
  maint: "high",
  doors: "4",
  persons: "more",
  lug_boot: "big",
  safety: "high",
};
const predicted = await client.POST("/api/v1/predict", { body: { inputs: [car] } });
const explained = await client.POST("/api/v1/explain", { body: { inputs: [car] } });
const metadata = await client.GET("/v2/models/{model_name}", { params: { path: { model_name } } });
const refused = await client.POST("/api/v1/predict", { body: { inputs: [] } });

const classes: number[] = predicted.data?.predictions ?? [];
const concepts = explained.data?.explanations[0]?.concepts ?? {};
const inputs = metadata.data?.inputs.map((input) => input.name) ?? [];
const problem: string | undefined = refused.error?.type;
console.log(JSON.stringify({ classes, concepts: Object.keys(concepts), inputs, problem }));
