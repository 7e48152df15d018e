// Writes a Postman collection of each service behind a gateway, made from its OpenAPI document.
// Arguments: the gateway's address, a folder, the services' names in Nacos. A collection that is run
// asks the gateway, with the examples of the documentation, and expects an answer of 2xx to each.
// Feedback is left out: it is about an answer that was given before.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import converter from "openapi-to-postmanv2";

const [gateway, folder, ...services] = process.argv.slice(2);
const DESCRIPTIONS = ["openapi.json", "api/v1/openapi.json"];
const OPTIONS = { parametersResolution: "Example", folderStrategy: "Tags" };
const EXPECTED = ["pm.test('the answer is 2xx', () => pm.response.to.be.success);"];
const convert = promisify(converter.convertV2);

async function described(service) {
  for (const path of DESCRIPTIONS) {
    const answer = await fetch(`${gateway}/${service}/${path}`);
    if (answer.ok) return answer.json();
  }
  throw new Error(`${gateway}/${service} has no OpenAPI document: is the service in Nacos?`);
}

for (const service of services) {
  const document = { ...(await described(service)), servers: [{ url: `${gateway}/${service}` }] };
  for (const [path, operations] of Object.entries(document.paths))
    if (operations.post?.tags?.includes("feedback")) delete document.paths[path];
  const converted = await convert({ type: "json", data: document }, OPTIONS);
  if (!converted.result) throw new Error(`${service}: ${converted.reason}`);
  const collection = converted.output[0].data;
  collection.event = [{ listen: "test", script: { type: "text/javascript", exec: EXPECTED } }];
  const file = join(folder, `${service}.json`);
  await writeFile(file, JSON.stringify(collection, null, 2) + "\n");
  console.log(file);
}
