// The platform's consent script. What it gets wrong is marked, in the words of the rules.

const host = location.hostname.replace(/^www\./, '');
const keep = (name, value, days) => {
  document.cookie = `${name}=${value}; path=/; domain=${host}; max-age=${days * 86400}; SameSite=Lax`;
};
const kept = (name) => document.cookie.split('; ').find((c) => c.startsWith(name + '='))?.split('=')[1];
const load = (src) => document.head.append(Object.assign(document.createElement('script'), { src }));

const banner = document.getElementById('banner');
const layers = [document.getElementById('first-layer'), document.getElementById('second-layer')];
const switches = banner ? [...banner.querySelectorAll('input[name]')] : [];

// CK-01, CK-02: an audience tool and an ad network that nobody has heard of run before any choice.
// CK-25, CK-26: they also run after a refusal; only the advertising partners are switched off.
load('https://www.googletagmanager.com/gtag/js?id=G-CLIPWAVE1');
load('https://cdn.pulsegrid.test/pg.js');

function apply(choice) {
  if (choice?.includes('advertising')) load('https://connect.facebook.net/en_US/fbevents.js');
  if (choice?.includes('partners')) new Image().src = 'https://ib.adnxs.com/getuid?https://clipwave.test/sync';
}

function choose(purposes) {
  // CK-28: a yes is kept for 13 months, a no for one month.
  keep('cw_choice', purposes.join('+') || 'none', purposes.length ? 390 : 30);
  if (!purposes.includes('advertising')) keep('_fbp', '', 0);
  banner.hidden = true;
  apply(purposes.join('+'));
}

function show(layer) {
  banner.hidden = false;
  layers.forEach((section, n) => { section.hidden = n !== layer; });
}

banner?.addEventListener('click', (event) => {
  // CK-05, CK-06: accepting is one click; refusing is manage, turn everything off, save.
  switch (event.target.dataset.do) {
    case 'accept': choose(['analytics', 'advertising', 'partners']); break;
    case 'manage': show(1); break;
    case 'all-off': switches.forEach((box) => { box.checked = false; }); break;
    case 'save': choose(switches.filter((box) => box.checked).map((box) => box.name)); break;
  }
});

if (banner) {
  if (location.search === '?manage') show(1);
  else if (!kept('cw_choice')) show(0);
}
apply(kept('cw_choice'));
