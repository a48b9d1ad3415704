// An SDK of a language model's, whose answer comes as a stream of events: sdk.mjs BASE_URL
import { createHash } from "node:crypto";
import { createRequire } from "node:module";

const { default: Anthropic } = createRequire(`${process.env.WEIR_NODE_MODULES}/`)("@anthropic-ai/sdk");
const client = new Anthropic({ baseURL: process.argv[2], apiKey: "sk-ant-very-secret-value", maxRetries: 0 });
const asked = { model: "claude-test", max_tokens: 64, messages: [{ role: "user", content: "Say something long." }] };
const events = [];
const stream = client.messages.stream(asked).on("streamEvent", (event) => events.push(event));
const message = await stream.finalMessage();
console.log(message.content[0].text, JSON.stringify(message.usage), message.stop_reason);
console.log(events.length, createHash("sha256").update(JSON.stringify(events)).digest("hex"));
const whole = await client.messages.create({ ...asked, max_tokens: 8 });
console.log(whole.content[0].text, JSON.stringify(whole.usage));
const refused = await client.messages.create({ ...asked, model: "none" }).catch((error) => error);
console.log(refused.status, refused.error?.error?.type);
