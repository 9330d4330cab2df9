/* shopkeeper's snippet: what happens on a page goes to the shop's own server. No cookies, no third party, no dependency.
   <script src="https://HOST/shopkeeper.js" data-key="KEY" defer></script>
   shopkeeper.view("item"); .search("words", 12); .cart("item", {quantity: 1, price: 9.5, currency: "EUR"});
   shopkeeper.purchase({order_id: "o-1", currency: "EUR", value: 19, items: [{item_id: "item", quantity: 2, price: 9.5}]});
   shopkeeper.page(); .identify("customer"); .consent(true | false); .send("kind", {...}); .flush()
   Attributes: data-key, data-server, data-consent="required", data-page="off". */
(function (w, d, n) {
  "use strict";
  var PRE = "shopkeeper.", EVENT = PRE + "e.", MOST = 1000, BATCH = 50, GAP = 18e5;
  var tag = d.currentScript || d.querySelector("script[data-key][src*='shopkeeper.js']") || d.createElement("script");
  var early = w.shopkeeper && w.shopkeeper.q || [];
  var server = tag.dataset.server || new URL(tag.src || "/", w.location.href).origin;
  var url = server + "/v1/events" + (tag.dataset.key ? "?key=" + encodeURIComponent(tag.dataset.key) : "");
  var memory = {}, wait = 0, timer = 0, busy = false, closed = false, under = [];

  // localStorage, or this page's memory where it is closed to us
  function get(key) { try { return w.localStorage.getItem(key); } catch (e) { return key in memory ? memory[key] : null; } }
  function put(key, value) {
    try { w.localStorage.setItem(key, value); } catch (e) { memory[key] = value; }
  }
  function cut(key) { delete memory[key]; try { w.localStorage.removeItem(key); } catch (e) { /* it was never there */ } }
  function kept() {
    var keys = Object.keys(memory);
    try { for (var i = 0; i < w.localStorage.length; i++) keys.push(w.localStorage.key(i)); } catch (e) { /* memory only */ }
    return keys.filter(function (key) { return key.indexOf(EVENT) === 0; }).sort();  // UUIDv7: oldest first
  }

  var last = 0, nth = 0;
  function uuid7() {   // those of one millisecond are numbered, so that ids stand in the order of what happened
    var now = Math.max(Date.now(), last), b = w.crypto.getRandomValues(new Uint8Array(16)), i;
    nth = now == last ? nth + 1 : 0;
    if (nth > 4095) { now++; nth = 0; }
    last = now;
    for (i = 0; i < 6; i++) b[i] = Math.floor(now / Math.pow(256, 5 - i)) % 256;
    b[6] = nth >> 8 | 112; b[7] = nth; b[8] = b[8] & 63 | 128;
    return Array.prototype.map.call(b, function (x, at) {
      return (at == 4 || at == 6 || at == 8 || at == 10 ? "-" : "") + (256 + x).toString(16).slice(1);
    }).join("");
  }

  // yes: collect. no: collect nothing, keep nothing. later: hold in this page's memory until consent is given.
  function state() {
    var said = get(PRE + "consent");
    if (said) return said;
    if (n.globalPrivacyControl) return "no";
    return tag.dataset.consent == "required" ? "later" : "yes";
  }
  var held = [], customer = null;

  function session() {
    var now = Date.now(), old = (get(PRE + "s") || "").split("|"), id = old[0];
    if (!id || now - old[1] > GAP) id = uuid7();
    put(PRE + "s", id + "|" + now);
    return id;
  }
  function visitor() {
    var id = get(PRE + "a");
    if (!id) put(PRE + "a", id = uuid7());
    return id;
  }

  function send(kind, fields) {
    var event = {event_id: uuid7(), event: kind, client_ts: new Date().toISOString()}, key;
    for (key in fields) if (fields[key] != null && fields[key] !== "") event[key] = fields[key];
    if (state() == "no") return null;
    if (state() == "later") { if (held.length < MOST) held.push(event); return event.event_id; }
    return keep(event);
  }
  function keep(event) {
    var keys, who = customer || get(PRE + "c");
    event.anonymous_id = visitor(); event.session_id = session(); event.consent = "analytics";
    if (who) event.customer_id = who;
    put(EVENT + event.event_id, JSON.stringify(event));   // a key an event: two tabs never write over each other
    keys = kept();
    if (keys.length > MOST) {
      keys.slice(0, keys.length - MOST).forEach(cut);
      w.console.warn("shopkeeper: more than " + MOST + " events wait; the oldest were given up.");
    }
    later(200);
    return event.event_id;
  }

  function body(keys) {
    return '{"sent_at":"' + new Date().toISOString() + '","events":[' + keys.map(get).filter(Boolean).join(",") + "]}";
  }
  function later(ms) { if (!timer && !closed) timer = w.setTimeout(function () { timer = 0; flush(); }, ms); }
  function again(response) {
    var asked = response && +response.headers.get("Retry-After") * 1000;
    wait = Math.min(wait ? wait * 2 : 1000, 6e4);
    later(Math.max(asked || 0, wait * (.75 + Math.random() / 2)));
  }
  function flush() {
    if (busy || n.onLine === false || state() != "yes" || !kept().length) return;
    busy = true;
    var done = function () { busy = false; if (kept().length) later(wait ? wait : 50); };
    if (n.locks) n.locks.request(PRE + "send", {ifAvailable: true}, function (lock) { return lock && post(); }).then(done, done);
    else post().then(done, done);
  }
  function post() {
    var keys = under = kept().slice(0, BATCH);
    if (!keys.length) return Promise.resolve();
    return w.fetch(url, {method: "POST", keepalive: true, body: body(keys), headers: {"Content-Type": "text/plain"}, credentials: "omit"})
      .then(function (response) {
        under = [];
        if (response.ok) { wait = 0; keys.forEach(cut); return; }      // acknowledged: on disk
        if (response.status == 400 || response.status == 413) {       // it will never be taken
          w.console.warn("shopkeeper: " + keys.length + " events were refused (" + response.status + ").");
          keys.forEach(cut);
        } else if (response.status == 401 || response.status == 403) {
          closed = true; wait = 6e4;
          w.console.warn("shopkeeper: this key may not send from here (" + response.status + ").");
        } else again(response);
      }, function () { under = []; again(); });
  }
  // On leave there is no time for an answer: send, and keep until the next page hears that it is on disk.
  function leave() {
    var keys = kept().filter(function (key) { return under.indexOf(key) < 0; }).slice(-BATCH);
    under = under.concat(keys);   // a page is hidden before it goes: what is on its way is not sent once more
    if (keys.length && state() == "yes" && n.sendBeacon && !closed) n.sendBeacon(url, new Blob([body(keys)], {type: "text/plain"}));
  }

  function address() {
    var found = {url: w.location.href.split("#")[0], referrer: d.referrer, user_agent: n.userAgent};
    new URLSearchParams(w.location.search).forEach(function (value, name) {
      if (/^utm_(source|medium|campaign|content|term)$/.test(name)) found[name] = value;
      if (/^(gclid|msclkid|fbclid|ttclid|dclid)$/.test(name)) found.click_id = value;
    });
    return found;
  }
  function about(item, fields) { return Object.assign({item_id: String(item)}, fields); }

  var api = {
    page: function (fields) { return send("page_view", Object.assign(address(), fields)); },
    view: function (item, fields) { return send("view_item", about(item, fields)); },
    search: function (query, results, fields) { return send("search", Object.assign({query: query, results: results}, fields)); },
    cart: function (item, fields) { return send("add_to_cart", about(item, fields)); },
    purchase: function (order) { return send("purchase", order); },
    send: send,
    identify: function (who) {
      customer = who ? String(who) : null;
      if (!customer) cut(PRE + "c"); else if (state() == "yes") put(PRE + "c", customer);
    },
    consent: function (given) {
      put(PRE + "consent", given ? "yes" : "no");
      if (given) { if (customer) put(PRE + "c", customer); held.splice(0).forEach(keep); }
      else { held = []; kept().concat([PRE + "a", PRE + "s", PRE + "c"]).forEach(cut); }
    },
    flush: flush,
    waiting: function () { return kept().length + held.length; }
  };
  w.shopkeeper = api;
  early.forEach(function (call) { api[call[0]].apply(api, [].slice.call(call, 1)); });
  if (tag.dataset.page != "off") api.page();
  w.addEventListener("online", function () { wait = 0; flush(); });
  w.addEventListener("pagehide", leave);
  d.addEventListener("visibilitychange", function () { if (d.visibilityState == "hidden") leave(); });
  if (kept().length) later(0);
})(window, document, navigator);
