// What the pages do better with a script: files are dropped and sent one by one with
// their progress, what waits is looked at again, and a moment is shown in place. All
// else works without it.
"use strict";

document.documentElement.classList.add("scripts");
for (const part of document.querySelectorAll(".scripted")) part.hidden = false;
for (const part of document.querySelectorAll(".unscripted")) part.hidden = true;

const spoken = document.getElementById("said");

function say(words) {
  if (spoken.textContent !== words) spoken.textContent = words;
}

// --- Live parts: fetched again while anything in them waits --------------------------

const AGAIN = 1000; // milliseconds; longer where the server is busy
const NO_ENTRY =
  "The server was started anew, and does not know this page any more. Open the " +
  "address that it printed.";
let lastWords = null;

function waiting() {
  return [...document.querySelectorAll("[data-live] [data-pending]")];
}

const asSent = new Map(); // by id, what each live part was before it was used

// A part holds what is in it but for live parts further in: these change by themselves,
// so that pictures beside them are not loaded again.
function partsOf(page) {
  return [...page.querySelectorAll("[data-live]")].map((part) => {
    const own = part.cloneNode(true);
    for (const inner of own.querySelectorAll("[data-live]")) inner.replaceChildren();
    return [part, own.innerHTML];
  });
}

function parsed(text) {
  return new DOMParser().parseFromString(text, "text/html");
}

function remember() {
  asSent.clear();
  for (const [part, html] of partsOf(parsed(document.documentElement.outerHTML))) {
    asSent.set(part.id, html);
  }
}

function replaceLive(page) {
  const focused = document.activeElement && document.activeElement.id;
  const replaced = new Set(); // with what they are in
  for (const [now, html] of partsOf(page)) {
    const old = document.getElementById(now.id);
    const isNew = asSent.get(now.id) !== html;
    asSent.set(now.id, html);
    if (!old || !isNew || replaced.has(now.id)) continue;
    for (const inner of now.querySelectorAll("[data-live]")) replaced.add(inner.id);
    const chosen = [...old.querySelectorAll("input:checked")].map((box) => box.id);
    const part = document.importNode(now, true);
    old.replaceWith(part);
    if (part.querySelector("video")) watchVideo();
    for (const id of chosen) {
      const box = document.getElementById(id);
      if (box) box.checked = true;
    }
  }
  localTimes();
  mayCompare();
  const again = focused && document.getElementById(focused);
  if (again && again !== document.activeElement) again.focus({ preventScroll: true });
}

// --- Times: those of the server are in UTC, those of the page in the reader's zone ----

function localTimes() {
  for (const time of document.querySelectorAll("time[datetime$='Z']")) {
    const moment = new Date(time.dateTime);
    if (Number.isNaN(moment.getTime()) || time.title) continue;
    time.title = time.textContent;
    time.textContent = moment.toLocaleString([], {
      dateStyle: "medium", timeStyle: "short",
    });
  }
}

setInterval(() => {
  const until = document.querySelector("#until time");
  if (until && Date.now() > Date.parse(until.dateTime) + 60_000) {
    notice("This scan was kept until now and is deleted: what you have not saved is gone.");
    isGone(true);
  }
  const isOver = (row) => Date.now() > Date.parse(row.dataset.until) + 60_000;
  if ([...document.querySelectorAll("[data-until]")].some(isOver)) {
    refresh().catch(() => {}); // the list without it; a server that is gone says so
  }
}, 15_000);

// Who comes back to a page may find that its scan was deleted in another one.
window.addEventListener("focus", async () => {
  if (!document.getElementById("until")) return;
  try {
    const answer = await fetch(location.href, { cache: "no-store" });
    if (answer.status !== 404) return;
    notice("This scan was deleted meanwhile: what you have not saved is gone.");
    isGone(true);
  } catch {
    // who presses something is told
  }
});

let timer = null;
let pause = AGAIN;

function lookSoon() {
  clearTimeout(timer);
  timer = setTimeout(lookAgain, pause);
}

