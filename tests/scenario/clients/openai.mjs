// Streams of chat completions, all at one time: openai.mjs NODE_MODULES BASE_URL COUNT
import { createRequire } from "node:module";

const [modules, baseURL, count] = process.argv.slice(2);
const { OpenAI } = createRequire(`${modules}/`)("openai");
const client = new OpenAI({ apiKey: "one", baseURL, maxRetries: 0 });

async function stream(n) {
  const chunks = await client.chat.completions.create({
    model: "m", max_tokens: 1500, stream: true, stream_options: { include_usage: true }, messages: [{ role: "user", content: "x".repeat(400) }],
  });
  let text = "", usage = null;
  for await (const chunk of chunks) {
    text += chunk.choices[0]?.delta?.content ?? "";
    usage = chunk.usage ?? usage;
  }
  return `${n} ${text} ${usage.prompt_tokens} ${usage.completion_tokens}`;
}

for (const line of await Promise.all([...Array(Number(count)).keys()].map(stream))) console.log(line);
