// The same as walk.py with Node's fetch: walk.mjs URL
let url = process.argv[2];
for (let turn = 0; url; turn++) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${response.status} from ${url}`);
  const page = await response.json();
  page.items.forEach((item) => console.log(item));
  const next = /<([^>]*)>; rel="next"/.exec(response.headers.get("link") ?? "");
  url = next && turn % 2 === 0 ? next[1] : page.next;
}
