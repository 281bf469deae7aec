// Asks visitors for their choice, holds back what they did not choose, and keeps what they said.
//
// The server puts the operator's settings in place of SETTINGS and all languages in place of TEXTS, and leaves out these
// comments. Each comment has a line of its own, which is how it is told from the rest.
(() => {
  "use strict";
  const S = /*SETTINGS*/ {}, T = /*TEXTS*/ {};
  if (window.vigie) return;
  const doc = document, root = doc.documentElement, tag = doc.currentScript;
  const base = tag && tag.src ? new URL("../..", tag.src) : null;
  const NAME = "vigie_choice";
  const ids = S.purposes.map((p) => p.id);

  // The language of the page, else of the visitor, else English.
  const wanted = [root.lang, ...(navigator.languages || [])].map((l) => (l || "").slice(0, 2).toLowerCase());
  const lang = wanted.find((l) => T[l]) || "en";
  const t = Object.fromEntries(S.keys.map((key, n) => [key, T[lang][n]]));
  const fill = (text) => text.replace("{c}", S.controller).replace("{w}", t.reopen).replace("{m}", S.months);
  const nameOf = (p) => p.names[lang] || p.names.en || t[p.id] || p.id;

  // What was said: a cookie of the site itself, kept as long for a no as for a yes.
  const said = () => {
    const found = ("; " + doc.cookie).split("; " + NAME + "=")[1];
    const [notice, , ...answers] = decodeURIComponent((found || "").split(";")[0]).split("|");
    if (notice !== S.notice) return null;
    const known = Object.fromEntries(answers.map((a) => [a.slice(1), a[0] === "+"]));
    // A purpose that is new was never asked.
    return ids.every((id) => id in known) ? known : null;
  };
  const keep = (given) => {
    const answers = ids.map((id) => (given.has(id) ? "+" : "-") + id);
    const value = encodeURIComponent([S.notice, Math.floor(Date.now() / 864e5), ...answers].join("|"));
    const secure = location.protocol === "https:" ? "; Secure" : "";
    doc.cookie = NAME + "=" + value + "; Path=/; SameSite=Lax; Max-Age=" + Math.round(S.months * 2629800) + secure;
  };

  // Elements that are marked with purposes: held back until all of theirs are given.
  const given = new Set(), ran = new Set();
  const release = (el) => {
    const needs = el.dataset.purpose.split(/\s+/).filter(Boolean);
    const free = needs.length > 0 && needs.every((id) => given.has(id));
    if (el.localName === "script") {
      if (!free || el.vigieRan) return;
      el.vigieRan = true;
      needs.forEach((id) => ran.add(id));
      const live = doc.createElement("script");
      for (const { name, value } of [...el.attributes])
        if (!/^(type|data-(src|type|purpose))$/.test(name)) live.setAttribute(name, value);
      live.type = el.dataset.type || "text/javascript";
      live.async = el.hasAttribute("async");
      live.text = el.text;
      if (el.dataset.src) live.src = el.dataset.src;
      if (el.nonce) live.nonce = el.nonce;
      el.after(live);
    } else if (free && el.dataset.src && !el.getAttribute("src")) {
      el.setAttribute("src", el.dataset.src);
    } else if (!free && el.getAttribute("src") && el.dataset.src) {
      // A clone without address: an emptied frame would go on running what it holds.
      const held = el.cloneNode(false);
      held.removeAttribute("src");
      el.replaceWith(held);
    }
  };
  const all = (node) => {
    if (node.nodeType === 1 && node.matches("[data-purpose]")) release(node);
    if (node.querySelectorAll) node.querySelectorAll("[data-purpose]").forEach(release);
  };
  new MutationObserver((changes) => changes.forEach((c) => c.addedNodes.forEach(all)))
    .observe(root, { childList: true, subtree: true });

  // What purposes left behind that are not given, by the names that the operator lists (`_ga*`).
  const named = (name, free) => S.purposes.some((p) => given.has(p.id) === free && (p.cookies || []).some((n) =>
    new RegExp("^" + n.replace(/[.+?^${}()|[\]\\]/g, "\\$&").replace(/\*/g, ".*") + "$").test(name)));
  const forget = () => {
    const mine = (name) => named(name, false) && !named(name, true);
    const hosts = location.hostname.split(".").map((_, n, parts) => parts.slice(n).join("."));
    const paths = location.pathname.split("/").map((_, n, parts) => parts.slice(0, n + 1).join("/") || "/");
    for (const name of doc.cookie.split("; ").map((c) => c.split("=")[0]).filter(mine))
      for (const path of paths)
        for (const host of ["", ...hosts.map((h) => "; Domain=" + h)])
          doc.cookie = name + "=; Max-Age=0; Path=" + path + host;
    for (const store of [() => localStorage, () => sessionStorage])
      try { Object.keys(store()).filter(mine).forEach((key) => store().removeItem(key)); } catch { /* none to be had */ }
  };

  // Consent mode, version 2: denied from the start, whatever was asked.
  const signals = [...new Set(S.purposes.flatMap((p) => p.consent_mode || []))];
  const gtag = function () { (window.dataLayer = window.dataLayer || []).push(arguments); };
  const mode = (what) => signals.length && gtag("consent", what, Object.fromEntries(signals.map((signal) =>
    [signal, S.purposes.every((p) => !(p.consent_mode || []).includes(signal) || given.has(p.id)) ? "granted" : "denied"])));

  // The interface of the Transparency and Consent Framework, with a string of its version 2.
  const F = S.tcf;
  let shown = false, next = 1;
  const listeners = new Map();
  const purposes24 = () => [...Array(24).keys()].map((n) =>
    S.purposes.some((p) => (p.tcf || []).includes(n + 1)) &&
    S.purposes.every((p) => !(p.tcf || []).includes(n + 1) || given.has(p.id)));
  const string = () => {
    let bits = "";
    const put = (n, width) => { bits += Math.floor(n).toString(2).padStart(width, "0"); };
    const letters = (two) => [...two.toUpperCase()].forEach((c) => put(c.charCodeAt(0) - 65, 6));
    const day = Math.floor(Date.now() / 864e5) * 864e3;
    const yes = purposes24();
    [[2, 6], [day, 36], [day, 36], [F.cmp_id, 12], [F.cmp_version, 12], [1, 6]].forEach((b) => put(...b));
    letters(lang);
    [[F.vendor_list, 12], [F.policy, 6], [1, 1], [0, 1], [0, 12]].forEach((b) => put(...b));
    yes.forEach((y) => put(y ? 1 : 0, 1));
    put(0, 24); put(0, 1); letters(F.country);
    const list = (vendors) => {
      const most = Math.max(0, ...vendors);
      put(most, 16); put(0, 1);
      for (let n = 1; n <= most; n++) put(vendors.includes(n) ? 1 : 0, 1);
    };
    const packed = () => {
      bits = bits.padEnd(Math.ceil(bits.length / 8) * 8, "0");
      const bytes = bits.match(/.{8}/g).map((b) => String.fromCharCode(parseInt(b, 2))).join("");
      bits = "";
      return btoa(bytes).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
    };
    list(yes.some(Boolean) ? F.vendors : []);
    list([]);
    put(0, 12);
    // The second segment: to whom visitors are told that data may go.
    const core = packed();
    put(1, 3);
    list(F.vendors);
    return core + "." + packed();
  };
  const tcData = (listenerId) => {
    const yes = purposes24();
    return {
      tcString: string(), tcfPolicyVersion: F.policy, cmpId: F.cmp_id, cmpVersion: F.cmp_version, gdprApplies: true,
      eventStatus: shown ? "cmpuishown" : asked ? "useractioncomplete" : "tcloaded", cmpStatus: "loaded", listenerId,
      isServiceSpecific: true, useNonStandardTexts: false, publisherCC: F.country, purposeOneTreatment: false,
      purpose: { consents: Object.fromEntries(yes.map((y, n) => [n + 1, y])), legitimateInterests: {} },
      vendor: { consents: Object.fromEntries(F.vendors.map((v) => [v, yes.some(Boolean)])), legitimateInterests: {} },
      specialFeatureOptins: {}, publisher: { consents: {}, legitimateInterests: {}, customPurpose: {}, restrictions: {} },
    };
  };
  let asked = false;
  if (F) {
    window.__tcfapi = (command, version, done, value) => {
      if (command === "ping") return done({ gdprApplies: true, cmpLoaded: true, cmpStatus: "loaded", displayStatus: shown ? "visible" : "hidden", apiVersion: "2.2", cmpId: F.cmp_id, cmpVersion: F.cmp_version, gvlVersion: F.vendor_list, tcfPolicyVersion: F.policy });
      if (version && version !== 2) return done(null, false);
      if (command === "getTCData") return done(tcData(), true);
      if (command === "addEventListener") { listeners.set(next, done); return done(tcData(next++), true); }
      if (command === "removeEventListener") return done(listeners.delete(value));
      done(null, false);
    };
    // Frames find the interface by the name of a frame, and ask by messages.
    const locator = () => {
      if (window.frames.__tcfapiLocator) return;
      if (!doc.body) return setTimeout(locator, 5);
      const frame = doc.createElement("iframe");
      frame.name = "__tcfapiLocator"; frame.hidden = true; frame.title = ""; doc.body.append(frame);
    };
    locator();
    addEventListener("message", (e) => {
      const call = e.data && e.data.__tcfapiCall;
      if (call) window.__tcfapi(call.command, call.version, (returnValue, success) =>
        e.source.postMessage({ __tcfapiReturn: { returnValue, success, callId: call.callId } }, "*"), call.parameter);
    });
  }

  // Brings a choice into force on this page.
  const apply = (now) => {
    given.clear();
    now.forEach((id) => given.add(id));
    all(doc);
    forget();
    mode("update");
    listeners.forEach((done, id) => done(tcData(id), true));
    doc.dispatchEvent(new CustomEvent("vigie:choice", { detail: { given: [...given] } }));
  };

  // Records it with the operator for a visitor who is known there. A yes counts once it is recorded.
  const record = async (now, before, method) => {
    let token = window.vigieToken;
    if (typeof token === "function") token = await token();
    if (!S.record || !token || !base) return true;
    const state = (id) => now.has(id) ? "given" : before && before[id] ? "withdrawn" : "refused";
    const choices = S.purposes.filter((p) => p.record).map((p) => ({ purpose: p.record, state: state(p.id) }));
    if (!choices.length) return true;
    const answer = await fetch(new URL("v1/choices", base), {
      method: "POST", keepalive: true, credentials: "omit",
      headers: { "Content-Type": "application/json", Authorization: "Bearer " + token, "Idempotency-Key": crypto.randomUUID() },
      body: JSON.stringify({ choices, method, notice: S.notice, language: lang, wording: words() }),
    }).catch(() => null);
    return !!answer && answer.ok;
  };
  const words = () => [t.title, fill(t.body), ...S.purposes.map(nameOf), fill(t.more), t.closing].join("\n");
  const choose = async (list, method = "banner") => {
    const now = new Set(list), before = said();
    const left = new Set(ids.filter((id) => given.has(id) && now.has(id)));
    const runs = [...given].some((id) => !now.has(id) && ran.has(id));
    asked = true;
    close();
    // What is refused stops at once, on this page too; what is given waits for its record.
    if (left.size < given.size) { keep(left); apply(left); }
    if ((await record(now, before, method)) || !now.size) { keep(now); apply(now); }
    // A script that runs cannot be taken back: the page is loaded anew, without it.
    if (runs) location.reload();
  };

  // ---- What is seen.
  const host = doc.createElement("vigie-choice");
  const shadow = host.attachShadow({ mode: "open" });
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(/*STYLE*/ "");
  shadow.adoptedStyleSheets = [sheet];
  host.lang = lang;
  const make = (name, props = {}, ...inside) => {
    const el = Object.assign(doc.createElement(name), props);
    for (const key of ["role", "aria-label", "aria-labelledby", "aria-describedby"]) if (props[key]) el.setAttribute(key, props[key]);
    el.append(...inside.filter(Boolean));
    return el;
  };
  const button = (text, onclick, className = "") => make("button", { type: "button", onclick, className }, text);
  const link = (text, href) => href && make("a", { href }, text);
  let panel = null, opener = null;

  const close = () => {
    if (panel) panel.remove();
    panel = null; shown = false;
    pill.hidden = S.reopen === "link";
    if (opener) opener.focus();
    opener = null;
  };
  const switches = () => S.purposes.map((p, n) => {
    const input = make("input", { type: "checkbox", id: "p" + n, checked: given.has(p.id), value: p.id, role: "switch" });
    return make("li", {}, make("label", { htmlFor: "p" + n }, nameOf(p)), input);
  });
  // `layer` 1 asks; 2 has a switch for each purpose. `again` is a visitor who comes back to it: closing changes nothing.
  const show = (layer, again) => {
    if (panel) panel.remove();
    const refuse = () => choose([]);
    const leave = () => again ? close() : refuse();
    const list = layer === 1
      ? make("ul", {}, ...S.purposes.map((p) => make("li", {}, nameOf(p))))
      : make("ul", { className: "choose" }, make("li", { className: "fixed" }, t.necessary), ...switches());
    const checked = () => [...panel.querySelectorAll("input:checked")].map((input) => input.value);
    const x = make("button", { type: "button", className: "x", onclick: leave, "aria-label": again ? t.close : t.close + " (" + t.refuse + ")" }, "×");
    panel = make("section", { role: "dialog", "aria-labelledby": "title", "aria-describedby": "body", tabIndex: -1 },
      make("header", {}, make("h2", { id: "title" }, t.title), x),
      make("div", { id: "body" }, make("p", {}, fill(t.body)), list, make("p", { className: "more" }, fill(t.more) + (again ? "" : " " + t.closing))),
      make("div", { className: "act" }, button(t.refuse, refuse), button(t.accept, () => choose(ids))),
      make("footer", {},
        layer === 1 ? button(t.choose, () => show(2, again), "quiet") : button(t.save, () => choose(checked()), "quiet"),
        link(t.policy, S.policy), link(t.partners, S.partners)));
    panel.onkeydown = (e) => { if (e.key === "Escape") leave(); };
    shadow.prepend(panel);
    shown = true;
    pill.hidden = true;
    // Nobody's focus is taken when the page loads; it follows whoever opened or went on.
    if (again || layer === 2) panel.focus();
    listeners.forEach((done, id) => done(tcData(id), true));
  };
  const open = () => { opener = shadow.activeElement || doc.activeElement; show(2, said() !== null || asked); };
  const pill = button(t.reopen, open, "pill");
  shadow.append(pill);
  doc.addEventListener("click", (e) => {
    const opens = e.target.closest && e.target.closest("[data-vigie=open]");
    if (opens) { e.preventDefault(); open(); }
  });

  window.vigie = { open, given: (id) => given.has(id), withdraw: () => choose([], "script") };
  mode("default");
  const known = said();
  const start = () => {
    // First in the page, so that the keyboard and screen readers come to it first.
    doc.body.prepend(host);
    if (known) { close(); return; }
    if (S.gpc && navigator.globalPrivacyControl) { choose([], "Sec-GPC"); return; }
    show(1, false);
  };
  if (known) apply(new Set(ids.filter((id) => known[id])));
  if (doc.body) start(); else doc.addEventListener("DOMContentLoaded", start);
})();