function notice(words) {
  const old = document.getElementById("notice");
  if (old && old.textContent === words) return;
  if (old) old.remove();
  if (!words) return;
  const box = document.createElement("p");
  box.id = "notice";
  box.className = "problem";
  box.setAttribute("role", "alert");
  box.textContent = words;
  document.querySelector("main").prepend(box);
}

function isGone(gone) {
  document.documentElement.classList.toggle("gone", gone); // what is below is old
}

async function refresh() {
  const answer = await fetch(location.href, { cache: "no-store" });
  if (answer.ok) {
    replaceLive(parsed(await answer.text()));
  }
  lookSoon();
}

async function lookAgain() {
  const before = waiting();
  if (!before.length) return;
  let text = null;
  const begun = performance.now();
  try {
    const answer = await fetch(location.href, { cache: "no-store" });
    if (answer.status === 404) return location.reload();
    if (answer.status === 401) return notice(NO_ENTRY);
    if (answer.ok) text = await answer.text();
    notice(answer.ok ? "" : "The server is in trouble. This page tries again.");
    isGone(false);
  } catch {
    isGone(true);
    notice(
      "The server does not answer. Below is how things were when it last did. This " +
      "page tries again."
    );
  }
  pause = Math.max(AGAIN, 5 * (performance.now() - begun));
  if (text !== null) {
    const page = parsed(text);
    // A scan that has ended has another page: all of it is new, and so is the focus.
    const own = document.getElementById("progress");
    if (own && !page.getElementById("progress")) return showResult(page);
    document.title = page.title;
    replaceLive(page);
    const now = waiting();
    const words = now.map((part) => part.dataset.pending).join(", ");
    if (!now.length) say(before.length > 1 ? "All is done." : "It is done.");
    else if (words !== lastWords) say(words);
    lastWords = words;
  }
  lookSoon();
}

function showResult(page) {
  document.title = page.title;
  document.querySelector("main").replaceWith(
    document.importNode(page.querySelector("main"), true)
  );
  remember();
  localTimes();
  watchVideo();
  const verdict = document.querySelector(".verdict > p");
  say(`Done. ${verdict ? verdict.textContent.replace(/\s+/g, " ").trim() : ""}`);
  document.getElementById("main").focus({ preventScroll: true });
  lookSoon();
}

// --- Moments: the video jumps where it is -------------------------------------------

function watchVideo() {
  const video = document.getElementById("video");
  if (!video) return;
  const show = () => {
    const links = [...document.querySelectorAll(".frames a[data-x]")];
    const lines = document.querySelectorAll(".frames .now");
    for (const line of lines) {
      const own = links.filter((link) => line.parentNode.contains(link));
      const x = placeOf(video.currentTime, own);
      for (const end of ["x1", "x2"]) line.setAttribute(end, x);
    }
  };
  video.addEventListener("timeupdate", show);
  video.addEventListener("seeking", show);
}

function placeOf(seconds, links) {
  // Moments lie on a straight line: any two of them say where all others are.
  const first = links[0], last = links[links.length - 1];
  if (!first || first === last) return first ? `${first.dataset.x}%` : "-10";
  const [t, u] = [first, last].map((link) => Number(link.dataset.seconds));
  const [x, y] = [first, last].map((link) => Number(link.dataset.x));
  const place = x + ((seconds - t) / (u - t)) * (y - x);
  return `${Math.min(100, Math.max(0, place))}%`;
}

document.addEventListener("mousedown", (event) => {
  if (event.target.closest(".frames a")) event.preventDefault(); // it takes no focus
});

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-seconds]");
  const video = document.getElementById("video");
  if (!link || !video || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const seconds = Number(link.dataset.seconds);
  video.pause();
  video.currentTime = seconds;
  const box = video.getBoundingClientRect();
  if (box.top < 0 || box.bottom > innerHeight) video.scrollIntoView({ block: "nearest" });
  say(`The video is at ${seconds.toFixed(1)} seconds.`);
});

// --- Side by side: two files at least ------------------------------------------------

