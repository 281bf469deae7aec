// Reads a ledger and checks what it shows, in the browser, from the files that anybody can fetch (C2SP tlog-tiles).
// Nothing is asked of the server but files; every verdict on the page is computed here.
"use strict";

// --- SHA-256 (FIPS 180-4). The browser's own is missing where the page was opened without https. ---
const primes = [];
for (let n = 2; primes.length < 64; n++) if (primes.every((p) => n % p)) primes.push(n);
const fraction = (x) => Math.floor((x - Math.floor(x)) * 2 ** 32) >>> 0;
const K = primes.map((p) => fraction(Math.cbrt(p)));
const START = primes.slice(0, 8).map((p) => fraction(Math.sqrt(p)));

function sha256(...parts) {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const data = new Uint8Array(Math.ceil((length + 9) / 64) * 64);
  let at = 0;
  for (const part of parts) { data.set(part, at); at += part.length; }
  data[length] = 0x80;
  const view = new DataView(data.buffer);
  view.setUint32(data.length - 8, Math.floor(length / 2 ** 29));
  view.setUint32(data.length - 4, (length * 8) >>> 0);
  const h = START.slice(), w = new Uint32Array(64);
  const turn = (x, n) => (x >>> n) | (x << (32 - n));
  for (let block = 0; block < data.length; block += 64) {
    for (let i = 0; i < 16; i++) w[i] = view.getUint32(block + i * 4);
    for (let i = 16; i < 64; i++) {
      const a = w[i - 15], b = w[i - 2];
      w[i] = w[i - 16] + (turn(a, 7) ^ turn(a, 18) ^ (a >>> 3)) + w[i - 7] + (turn(b, 17) ^ turn(b, 19) ^ (b >>> 10));
    }
    let [a, b, c, d, e, f, g, last] = h;
    for (let i = 0; i < 64; i++) {
      const one = (last + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + K[i] + w[i]) >>> 0;
      const two = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) >>> 0;
      last = g; g = f; f = e; e = (d + one) >>> 0; d = c; c = b; b = a; a = (one + two) >>> 0;
    }
    [a, b, c, d, e, f, g, last].forEach((value, i) => { h[i] = (h[i] + value) >>> 0; });
  }
  const out = new Uint8Array(32), outView = new DataView(out.buffer);
  h.forEach((value, i) => outView.setUint32(i * 4, value));
  return out;
}

const leafHash = (entry) => sha256(Uint8Array.of(0), entry);
const nodeHash = (left, right) => sha256(Uint8Array.of(1), left, right);

// --- bytes and texts ---
const text = new TextEncoder();
const fromBase64 = (s) => Uint8Array.from(atob(s), (c) => c.charCodeAt(0));
const toBase64 = (bytes) => btoa(String.fromCharCode(...bytes));
const toHex = (bytes) => Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
const same = (a, b) => a.length === b.length && a.every((x, i) => x === b[i]);
const number = (bytes, at) => new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(at);
const when = (seconds) => new Date(Number(seconds) * 1000).toISOString().replace("T", " ").replace(".000Z", " UTC");

async function fetchBytes(path) {
  const answer = await fetch(path);
  if (answer.status === 404) return null;
  if (!answer.ok) throw new Error(`the server answered ${answer.status} for ${path}`);
  return new Uint8Array(await answer.arrayBuffer());
}

// --- notes and keys (C2SP signed-note, tlog-checkpoint, tlog-cosignature) ---
function parseKey(line) {
  const [word, key] = line.split(" ");
  const [name, id, ...rest] = key.split("+");
  const bytes = fromBase64(rest.join("+"));
  return { word, name, id, type: bytes[0], key: bytes.slice(1), line: key };
}

function parseNote(note) {
  const split = note.lastIndexOf("\n\n");
  const body = note.slice(0, split + 1);
  const [origin, size, root] = body.split("\n");
  const lines = note.slice(split + 2).split("\n").filter((line) => line.startsWith("— "));
  const signatures = lines.map((line) => {
    const [, name, base64] = line.split(" ");
    const bytes = fromBase64(base64);
    return { name, id: toHex(bytes.slice(0, 4)), bytes: bytes.slice(4) };
  });
  return { body, origin, size: Number(size), root: fromBase64(root), signatures };
}

// Answers "good", "bad", or why it was not checked here.
async function checkSignature(note, signature, key) {
  if (key.type === 6) return "not checked: this page does not speak ML-DSA-44";
  if (!globalThis.crypto?.subtle) return "not checked: the page was opened without https";
  let message = note.body, bytes = signature.bytes;
  if (key.type === 4) {
    message = `cosignature/v1\ntime ${number(bytes, 0)}\n${note.body}`;
    bytes = bytes.slice(8);
  }
  let imported;
  try {
    imported = await crypto.subtle.importKey("raw", key.key, "Ed25519", false, ["verify"]);
  } catch {
    return "not checked: this browser does not speak Ed25519";
  }
  return (await crypto.subtle.verify("Ed25519", imported, bytes, text.encode(message))) ? "good" : "bad";
}

