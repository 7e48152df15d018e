// Calls the clusterer with types that are generated from its OpenAPI document.
import createClient from "openapi-fetch";
import { baseUrl, model_name } from "./given.js";
import type { paths } from "./openapi.js";

const client = createClient<paths>({ baseUrl });
const points = [[1, 2], [1.5, 2], [8, 8], [20, 1]];
const asked = { params: { query: { canonical: true } }, body: { points } };
const clustered = await client.POST("/api/skl-kmeans", asked);
const metadata = await client.GET("/v2/models/{model_name}", { params: { path: { model_name } } });
const refused = await client.POST("/api/skl-kmeans", { body: { points: [] } });

// The route has a picture too, which nobody gets who does not ask for it.
const answer = clustered.data;
const classes: number[] = typeof answer === "object" ? answer.results : [];
const inputs = metadata.data?.inputs.map((input) => input.name) ?? [];
const problem: string | undefined = refused.error?.type;
console.log(JSON.stringify({ classes, inputs, problem }));