function mayCompare() {
  const button = document.getElementById("compare-button");
  if (!button) return;
  const chosen = document.querySelectorAll("input[name='ids']:checked").length;
  button.disabled = chosen < 2;
  document.getElementById("compare-note").hidden = chosen > 1;
}

document.addEventListener("change", (event) => {
  if (event.target.name === "ids") mayCompare();
});

// --- What is made on demand: asked for without leaving the page ----------------------

document.addEventListener("submit", (event) => {
  const words = event.target.dataset.confirm;
  if (!words) return;
  if (!confirm(words)) return event.preventDefault();
  event.target.action += "?sure=1"; // asked here, so that the server need not ask
});

function tell(form, words) {
  const box = document.createElement("p"); // beside what was pressed, for the eye as well
  box.className = "problem";
  box.setAttribute("role", "alert");
  box.textContent = words;
  form.append(box);
}

document.addEventListener("submit", async (event) => {
  const form = event.target.closest("form[data-ask]");
  if (!form) return;
  event.preventDefault();
  form.querySelector(".problem")?.remove();
  form.querySelector("button").disabled = true;
  try {
    const answer = await fetch(form.action, { method: "POST" });
    const page = parsed(await answer.text());
    if (answer.ok) replaceLive(page);
    else tell(form, page.querySelector("main").textContent.replace(/\s+/g, " ").trim());
  } catch {
    tell(form, "The server does not answer. Try once more.");
  }
  const button = form.querySelector("button");
  if (button) button.disabled = false;
  lookSoon();
});

// --- Files: dropped or chosen, sent one by one --------------------------------------

const upload = document.getElementById("upload");
const MOST_WAIT = 3600; // seconds for which a file is sent again and again
const MOST_BESIDE = 12; // files that are shown side by side
// What is surely no video and no picture is not sent; of all else the server decides.
const DOCUMENT = /\.(pdf|docx?|odt|rtf|xlsx?|ods|pptx?|txt|csv|html?|json|zip|rar|7z|mp3|wav|m4a)$/i;
const HIDDEN = /[\u200e\u200f\u202a-\u202e\u2066-\u2069]/g; // turn the letters round
let sending = false;

window.addEventListener("beforeunload", (event) => {
  if (sending) event.preventDefault(); // what is not sent yet would be lost
});

function send(file, row) {
  return new Promise((resolve) => {
    if (file.size > Number(upload.dataset.most)) {
      return resolve({ problem: upload.dataset.large, isFinal: true });
    }
    if (DOCUMENT.test(file.name)) {
      return resolve({ problem: upload.dataset.document, isFinal: true });
    }
    const request = new XMLHttpRequest();
    const bar = row.querySelector("progress");
    request.upload.addEventListener("progress", (event) => {
      if (!event.lengthComputable) return;
      bar.value = event.loaded / event.total;
      bar.nextElementSibling.textContent = `${Math.round(100 * bar.value)} % sent`;
    });
    request.addEventListener("load", () => {
      let answer = {};
      try {
        answer = JSON.parse(request.responseText);
      } catch {
        answer = { title: `The server answered ${request.status}.` };
      }
      const problem = answer.detail || answer.title;
      const later = Number(request.getResponseHeader("Retry-After"));
      const isBusy = [429, 503, 507].includes(request.status) && later > 0;
      if (request.status === 202) resolve({ id: answer.id });
      else resolve({
        problem: problem || `The server answered ${request.status}.`,
        wait: isBusy ? later : 0,
      });
    });
    request.addEventListener("error", () =>
      resolve({
        problem: "The server does not answer, or broke off (of files that are too " +
          "large, for instance).",
      })
    );
    const form = new FormData();
    form.append("file", file);
    request.open("POST", "/v1/scans");
    request.setRequestHeader("Accept", "application/json");
    request.send(form);
  });
}

function rowOf(file) {
  const row = document.createElement("li");
  const name = document.createElement("strong");
  name.textContent = file.name.replace(HIDDEN, "");
  const bar = document.createElement("progress");
  bar.max = 1;
  bar.value = 0;
  bar.setAttribute("aria-label", `Sending ${file.name}`);
  const share = document.createElement("span");
  share.className = "soft";
  share.textContent = "waits to be sent";
  const way = document.createElement("div");
  way.className = "way";
  way.append(bar, " ", share);
  row.append(name, " ", way);
  return row;
}

