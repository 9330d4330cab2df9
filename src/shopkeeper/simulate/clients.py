"""What people and machines ask with: user agents, and the networks that they ask from.

Plain texts of the kind that browsers and crawlers send; the crawlers' are on the public lists of crawlers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from shopkeeper.simulate.population import DEVICES, Ints

_WEBKIT, _KHTML = "AppleWebKit/537.36", "(KHTML, like Gecko)"
_PHONE = ("Mozilla/5.0 (iPhone; CPU iPhone OS {os} like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
          "Version/{v} Mobile/15E148 Safari/604.1")
# By device, in the order of DEVICES.
BROWSERS: tuple[tuple[str, ...], ...] = (
    (_PHONE.format(os="18_1", v="18.1"), _PHONE.format(os="17_6", v="17.6"),
     f"Mozilla/5.0 (Linux; Android 14; SM-S921B) {_WEBKIT} {_KHTML} Chrome/130.0.0.0 Mobile Safari/537.36",
     f"Mozilla/5.0 (Linux; Android 15; Pixel 9) {_WEBKIT} {_KHTML} Chrome/131.0.0.0 Mobile Safari/537.36",
     f"Mozilla/5.0 (Linux; Android 13; 2201117TY) {_WEBKIT} {_KHTML} Chrome/129.0.0.0 Mobile Safari/537.36",
     "Mozilla/5.0 (Android 14; Mobile; rv:132.0) Gecko/132.0 Firefox/132.0"),
    (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_WEBKIT} {_KHTML} Chrome/131.0.0.0 Safari/537.36",
     f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_WEBKIT} {_KHTML} Chrome/130.0.0.0 Safari/537.36 Edg/130.0.0.0",
     "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:132.0) Gecko/20100101 Firefox/132.0",
     f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {_WEBKIT} {_KHTML} Chrome/131.0.0.0 Safari/537.36",
     "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 "
     "Safari/605.1.15",
     "Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0"),
    ("Mozilla/5.0 (iPad; CPU OS 17_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.6 "
     "Mobile/15E148 Safari/604.1",
     f"Mozilla/5.0 (Linux; Android 14; SM-X710) {_WEBKIT} {_KHTML} Chrome/130.0.0.0 Safari/537.36"),
)
CRAWLERS = (
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)",
    "Mozilla/5.0 (compatible; Baiduspider/2.0; +http://www.baidu.com/search/spider.html)",
    "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
    "Mozilla/5.0 (compatible; SemrushBot/7~bl; +http://www.semrush.com/bot.html)",
    "Mozilla/5.0 (compatible; MJ12bot/v1.4.8; http://mj12bot.com/)",
    "DuckDuckBot/1.1; (+http://duckduckgo.com/duckduckbot.html)",
    "CCBot/2.0 (https://commoncrawl.org/faq/)",
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
    "python-requests/2.32.3",
    "curl/8.5.0",
)
_NETWORKS = 6_000    # where people ask from; several share a provider's /24


def of_people(device: Ints, country: Ints, rng: np.random.Generator) -> dict[str, Any]:
    """Columns `user_agent` and `ip_prefix` for people: (n,) a browser of their device, a /24 of their country."""
    n = len(device)
    browsers = [text for group in BROWSERS for text in group]
    starts = np.cumsum([0, *(len(group) for group in BROWSERS)])
    size = np.diff(starts)[device]
    agent = starts[device] + (rng.random(n) * size).astype(np.int64)
    network = country * (_NETWORKS // 5) + (rng.random(n) * (_NETWORKS // 5)).astype(np.int64)
    return {"user_agent": pa.array(browsers).take(pa.array(agent)),
            "ip_prefix": networks(_NETWORKS, 80).take(pa.array(network))}


def networks(n: int, first: int) -> Any:
    """n different /24 networks of IPv4, counted up from `first`.0.0.0.

    >>> networks(2, 80).to_pylist()
    ['80.0.0.0/24', '80.0.1.0/24']
    """
    return pa.array([f"{first + (one >> 16)}.{one >> 8 & 255}.{one & 255}.0/24" for one in range(n)])


def browser(device: int, pick: int) -> str:
    """One of the ordinary user agents of a device, a row of DEVICES."""
    group = BROWSERS[device % len(DEVICES)]
    return group[pick % len(group)]