async function signersOf(note, keys) {
  const signers = [];
  for (const signature of note.signatures) {
    const key = keys.find((key) => key.name === signature.name && key.id === signature.id);
    if (!key) continue;
    const cosigner = key.type !== 1;
    signers.push({
      name: key.name, as: cosigner ? "witness" : "ledger",
      time: cosigner ? when(number(signature.bytes, 0)) : "", verdict: await checkSignature(note, signature, key),
    });
  }
  return signers;
}

// --- tiles ---
function tilePath(kind, index, width) {
  const digits = String(index).padStart(Math.ceil(String(index).length / 3) * 3, "0").match(/.{3}/g);
  const groups = digits.map((group, at) => (at + 1 < digits.length ? "x" : "") + group);
  return `tile/${kind}/${groups.join("/")}${width < 256 ? `.p/${width}` : ""}`;
}

async function fetchTile(kind, index, width) {
  const bytes = (await fetchBytes(tilePath(kind, index, width))) ?? (await fetchBytes(tilePath(kind, index, 256)));
  if (!bytes) throw new Error(`${tilePath(kind, index, width)} is missing from the ledger`);
  return bytes;
}

const hashesAt = (level, size) => Math.floor(size / 256 ** level);

// The hash over the entries from index·2^height on, 2^height of them, from tiles.
async function subtree(height, index, size, cache) {
  const level = Math.floor(height / 8), run = 2 ** (height % 8), first = index * run;
  const tile = Math.floor(first / 256), width = Math.min(256, hashesAt(level, size) - tile * 256);
  const name = `${level}/${tile}`;
  cache[name] ??= await fetchTile(level, tile, width);
  let row = [];
  for (let i = 0; i < run; i++) {
    const at = ((first % 256) + i) * 32;
    row.push(cache[name].slice(at, at + 32));
  }
  while (row.length > 1) row = row.filter((_, i) => i % 2 === 0).map((left, i) => nodeHash(left, row[2 * i + 1]));
  return row[0];
}

async function range(from, to, size, cache) {
  const parts = [];
  while (from < to) {
    const height = Math.floor(Math.log2(to - from));
    parts.push(await subtree(height, from / 2 ** height, size, cache));
    from += 2 ** height;
  }
  return parts.reverse().reduce((right, left) => nodeHash(left, right));
}

// RFC 6962, section 2.1.1: the siblings from the leaf up, and on which side each lies.
async function inclusion(index, size, cache) {
  const path = [];
  let from = 0, to = size;
  while (to - from > 1) {
    const middle = from + 2 ** Math.floor(Math.log2(to - from - 1));
    if (index < middle) { path.push({ side: "right", hash: await range(middle, to, size, cache) }); to = middle; }
    else { path.push({ side: "left", hash: await range(from, middle, size, cache) }); from = middle; }
  }
  return path.reverse();
}

const climb = (leaf, path) =>
  path.reduce((hash, step) => (step.side === "left" ? nodeHash(step.hash, hash) : nodeHash(hash, step.hash)), leaf);

async function fetchEntry(index, size) {
  const tile = Math.floor(index / 256), width = Math.min(256, size - tile * 256);
  const bytes = await fetchTile("entries", tile, width);
  let at = 0;
  for (let skip = index % 256; skip > 0; skip--) at += 2 + bytes[at] * 256 + bytes[at + 1];
  return bytes.slice(at + 2, at + 2 + bytes[at] * 256 + bytes[at + 1]);
}

const KINDS = ["", "capture: a bundle of evidence was sealed", "access: personal data were read",
  "transfer out: personal data were handed to another controller", "transfer in: personal data were received",
  "erasure: keys of people were destroyed", "demand: an authority demanded a sample", "answer: a demand was answered",
  "heartbeat: nothing happened", "key event: a key of the ledger came or went"];
const FLAGS = ["intent", "denied", "break-glass"];

function describe(entry) {
  if (entry.length !== 148 || new TextDecoder().decode(entry.slice(0, 8)) !== "VIGIELG1") {
    return [["Bytes", `${entry.length}`], ["SHA-256", toHex(sha256(entry))]];
  }
  const flags = FLAGS.filter((_, bit) => entry[9] & (1 << bit));
  const before = number(entry, 20), count = number(entry, 28);
  const reference = entry.slice(116);
  return [
    ["Kind", KINDS[entry[8]] ?? `unknown (${entry[8]})`],
    ...(flags.length ? [["Flags", flags.join(", ")]] : []),
    ["Time", `within the minute of ${when(number(entry, 12))}`],
    ["Rows", count > 0n ? `${count}, from row ${before} on` : "none"],
    ["Event", toHex(entry.slice(36, 52))],
    ["Root over its rows", toBase64(entry.slice(52, 84))],
    ["Commitment to who and why", toBase64(entry.slice(84, 116))],
    ["Refers to", reference.every((b) => b === 0) ? "nothing" : toBase64(reference)],
  ];
}

