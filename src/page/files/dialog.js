// The one dialogue: the browser's own, which keeps the focus, closes by Escape and gives the focus back.
import { html, render } from "./lit-html.js";

const dialog = document.getElementById("dialog");
let settle = null;

dialog.addEventListener("close", () => {
    settle?.(dialog.returnValue === "yes");
    settle = null;
    if (!dialog.open) render(html``, dialog); // the event comes late: it may be open again
});

export function open(title, content, actions) {
    render(html`<h2 id="dialog-title"><bdi>${title}</bdi></h2><div class="content">${content}</div><div class="actions">${actions}</div>`, dialog);
    dialog.returnValue = "";
    if (!dialog.open) dialog.showModal();
}

export function close() {
    dialog.close("");
}

// Whether the answer is yes.
export function ask(title, content, yes) {
    open(title, content, html`<button type="button" autofocus @click=${close}>Cancel</button>
        <button type="button" class="danger" id="yes" @click=${() => dialog.close("yes")}>${yes}</button>`);
    return new Promise((resolve) => {
        settle = resolve;
    });
}
