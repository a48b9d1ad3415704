// What npm's readers make of them: archives.mjs FILE.har FILE.warc.  HAR: har-validator, by the schema of HAR 1.2.  WARC: warcio.
import { createHash } from "node:crypto";
import { createReadStream, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(`${process.env.WEIR_NODE_MODULES}/`);
const { WARCParser } = await import(pathToFileURL(require.resolve("warcio")));
const said = { har: null, records: [] };
await require("har-validator").har(JSON.parse(readFileSync(process.argv[2], "utf8"))).catch((error) => {
  said.har = error.errors ?? String(error);
});
for await (const record of new WARCParser(createReadStream(process.argv[3]))) {
  const body = Buffer.from(await record.readFully(false));
  said.records.push({
    type: record.warcType, url: record.warcTargetURI, date: record.warcDate, id: record.warcHeader("WARC-Record-ID"),
    concurrent: record.warcHeader("WARC-Concurrent-To"), status: record.httpHeaders?.statusCode ?? null,
    method: record.httpHeaders?.method ?? null, digest: record.warcPayloadDigest,
    sha256: createHash("sha256").update(body).digest("hex"), type_said: record.httpHeaders?.headers.get("Content-Type") ?? null,
  });
}
console.log(JSON.stringify(said));