// --- the page ---
const element = (id) => document.getElementById(id);

function row(cells, heading) {
  const tr = document.createElement("tr");
  cells.forEach((cell, at) => {
    const td = document.createElement(heading && at === 0 ? "th" : "td");
    if (heading && at === 0) td.scope = "row";
    td.textContent = cell.text ?? cell;
    if (cell.class) td.className = cell.class;
    tr.append(td);
  });
  return tr;
}

function say(id, verdict, words) {
  element(id).className = verdict;
  element(id).textContent = words;
}

let head;

async function showHead() {
  const keys = (await (await fetch("trust")).text()).split("\n").filter(Boolean).map(parseKey);
  const bytes = await fetchBytes("checkpoint");
  if (!bytes) return say("verdict", "", "This ledger has no entries yet, or has not published its head.");
  head = parseNote(new TextDecoder().decode(bytes));
  const log = keys.find((key) => key.word === "log");
  document.title = `${head.origin}: a ledger`;
  element("origin").textContent = head.origin;
  element("size").textContent = head.size.toLocaleString("en-GB");
  element("root").textContent = toBase64(head.root);
  element("key").textContent = log.line;
  const signers = await signersOf(head, keys);
  element("signers").replaceChildren(...signers.map((signer) => row([
    signer.name, signer.as, signer.time,
    { text: signer.verdict === "good" ? "signature holds" : signer.verdict === "bad" ? "SIGNATURE DOES NOT HOLD" : signer.verdict,
      class: signer.verdict === "good" || signer.verdict === "bad" ? signer.verdict : "" },
  ])));
  const own = signers.find((signer) => signer.as === "ledger");
  const witnesses = signers.filter((signer) => signer.as === "witness" && signer.verdict !== "bad").length;
  if (signers.some((signer) => signer.verdict === "bad")) say("verdict", "bad", "A signature does not hold: believe nothing of this ledger.");
  else if (!own) say("verdict", "bad", "The head is not signed by the key of the ledger.");
  else if (own.verdict === "good") say("verdict", "good", `Signed by the ledger, and seen by ${witnesses} of its witnesses.`);
  else say("verdict", "", `The signature of the ledger was ${own.verdict}.`);

  const recent = (await (await fetch("recent")).text()).split("\u001e\n").filter(Boolean).map(parseNote);
  element("recent").replaceChildren(...(await Promise.all(recent.map(async (note) => {
    const cosigned = (await signersOf(note, keys)).filter((signer) => signer.as === "witness");
    return row([note.size.toLocaleString("en-GB"), { text: toBase64(note.root), class: "hash" },
      cosigned.map((signer) => signer.name).join(", ") || "none", cosigned.map((signer) => signer.time).sort().pop() ?? ""]);
  }))));
  const wanted = new URLSearchParams(location.search).get("index");
  if (wanted !== null) { element("index").value = wanted; await showEntry(wanted); }
}

async function showEntry(wanted) {
  element("entry").hidden = element("path").hidden = true;
  const index = Number(wanted);
  if (!head || !/^[0-9]+$/.test(wanted) || index >= head.size) {
    return say("proved", "bad", head ? `There is no entry ${wanted}: the ledger has ${head.size}.` : "The head is not there.");
  }
  const cache = {};
  const entry = await fetchEntry(index, head.size);
  const path = await inclusion(index, head.size, cache);
  const holds = same(climb(leafHash(entry), path), head.root);
  say("proved", holds ? "good" : "bad", holds
    ? `Entry ${index} is in the ledger: ${path.length} hashes lead from it to the root above.`
    : `Entry ${index} is NOT the one that was logged: its hash does not lead to the root above.`);
  element("entry").hidden = element("path").hidden = false;
  element("entry").querySelector("tbody").replaceChildren(...describe(entry).map((cells) => row(cells, true)));
  element("path").querySelector("ol").replaceChildren(...path.map((step) => {
    const item = document.createElement("li");
    item.textContent = `${step.side}: ${toBase64(step.hash)}`;
    return item;
  }));
}

element("look").addEventListener("submit", (event) => {
  event.preventDefault();
  const wanted = element("index").value.trim();
  history.replaceState(null, "", `?index=${encodeURIComponent(wanted)}`);
  showEntry(wanted).catch((error) => say("proved", "bad", error.message));
});
showHead().catch((error) => say("verdict", "bad", error.message));
