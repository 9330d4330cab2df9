"""The acts of this room: save a rule after its back-test, and forget one."""

from __future__ import annotations

import re
from dataclasses import replace

from shopkeeper.asking import act
from shopkeeper.errors import BadInput, UnknownName
from shopkeeper.evidence import ExactCount
from shopkeeper.shop import Shop
from shopkeeper.trends import answers, checks, kept
from shopkeeper.trends.answers import Saved
from shopkeeper.trends.backtests import back_test
from shopkeeper.trends.ringing import BackTest
from shopkeeper.trends.rules import Rule
from shopkeeper.words import Sentence, say

MOST_A_WEEK = 1.0  # a rule that rings more often is saved by force only: nobody looks up for the hundredth alarm
MOST_RULES = 100
USUAL = Rule()


@act("alerts")
def save_alert(shop: Shop, name: str, *, rule: Rule = USUAL, within: int = 30, force: bool = False,
               dry_run: bool = False) -> Saved:
    """Save a rule that rings when a count is odd, after trying it on the past.

    Args:
        shop: An opened shop.
        name: Name of the rule; one of that name is replaced.
        rule: When it rings.
        within: Days of the past to try it on.
        force: Do it although the back-test rings too often.
        dry_run: Only try it on the past.

    Returns:
        Each time that it would have rung.

    Raises:
        TooLittleHistory: The log does not reach so far back.
        BadInput: The rule makes no sense, or would have rung more than once a week.
        ShopBusy: Another process writes to this shop.
    """
    _check(shop, name, rule, within)
    rule = replace(rule, above=None if rule.above is None else float(rule.above))
    tried = back_test(shop, rule, within)
    often = tried.per_week > MOST_A_WEEK
    if often and not (force or dry_run):
        raise _too_often(tried)
    if not dry_run:
        kept.save(shop, name, kept.Kept(rule, shop.now(), within, len(tried.rings)))
        if rule.webhook is not None:
            kept.secret(shop.path)
    return Saved(title=_title(tried, dry_run), table=answers.ring_table(tried.rings), method="back-test",
                 evidence=ExactCount(_judged(rule), tried.judged), per_week=tried.per_week,
                 notes=_notes(rule, tried, dry_run),
                 asked={"act": "trends.save_alert", "name": name, "rule": _shown(rule), "within": within,
                        "force": force, "dry_run": dry_run})


def _check(shop: Shop, name: str, rule: Rule, within: int) -> None:
    if not re.fullmatch(r"[\w .:/-]{1,80}", name):
        raise BadInput(say("{name} is no name for a rule.", name=repr(name)), do=[say("--name sales")],
                       why=say("letters, digits, spaces and . : / - _ are, up to 80 of them."))
    if not 7 <= within <= 365:
        raise BadInput(say("{name} is {value}; it must be between {low:,} and {high:,}.", name="within", value=within,
                           low=7, high=365), do=[say("--within 30")])
    rule.check()
    checks.series(shop, rule.series)
    known = kept.rules(shop)
    if name not in known and len(known) >= MOST_RULES:
        raise BadInput(say("the shop has {n:,} rules already.", n=len(known)),
                       do=[say("shopkeeper trends remove-alert SHOP --name NAME")],
                       why=say("each of them is judged with every bucket."))


def _too_often(tried: BackTest) -> BadInput:
    return BadInput(
        say("this rule would have rung {n:,} times in the last {days:,} days; the limit is once a week.",
            n=len(tried.rings), days=tried.days),
        do=[say("--level 0.999"), say("--in-a-row 3"), say("--cooldown 24"), say("--force")],
        why=say("an alarm that rings often is soon not heard; --dry-run shows when it would have rung."))


def _title(tried: BackTest, dry_run: bool) -> Sentence:
    done = say("Dry run: nothing was written.") if dry_run else say("Saved.")
    return say("{done} It would have rung {n:,} times in the last {days:,} days.", done=done, n=len(tried.rings),
               days=tried.days)


def _judged(rule: Rule) -> Sentence:
    return say("events of the past that were judged") if rule.detector == "burst" else say(
        "buckets of the past that were judged")


def _notes(rule: Rule, tried: BackTest, dry_run: bool) -> tuple[Sentence, ...]:
    notes = []
    if tried.per_week > MOST_A_WEEK:
        notes.append(say("that is more than once a week: it is saved only with --force."))
    if rule.detector == "burst":
        notes.append(say("a burst is a hint of fraud, no finding; it counts bots, too."))
    if rule.webhook is not None and not dry_run:
        notes.append(say("what is sent is signed with the key in keys/webhook.key of the shop's folder."))
    return tuple(notes)


def _shown(rule: Rule) -> dict[str, object]:
    """The rule without the address of its webhook, which may hold a secret."""
    return {**rule.to_row(), "webhook": rule.webhook is not None}


@act("alerts")
def remove_alert(shop: Shop, name: str, *, dry_run: bool = False) -> Saved:
    """Forget a rule of the alerts; what it rang stays.

    Args:
        shop: An opened shop.
        name: Name of the rule.
        dry_run: Write nothing.

    Returns:
        No row.

    Raises:
        UnknownName: There is no such rule.
        ShopBusy: Another process writes to this shop.
    """
    known = kept.rules(shop)
    if name not in known:
        raise UnknownName(say("there is no rule {name}.", name=repr(name)),
                          do=[say("one of: {names}", names=", ".join(known) or "-")],
                          why=say("rules are known by the names under which they were saved."))
    if not dry_run:
        kept.remove(shop, name)
    done = say("Dry run: nothing was written.") if dry_run else say("Removed.")
    return Saved(title=done, table=answers.ring_table([]), method="exact count",
                 evidence=ExactCount(say("rules of the alerts"), len(known)),
                 asked={"act": "trends.remove_alert", "name": name, "dry_run": dry_run})