// Where the server has no room, it says when to come back, and the file is sent again.
async function sendWhenThereIsRoom(file, row) {
  const bar = row.querySelector("progress");
  const note = document.createElement("span");
  note.className = "soft";
  row.append(note);
  let answer = await send(file, row);
  for (let waited = 0; answer.wait && waited < MOST_WAIT; waited += answer.wait) {
    bar.value = 0;
    note.textContent = "Waits: the server has no room just now. It is sent by itself.";
    if (!waited) say(`${file.name} waits: the server has no room just now.`);
    await new Promise((resolve) => setTimeout(resolve, 1000 * answer.wait));
    note.textContent = "";
    answer = await send(file, row);
  }
  note.remove();
  return answer;
}

function endOf(file, row, { id, problem, isFinal }) {
  const end = document.createElement(id ? "a" : "span");
  if (id) {
    end.href = `/scans/${id}`;
    end.textContent = "sent";
  } else {
    end.className = "bad";
    end.textContent = `Not taken: ${problem}`;
    row.classList.add("refused");
    const again = document.createElement("button");
    again.type = "button";
    again.className = "plain";
    again.textContent = "Send again";
    again.setAttribute("aria-label", `Send ${file.name} again`);
    again.addEventListener("click", () => {
      row.remove();
      sendAll([file]);
    });
    if (!isFinal) end.append(" ", again);
    say(`${file.name} was not taken: ${problem}`);
  }
  row.querySelector(".way").replaceWith(end);
}

const toSend = []; // files and their rows; more may come while some are sent

async function sendAll(files) {
  if (!files.length) return;
  const list = document.getElementById("uploads");
  for (const file of files) {
    const row = rowOf(file);
    list.append(row);
    toSend.push([file, row]);
  }
  list.hidden = false;
  upload.reset();
  if (sending) return;
  sending = true;
  const ids = [];
  while (toSend.length) {
    const [file, row] = toSend.shift();
    say(`Sending ${file.name}; ${toSend.length} more after it.`);
    const answer = await sendWhenThereIsRoom(file, row);
    if (answer.id) ids.push(answer.id);
    endOf(file, row, answer);
    if (answer.id && toSend.length) refresh();
  }
  sending = false;
  for (const row of [...list.children]) {
    if (!row.classList.contains("refused")) row.remove(); // it stands in the history
  }
  list.hidden = !list.children.length;
  if (!list.hidden) {
    list.scrollIntoView({ block: "nearest" });
    return refresh();
  }
  if (ids.length <= MOST_BESIDE) {
    location.href =
      ids.length === 1 ? `/scans/${ids[0]}` : `/compare?ids=${ids.join("&ids=")}`;
    return;
  }
  await refresh();
  document.getElementById("history").scrollIntoView();
}

if (upload) {
  const input = document.getElementById("files");
  input.addEventListener("change", () => sendAll([...input.files]));
  upload.addEventListener("submit", (event) => {
    event.preventDefault();
    sendAll([...input.files]);
  });
  const page = document.documentElement;
  let depth = 0;
  const isFiles = (event) => [...event.dataTransfer.types].includes("Files");
  document.addEventListener("dragenter", (event) => {
    if (isFiles(event)) depth += 1;
    page.classList.toggle("over", depth > 0);
  });
  document.addEventListener("dragleave", (event) => {
    if (isFiles(event)) depth -= 1;
    page.classList.toggle("over", depth > 0);
  });
  document.addEventListener("dragover", (event) => {
    if (isFiles(event)) event.preventDefault();
  });
  document.addEventListener("drop", (event) => {
    if (!isFiles(event)) return;
    event.preventDefault();
    depth = 0;
    page.classList.remove("over");
    sendAll([...event.dataTransfer.files]);
  });
}

remember();
localTimes();
mayCompare();
watchVideo();
lookSoon();
