// The arguments of a caller: the service's URL, and its model's name in V2.
declare const process: { argv: string[] };
export const [baseUrl, model_name] = process.argv.slice(2) as [string, string];
