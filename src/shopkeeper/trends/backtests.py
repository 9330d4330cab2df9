"""A rule on the past: how often it would have rung, and what rings now."""

from __future__ import annotations

from datetime import UTC, datetime

from shopkeeper.errors import TooLittleHistory
from shopkeeper.shop import Shop
from shopkeeper.trends import inputs
from shopkeeper.trends.ringing import DAY, NEEDS, BackTest, Ring, begin, burst_rings, ends, judge, rings
from shopkeeper.trends.rules import Rule
from shopkeeper.words import Sentence, say


def back_test(shop: Shop, rule: Rule, within: int) -> BackTest:
    """Try a rule on the last days before the shop's clock; each verdict sees only what came before its bucket.

    Counts are those of today, late events included; on the day itself some of them had not come yet.

    Args:
        shop: An opened shop; only read.
        rule: The rule.
        within: Days to try it on.

    Raises:
        TooLittleHistory: The log does not reach so far back.
    """
    now = shop.now()
    until = now + 1 if rule.detector == "burst" else ends(rule, now)
    start = until - within * DAY
    _require(shop, rule, within, now)
    if rule.detector == "burst":
        people, person, when = inputs.read_doings(shop, rule.kind or "", start, until)
        return BackTest(within, len(when), tuple(burst_rings(rule, people, person, when)))
    low = begin(shop.manifest.first or 0, start)
    amounts = inputs.read_series(shop, rule.series, rule.minutes, low, until)
    found = judge(rule, amounts, low, shop.config.timezone)
    tried = (start - low) // rule.width
    done = [ring for ring in rings(rule, amounts, low, found) if ring.until > start]
    return BackTest(within, int(found.judged[tried:].sum()), tuple(done))


def ringing(shop: Shop, rule: Rule, now: int) -> list[Ring]:
    """What rings in the last complete bucket before `now`, cool-down aside; of bursts, those of the last window."""
    if rule.detector == "burst":
        people, person, when = inputs.read_doings(shop, rule.kind or "", now - 30 * DAY, now)
        recent = {ring.who: ring for ring in burst_rings(rule, people, person, when) if ring.until > now - rule.width}
        return list(recent.values())
    until = ends(rule, now)
    start = begin(shop.manifest.first or 0, until)
    if until <= start:
        return []
    amounts = inputs.read_series(shop, rule.series, rule.minutes, start, until)
    return latest(rule, amounts, start, shop.config.timezone)


def latest(rule: Rule, amounts: inputs.Floats, start: int, timezone: str) -> list[Ring]:
    """What rings in the last bucket of these counts, cool-down aside."""
    found = judge(rule, amounts, start, timezone)
    until = start + len(amounts) * rule.width
    return rings(rule, amounts, start, found, quiet_until=until)


def _require(shop: Shop, rule: Rule, within: int, now: int) -> None:
    first = shop.manifest.first
    learns = 0 if rule.detector in ("burst", "threshold") else NEEDS
    has = 0.0 if first is None else (ends(rule, now) - -(-first // DAY) * DAY) / DAY
    if has >= within + learns:
        return
    shorter = int(has) - learns
    span = say("none") if first is None else say("{first} to {last}", first=_day(first), last=_day(now))
    raise TooLittleHistory(
        say("a back-test over {within} days needs {needs} whole days of log; this one has {has} ({span}).",
            within=within, needs=within + learns, has=max(0, int(has)), span=span),
        do=[*([say("--within {n}", n=shorter)] if shorter >= 7 else []), say("ingest an older export first.")],
        why=_why(learns, within))


def _why(learns: int, within: int) -> Sentence:
    if not learns:
        return say("a rule is tried on the last {within} days before it is saved.", within=within)
    return say("an hour is compared with the same hour of at least {weeks} weeks before, and the rule is tried on the "
               "last {within} days before it is saved.", weeks=learns // 7, within=within)


def _day(when: int) -> str:
    return f"{datetime.fromtimestamp(when / 1e6, UTC):%Y-%m-%d}"

