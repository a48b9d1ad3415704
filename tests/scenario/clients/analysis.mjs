// Pages, a write, a redirect, an error and a file, by Node's fetch: analysis.mjs BASE_URL
import { createHash } from "node:crypto";

const base = process.argv[2];
const pages = await Promise.all([1, 2, 3].map(async (n) => (await fetch(`${base}/list?page=${n}`)).json()));
console.log(JSON.stringify(pages));
const made = await fetch(`${base}/items`, { method: "POST", body: JSON.stringify({ name: "x" }), headers: { "Content-Type": "application/json", Authorization: "Bearer very-secret-value" } });
console.log(made.status, await made.text());
const form = new FormData();
form.set("file", new Blob([new Uint8Array([0, 1, 254, 255])]), "a.bin");
const sent = await fetch(`${base}/upload`, { method: "POST", body: form });
console.log(sent.status, await sent.text());
const moved = await fetch(`${base}/moved`);
console.log(moved.redirected, moved.url, await moved.text());
console.log((await fetch(`${base}/none`)).status);
const file = Buffer.from(await (await fetch(`${base}/file`)).arrayBuffer());
console.log(file.length, createHash("sha256").update(file).digest("hex"));
