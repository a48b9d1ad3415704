// The same as pygithub.py with Octokit: octokit.mjs NODE_MODULES BASE_URL
import { createRequire } from "node:module";

const [modules, baseUrl] = process.argv.slice(2);
const { Octokit } = createRequire(`${modules}/`)("@octokit/rest");
const octokit = new Octokit({ auth: "token", baseUrl });
const issues = await octokit.paginate("GET /repos/{owner}/{repo}/issues", { owner: "weir", repo: "weir", per_page: 2 });
for (const issue of issues) {
  const { data } = await octokit.request(`GET ${issue.url}`);
  console.log(data.number, data.title);
}
