// The same as pygithub_writes.py with Octokit: octokit_writes.mjs NODE_MODULES BASE_URL
import { createRequire } from "node:module";

const [modules, baseUrl] = process.argv.slice(2);
const { Octokit } = createRequire(`${modules}/`)("@octokit/rest");
const { rest } = new Octokit({ auth: "token", baseUrl });
const at = { owner: "weir", repo: "weir" };
const { data: issue } = await rest.issues.create({ ...at, title: "a title" });
console.log("issue", issue.number, issue.state);
console.log("comment", (await rest.issues.createComment({ ...at, issue_number: issue.number, body: "text" })).data.id);
await rest.issues.update({ ...at, issue_number: 1, state: "closed" });
await rest.issues.addLabels({ ...at, issue_number: 1, labels: ["bug"] });
console.log("pull", (await rest.pulls.create({ ...at, title: "t", head: "a", base: "main" })).data.number);
console.log("merged", (await rest.pulls.merge({ ...at, pull_number: 1 })).data.merged);
const { data: made } = await rest.repos.createOrUpdateFileContents({ ...at, path: "a/b.txt", message: "m", content: "Yg==" });
console.log("file", made.content.path, made.commit.sha.slice(0, 4));
console.log("ref", (await rest.git.createRef({ ...at, ref: "refs/heads/x", sha: "0".repeat(40) })).data.ref);
console.log("release", (await rest.repos.createRelease({ ...at, tag_name: "v1" })).data.tag_name);
await rest.activity.starRepoForAuthenticatedUser(at);
await rest.repos.delete(at);
console.log("gist", (await rest.gists.create({ files: { "a.txt": { content: "x" } } })).data.id);
