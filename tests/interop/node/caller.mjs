// Finds a service in Nacos by name and posts one body to each healthy instance, as a Node application
// does. Arguments: service, path, JSON body. Prints one JSON object: what was found and what answered.
import { NacosNamingClient } from "nacos";

const [service, path, body] = process.argv.slice(2);
const { NACOS_SERVER_ADDR, NACOS_NAMESPACE, NACOS_USERNAME, NACOS_PASSWORD } = process.env;

const quiet = { ...console, debug() {}, info() {}, log() {}, warn: console.error };
const naming = new NacosNamingClient({
  logger: quiet,
  serverList: NACOS_SERVER_ADDR,
  namespace: NACOS_NAMESPACE ?? "public",
  username: NACOS_USERNAME,
  password: NACOS_PASSWORD,
});

await naming.ready();
const instances = await naming.selectInstances(service);
const answers = await Promise.all(
  instances.map(async ({ ip, port }) => {
    const response = await fetch(`http://${ip}:${port}${path}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body,
    });
    return { instance: `${ip}:${port}`, status: response.status, body: await response.json() };
  }),
);
console.log(JSON.stringify({ instances: instances.map(({ ip, port }) => `${ip}:${port}`), answers }));
await naming.close();
process.exit(); // the client's keep-alive sockets would hold the process for ten seconds more
