// SPDX-License-Identifier: Apache-2.0
// Asks the API every two seconds, and when an event comes, and shows what it says. Mail is data from strangers: it is
// only ever set as text.
"use strict";

const shapes = { running: "●", starting: "◐", stopping: "◐", paused: "‖", stopped: "■", troubled: "▲", failed: "◆",
    done: "●", refused: "◆", "rolled-back": "◆" };
const reloadsShown = 8, changesShown = 3;
const byId = (id) => document.getElementById(id);
let token = "";

const credentials = () => (token ? { Authorization: "Bearer " + token } : {});

async function ask(path, method = "GET") {
    const answer = await fetch(path, { method, headers: credentials() });
    if (answer.status === 401 || answer.status === 403) {
        byId("login").hidden = false;
        throw new Error("the server wants a token");
    }
    if (!answer.ok)
        throw new Error((await answer.json()).detail || "HTTP " + answer.status);
    return answer.json();
}

function cell(row, text, className) {
    const td = row.insertCell();
    td.textContent = text === null || text === undefined ? "unknown" : String(text);
    if (className)
        td.className = className;
    return td;
}

function time(text) {
    return text ? new Date(text).toLocaleString() : "none";
}

function fill(id, items, write, nothing) {
    const body = document.createElement("tbody");
    body.id = id;
    for (const item of items)
        write(body.insertRow(), item);
    if (!items.length)
        cell(body.insertRow(), nothing, "quiet").colSpan = 10;
    byId(id).replaceWith(body);
}

function button(td, label, path) {
    const b = document.createElement("button");
    b.textContent = label;
    b.addEventListener("click", async () => {
        b.disabled = true;
        try {
            await ask(path, "POST");
        } catch (e) {
            byId("fresh").textContent = e.message;
        }
        await refresh();
    });
    td.append(b);
}

function why(td, text) {
    const span = document.createElement("span");
    span.className = "why";
    span.textContent = text;
    td.append(span);
}

function pipelineRow(row, p) {
    cell(row, p.name);
    cell(row, p.role);
    const state = cell(row, (shapes[p.state] || "◌") + " " + p.state, p.state);
    if (p.trouble) {
        const next = p.trouble.next_attempt_at;
        why(state, p.trouble.text + (next ? "; next attempt " + time(next) : ""));
    }
    cell(row, p.delivery);
    cell(row, p.records.in.toLocaleString(), "n");
    cell(row, p.records.out.toLocaleString(), "n");
    cell(row, p.records.dead.toLocaleString(), "n");
    cell(row, p.in_flight.records.toLocaleString(), "n");
    cell(row, time(p.last_commit_at));
    const td = row.insertCell();
    const base = "/v1/pipelines/" + encodeURIComponent(p.name) + "/";
    if (p.state === "paused")
        button(td, "Resume", base + "resume");
    else if (p.state === "stopped")
        button(td, "Start", base + "start");
    else
        button(td, "Pause", base + "pause");
}

function entityRow(row, e) {
    cell(row, e.type, "code");
    cell(row, e.text);
    cell(row, e.document.subject);
    cell(row, e.document.mailbox);
    cell(row, time(e.document.received_at));
}

function documentRow(row, d) {
    cell(row, time(d.received_at));
    cell(row, d.mailbox);
    cell(row, d.from ? d.from.name || d.from.address : "unknown");
    cell(row, d.subject);
}

function reloadRow(row, r) {
    cell(row, r.generation, "n");
    const result = cell(row, (shapes[r.result] || "◌") + " " + r.result, r.result);
    if (r.error)
        why(result, r.error);
    cell(row, time(r.began_at));
    cell(row, r.asked_by.join(", "));
    cell(row, Math.round(r.duration_ms).toLocaleString() + " ms", "n");
    const changes = cell(row, r.changes.length ? "" : "none");
    for (const c of r.changes.slice(0, changesShown))
        why(changes, c.place + ": " + c.reason + (c.detail ? " (" + c.detail + ")" : ""));
    if (r.changes.length > changesShown)
        why(changes, "and " + (r.changes.length - changesShown) + " more");
}

function showReloads(answer) {
    byId("s-reloads").hidden = !answer;
    if (!answer)
        return;
    const last = answer.reloads[0];
    let text = "Generation " + answer.generation + " runs.";
    if (last && last.result === "refused")
        text += " The last file was refused; nothing changed.";
    else if (answer.reloads.some((r) => r.result === "rolled-back" && r.generation === answer.generation - 1))
        text += " It is what ran before: generation " + (answer.generation - 1) + " did not work and was taken back.";
    byId("generation").textContent = text;
    fill("reloads", answer.reloads.slice(0, reloadsShown), reloadRow, "none since the start");
}

function sentence(pipelines) {
    const bad = pipelines.filter((p) => p.state === "troubled" || p.state === "failed");
    if (bad.length)
        return bad.map((p) => p.name + " is " + p.state).join(", ");
    if (!pipelines.length)
        return "No pipeline runs in this process";
    const waiting = pipelines.filter((p) => p.state !== "running");
    if (waiting.length)
        return waiting.map((p) => p.name + " is " + p.state).join(", ");
    return "Mail is coming in and is being read";
}

async function refresh() {
    try {
        const [status, pipelines, reloads, entities, documents] = await Promise.all([
            ask("/v1/status"), ask("/v1/pipelines"), ask("/v1/reloads").catch(() => null),
            ask("/v1/entities?limit=30"), ask("/v1/documents?limit=30")]);
        byId("login").hidden = true;
        byId("sentence").textContent = sentence(pipelines.pipelines);
        let about = "fragua " + status.version + ", " + Math.round(status.memory.resident_bytes / 1048576) + " MiB";
        if (status.kafka && !status.kafka.durable)
            about += ". The broker is inside this process: not durable, not transactional";
        byId("about").textContent = about;
        fill("pipelines", pipelines.pipelines, pipelineRow, "none");
        showReloads(reloads);
        fill("entities", entities.entities, entityRow, "none yet");
        fill("documents", documents.documents, documentRow, "none yet");
        byId("fresh").textContent = "live";
        byId("fresh").dataset.at = new Date().toLocaleTimeString();
    } catch (e) {
        byId("fresh").textContent = "not live since " + (byId("fresh").dataset.at || "the start") + ": " + e.message;
    }
}

byId("login").addEventListener("submit", (event) => {
    event.preventDefault();
    token = byId("token").value;
    refresh();
});

async function loop() {
    await refresh();
    setTimeout(loop, 2000);
}
loop();

// EventSource cannot send a token. What an event says is asked for anew, so that nothing hangs on its being whole.
async function read(signal) {
    const answer = await fetch("/v1/events?kinds=reload,pipeline", { headers: credentials(), signal });
    if (!answer.ok)
        return;
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
        const events = (rest + part.value).split("\n\n");
        rest = events.pop();
        if (events.some((event) => event.startsWith("event:")))
            refresh();
    }
}

// A page that nobody sees holds no stream.
async function listen() {
    const stop = new AbortController();
    const hidden = () => document.hidden && stop.abort();
    document.addEventListener("visibilitychange", hidden);
    if (!document.hidden)
        await read(stop.signal).catch(() => null);
    document.removeEventListener("visibilitychange", hidden);
    setTimeout(listen, 2000);
}
listen();
