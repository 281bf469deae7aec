// Runs before the first script of every document and worker. Watches what only the page's own world can see: who
// writes cookies, which timers are due soon, which interfaces that tell devices apart are called.
// Everything is wrapped in a Proxy, which prints as native code and keeps name and length, so that a page that
// looks at its own functions sees what it would see without us. It never changes what a call does.
(() => {
  'use strict';
  const CONFIG = __VIGIE_CONFIG__;
  const bound = globalThis[CONFIG.binding];
  if (typeof bound !== 'function') return;
  delete globalThis[CONFIG.binding];
  const { apply, getOwnPropertyDescriptor, defineProperty } = Reflect;
  const stringify = JSON.stringify, now = performance.now.bind(performance);
  let budget = 4000;
  const send = message => { if (budget-- > 0) { try { bound(stringify(message)); } catch { /* detached */ } } };

  // Addresses on the stack, innermost first. Frames of this script have none.
  const callers = () => {
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = 30;
    const text = String(new Error().stack);
    Error.stackTraceLimit = limit;
    const found = [];
    for (const line of text.split('\n')) {
      const at = /((?:https?|blob|data|file):[^\s)]*?)(?::\d+){1,2}\)?$/.exec(line);
      if (at && !found.includes(at[1])) found.push(at[1].slice(0, 500));
      if (found.length >= 8) break;
    }
    return found;
  };

  const wrap = (owner, name, before) => {
    const own = owner && getOwnPropertyDescriptor(owner, name);
    if (!own || typeof own.value !== 'function') return;
    own.value = new Proxy(own.value, { apply(target, self, args) { try { before(args, self); } catch { /* never ours to break */ } return apply(target, self, args); } });
    try { defineProperty(owner, name, own); } catch { /* frozen */ }
  };
  const wrapAccessor = (owner, name, { get, set }) => {
    const own = owner && getOwnPropertyDescriptor(owner, name);
    if (!own) return;
    if (get && own.get) own.get = new Proxy(own.get, { apply(target, self, args) { try { get(self); } catch { /* as above */ } return apply(target, self, args); } });
    if (set && own.set) own.set = new Proxy(own.set, { apply(target, self, args) { try { set(args, self); } catch { /* as above */ } return apply(target, self, args); } });
    try { defineProperty(owner, name, own); } catch { /* frozen */ }
  };

  // --- timers: the latest moment at which a short timer is still due ------------------------------------------
  const HORIZON = 20000, DEEPEST = 4;
  let depth = 0, latest = 0, told = 0;
  const pending = new Map();
  const tell = () => {
    const due = latest > now() ? latest : 0;
    if (due === 0 ? told === 0 : Math.abs(due - told) < 25) return;
    told = due;
    send({ k: 'timer', due: due ? Math.ceil(due - now()) : 0 });
  };
  const settle = id => {
    const due = pending.get(id);
    if (due === undefined) return;
    pending.delete(id);
    if (due < latest) return;
    latest = 0;
    for (const other of pending.values()) if (other > latest) latest = other;
    tell();
  };
  const watch = (name, once) => {
    const own = getOwnPropertyDescriptor(globalThis, name);
    if (!own || typeof own.value !== 'function') return;
    own.value = new Proxy(own.value, {
      apply(target, self, args) {
        const work = args[0], delay = Math.max(0, +args[1] || 0);
        if (typeof work !== 'function' || delay > HORIZON) return apply(target, self, args);
        let id;
        const level = depth + 1;
        const run = function (...given) {
          const outer = depth;
          depth = once ? level : DEEPEST + 1;
          settle(id);
          try { return apply(work, this, given); } finally { depth = outer; }
        };
        id = apply(target, self, [run, ...Array.prototype.slice.call(args, 1)]);
        // Timers that timers keep starting are polling, and polling never ends.
        if (level <= DEEPEST && pending.size < 5000) {
          const due = now() + delay;
          pending.set(id, due);
          if (due > latest) { latest = due; if (delay >= 20) tell(); }
        }
        return id;
      },
    });
    try { defineProperty(globalThis, name, own); } catch { /* frozen */ }
  };
  watch('setTimeout', true);
  watch('setInterval', false);
  wrap(globalThis, 'clearTimeout', ([id]) => settle(id));
  wrap(globalThis, 'clearInterval', ([id]) => settle(id));

  // --- cookies and storage ------------------------------------------------------------------------------------
  const read = new Set();
  const noteRead = api => {
    if (read.size > 200) return;
    const script = callers()[0] || null, key = api + ' ' + script;
    if (!read.has(key)) { read.add(key); send({ k: 'read', api, script }); }
  };
  if (typeof Document === 'function') {
    wrapAccessor(Document.prototype, 'cookie', {
      get: () => noteRead('document.cookie'),
      set: ([raw]) => send({ k: 'cookie', raw: String(raw).slice(0, 4096), stack: callers() }),
    });
  }
  if (typeof CookieStore === 'function') {
    const described = (verb, args) => {
      const o = typeof args[0] === 'object' && args[0] ? args[0] : { name: args[0], value: args[1] };
      let raw = `${o.name}=${verb === 'set' ? o.value : ''}`;
      if (verb === 'delete') raw += '; max-age=0';
      else if (o.expires) raw += `; expires=${new Date(o.expires).toUTCString()}`;
      if (o.domain) raw += `; domain=${o.domain}`;
      return raw.slice(0, 4096);
    };
    wrap(CookieStore.prototype, 'set', args => send({ k: 'cookie', raw: described('set', args), stack: callers() }));
    wrap(CookieStore.prototype, 'delete', args => send({ k: 'cookie', raw: described('delete', args), stack: callers() }));
    wrap(CookieStore.prototype, 'get', () => noteRead('cookieStore.get'));
    wrap(CookieStore.prototype, 'getAll', () => noteRead('cookieStore.getAll'));
  }
  if (typeof Storage === 'function') wrap(Storage.prototype, 'getItem', () => noteRead('Storage.getItem'));

  // --- interfaces that tell devices apart ---------------------------------------------------------------------
  const calls = new Map();
  const fingerprint = api => {
    const script = callers()[0] || null, key = api + ' ' + script;
    const count = (calls.get(key) || 0) + 1;
    if (calls.size > 500) return;
    calls.set(key, count);
    if (count === 1 || count === 10 || count === 100) send({ k: 'fp', api, script, calls: count });
  };
  const method = (type, name, filter) => {
    const of = globalThis[type];
    if (typeof of === 'function') wrap(of.prototype, name, args => { if (!filter || filter(args)) fingerprint(`${type}.${name}`); });
  };
  method('HTMLCanvasElement', 'toDataURL');
  method('HTMLCanvasElement', 'toBlob');
  method('CanvasRenderingContext2D', 'getImageData');
  method('OffscreenCanvas', 'convertToBlob');
  method('OffscreenCanvasRenderingContext2D', 'getImageData');
  for (const gl of ['WebGLRenderingContext', 'WebGL2RenderingContext']) {
    method(gl, 'getParameter', ([p]) => p === 37445 || p === 37446 || p === 7936 || p === 7937);
    method(gl, 'getSupportedExtensions');
    method(gl, 'readPixels');
  }
  method('OfflineAudioContext', 'startRendering');
  method('AnalyserNode', 'getFloatFrequencyData');
  method('MediaDevices', 'enumerateDevices');
  method('NavigatorUAData', 'getHighEntropyValues');
  method('Navigator', 'getBattery');
  // Measuring a text in many fonts asks which fonts are installed.
  const fonts = new Set();
  const countFont = font => { if (fonts.size < 60) { fonts.add(font); if (fonts.size === 25) fingerprint('font enumeration'); } };
  if (typeof CanvasRenderingContext2D === 'function') wrap(CanvasRenderingContext2D.prototype, 'measureText', (_, self) => countFont(self.font));
  if (typeof FontFaceSet === 'function') wrap(FontFaceSet.prototype, 'check', ([font]) => countFont(font));
  if (typeof HTMLElement === 'function') {
    const family = /(?:serif|sans-serif|monospace)/;
    for (const side of ['offsetWidth', 'offsetHeight']) {
      wrapAccessor(HTMLElement.prototype, side, { get: self => { const f = self.style && self.style.fontFamily; if (f && f.includes(',') && family.test(f)) countFont(f); } });
    }
  }
  // One property is ordinary; many of them read by one script are a sweep.
  const sweeps = new Map();
  const sweep = (kind, name, enough) => {
    const script = callers()[0] || null, key = kind + ' ' + script;
    const seen = sweeps.get(key) || sweeps.set(key, new Set()).get(key);
    if (sweeps.size > 200 || seen.size > 40) return;
    seen.add(name);
    if (seen.size === enough) fingerprint(`${kind} sweep`);
  };
  const properties = (type, kind, names, enough) => {
    const of = globalThis[type];
    if (typeof of === 'function') for (const name of names) wrapAccessor(of.prototype, name, { get: () => sweep(kind, name, enough) });
  };
  properties('Navigator', 'navigator', ['plugins', 'mimeTypes', 'hardwareConcurrency', 'deviceMemory', 'platform', 'languages', 'language', 'vendor', 'productSub', 'maxTouchPoints', 'doNotTrack', 'oscpu', 'cookieEnabled', 'pdfViewerEnabled'], 6);
  properties('Screen', 'screen', ['width', 'height', 'availWidth', 'availHeight', 'availLeft', 'availTop', 'colorDepth', 'pixelDepth'], 5);

  // A print dialog would stop the page; it is noted instead.
  if (typeof globalThis.print === 'function' && typeof window === 'object') {
    const own = getOwnPropertyDescriptor(window, 'print');
    if (own && own.value) { own.value = new Proxy(own.value, { apply() { send({ k: 'print' }); } }); try { defineProperty(window, 'print', own); } catch { /* frozen */ } }
  }
  if (CONFIG.gpc && typeof Navigator === 'function') {
    try { defineProperty(Navigator.prototype, 'globalPrivacyControl', { get() { return true; }, configurable: true, enumerable: true }); } catch { /* there already */ }
  }
})();
