// The same with Anthropic's messages: anthropic.mjs NODE_MODULES BASE_URL COUNT
import { createRequire } from "node:module";

const [modules, baseURL, count] = process.argv.slice(2);
const { Anthropic } = createRequire(`${modules}/`)("@anthropic-ai/sdk");
const client = new Anthropic({ apiKey: "one", baseURL, maxRetries: 0 });

async function stream(n) {
  const events = client.messages.stream({ model: "m", max_tokens: 900, messages: [{ role: "user", content: "x".repeat(400) }] });
  let text = "";
  events.on("text", (piece) => (text += piece));
  const { usage } = await events.finalMessage();
  return `${n} ${text} ${usage.input_tokens + usage.cache_creation_input_tokens} ${usage.output_tokens}`;
}

for (const line of await Promise.all([...Array(Number(count)).keys()].map(stream))) console.log(line);
