// What is answered later: everybody's jobs, as far as they may be told.
import { html, nothing } from "./lit-html.js";
import { clean, count, duration, plural, since } from "./format.js";

const MARKS = { queued: "‖", running: "▶", done: "●", failed: "✕", cancelled: "–" };

const seconds = (iso, now) => (new Date(iso) - now) / 1000;

function when(job, now) {
    if (job.ended) return `${duration(Math.max(0, -seconds(job.ended, now)))} ago`;
    return job.eta ? `in ${duration(Math.max(0, seconds(job.eta, now)))}` : "–";
}

function row(job, now) {
    const isBad = job.state === "failed";
    return html`<tr class=${isBad ? "bad" : ""}>
        <td data-label="Asked" class="number"><time datetime=${job.created}>${since(job.created)}</time></td>
        <td data-label="Status" class="number">${job.status ?? "–"}</td>
        <td data-label="State"><span aria-hidden="true" class="mark">${MARKS[job.state] ?? "·"}</span> ${clean(job.state)}</td>
        <td data-label="Request" class="target" title=${clean(job.target)}><span class="quiet">${clean(job.method)}</span> <bdi>${clean(job.target)}</bdi></td>
        <td data-label="When" class="number">${when(job, now)}</td>
        <td data-label="ID"><code>${clean(job.id)}</code></td>
    </tr>`;
}

export function jobs(told) {
    const now = new Date(), counted = Object.entries(told.states).filter(([, n]) => n > 0);
    return html`<div class="head"><h2 id="jobs-title">Answered later</h2>
            <span class="quiet">${counted.map(([state, n]) => `${count(n)} ${clean(state)}`).join(", ")}</span></div>
        ${told.jobs.length === 0
            ? html`<p class="quiet">No request. A client that sends <code>Weir-Async: 1</code> makes one.</p>`
            : html`<div class="frame" tabindex="0" role="region" aria-label="Requests that are answered later"><table class="cards lines">
                <thead><tr><th scope="col" class="number">Asked</th><th scope="col" class="number">Status</th><th scope="col">State</th>
                    <th scope="col" class="target">Request</th><th scope="col" class="number">When</th><th scope="col">ID</th></tr></thead>
                <tbody>${told.jobs.map((job) => row(job, now))}</tbody></table></div>`}
        ${told.more ? html`<p class="quiet">The last ${plural(told.jobs.length, "one", "ones")} that changed.</p>` : nothing}`;
}
