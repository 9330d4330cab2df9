// Sends a request from a form of the page and shows what came back. The key stays in this page and goes with it.
"use strict";
const key = document.getElementById("key");
const menu = document.getElementById("menu");
if (menu && window.matchMedia("(min-width: 54.01rem)").matches) menu.open = true;

function queryOf(form) {
  const query = new URLSearchParams();
  for (const field of form.querySelectorAll("[data-query]")) {
    const several = field.dataset.query === "several";
    const values = several ? field.value.split("\n") : [field.value];
    for (const value of values) if (value !== "") query.append(field.name, value);
  }
  const text = query.toString();
  return text ? "?" + text : "";
}

function shown(text, kind) {
  if (kind.includes("json")) {
    try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text; }
  }
  return text;
}

async function send(form) {
  const out = form.querySelector("output"), button = form.querySelector("button");
  const id = form.querySelector("[name='id'][data-path]");
  const path = form.dataset.path.replace("{id}", id ? encodeURIComponent(id.value) : "");
  const body = form.querySelector("[data-body]"), file = form.querySelector("input[type='file']");
  const headers = {"accept-language": document.documentElement.lang};
  if (key && key.value) headers.authorization = "Bearer " + key.value.trim();
  const options = {method: form.dataset.method, headers};
  if (body && body.value.trim()) { options.body = body.value; headers["content-type"] = "application/json"; }
  if (file && file.files[0]) options.body = file.files[0];
  button.disabled = true;
  out.replaceChildren();
  const line = document.createElement("div"), text = document.createElement("pre");
  line.className = "status";
  try {
    const began = performance.now();
    const reply = await fetch(path + queryOf(form), options);
    const content = await reply.text();
    line.textContent = `${reply.status} · ${(performance.now() - began).toFixed(0)} ms`;
    line.classList.add(reply.ok ? "good" : "bad");
    text.textContent = shown(content, reply.headers.get("content-type") || "");
  } catch (wrong) {
    line.textContent = String(wrong);
    line.classList.add("bad");
  }
  out.append(line, ...(text.textContent ? [text] : []));
  button.disabled = false;
}

for (const form of document.querySelectorAll("form[data-path]")) {
  form.addEventListener("submit", (event) => { event.preventDefault(); send(form); });
}
