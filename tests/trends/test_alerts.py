"""Rules: tried on the past before they are saved, refused where they ring too often or the past is too short."""

from datetime import datetime, timedelta

import pytest

from shopkeeper import trends
from shopkeeper.errors import BadInput, MixedCurrencies, TooLittleHistory, UnknownName
from shopkeeper.shop import Shop
from shopkeeper.trends import Rule, Series, Span
from trends.made import MONDAY, event, shop_at, steady

END = MONDAY + timedelta(days=40)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Forty days of three page views an hour, of which e-mail brings one; nothing is ever odd."""
    log = steady(40)
    mails = [one | {"event_id": f"m{n}", "utm_medium": "email"} for n, one in enumerate(log[::3])]
    return shop_at(tmp_path_factory.mktemp("trends") / "plain", log + mails)


def test_a_one_day_log_is_told_what_it_lacks(tmp_path):
    shop = shop_at(tmp_path / "shop", steady(1))

    with pytest.raises(TooLittleHistory) as refused:
        trends.save_alert(shop, "sales")

    assert refused.value.text() == (
        "a back-test over 30 days needs 51 whole days of log; this one has 0 (2026-03-02 to 2026-03-02).\n"
        "  Try:  ingest an older export first.\n"
        "  Why:  an hour is compared with the same hour of at least 3 weeks before, and the rule is tried on the last "
        "30 days before it is saved.")


def test_an_empty_log_is_told_what_it_lacks(tmp_path):
    shop = shop_at(tmp_path / "shop")

    with pytest.raises(TooLittleHistory, match="this one has 0 \\(none\\)"):
        trends.save_alert(shop, "sales", rule=Rule(detector="threshold", above=1))
    assert trends.firing(shop).table.num_rows == trends.alerts(shop).table.num_rows == 0
    assert trends.counts(shop).table.num_rows == 0


def test_a_past_that_carries_fewer_days_says_how_many(plain):
    with pytest.raises(TooLittleHistory) as refused:
        trends.save_alert(plain, "sales")

    assert "--within 18" in refused.value.text()
    assert trends.save_alert(plain, "sales", within=18, dry_run=True).per_week == 0


def test_a_rule_that_rings_too_often_is_refused_unless_forced(plain, copy_of):
    shop, rule = copy_of(plain), Rule(detector="threshold", above=2, in_a_row=1, cooldown=24)

    tried = trends.save_alert(shop, "noisy", rule=rule, within=14, dry_run=True)
    with pytest.raises(BadInput) as refused:
        trends.save_alert(shop, "noisy", rule=rule, within=14)
    assert trends.alerts(shop).table.num_rows == 0
    forced = trends.save_alert(shop, "noisy", rule=rule, within=14, force=True)

    assert refused.value.text() == (
        "this rule would have rung 14 times in the last 14 days; the limit is once a week.\n"
        "  Try:  --level 0.999\n  Try:  --in-a-row 3\n  Try:  --cooldown 24\n  Try:  --force\n"
        "  Why:  an alarm that rings often is soon not heard; --dry-run shows when it would have rung.")
    assert tried.table.equals(forced.table)
    assert tried.table.num_rows == 14
    row = trends.alerts(shop).table.to_pylist()[0]
    assert (row["name"], row["days"], row["rung"], row["fired"]) == ("noisy", 14, 14, 0)


def test_a_dry_run_writes_nothing(plain, copy_of):
    shop = copy_of(plain)
    before = shop.manifest.version

    answer = trends.save_alert(shop, "sales", within=14, dry_run=True)

    assert str(answer.title) == "Dry run: nothing was written. It would have rung 0 times in the last 14 days."
    assert shop.store.manifest().version == before


def test_a_rule_of_the_same_name_takes_its_place_and_goes_by_its_name(plain, copy_of):
    shop = copy_of(plain)
    trends.save_alert(shop, "sales", within=14)
    trends.save_alert(shop, "mail", rule=Rule(channel="email", detector="silence"), within=14)
    trends.save_alert(shop, "sales", rule=Rule(kind="page_view", level=0.999), within=10)

    assert [(row["name"], row["kind"], row["days"]) for row in trends.alerts(shop).table.to_pylist()] == [
        ("mail", None, 14), ("sales", "page_view", 10)]
    trends.remove_alert(shop, "sales", dry_run=True)
    trends.remove_alert(shop, "sales")
    assert trends.alerts(Shop.open(shop.path)).table["name"].to_pylist() == ["mail"]
    with pytest.raises(UnknownName, match="there is no rule 'sales'"):
        trends.remove_alert(shop, "sales")


def test_what_is_planted_rings_and_says_what_was_expected_since_when_and_how_often_before(tmp_path):
    stop, flood = END - timedelta(hours=8), END - timedelta(hours=3)
    log = steady(40, extra=lambda at: 30 if at >= flood else 0)
    mails = [one | {"event_id": f"m{n}", "utm_medium": "email"} for n, one in enumerate(steady(40, 2))
             if datetime.fromisoformat(one["ts"]) < stop]
    shop = shop_at(tmp_path / "shop", log + mails)
    trends.save_alert(shop, "views", rule=Rule(kind="page_view"), within=14)
    trends.save_alert(shop, "mail", rule=Rule(channel="email", detector="silence"), within=14, force=True)
    trends.save_alert(shop, "calm", rule=Rule(kind="purchase", detector="threshold", above=1), within=14)

    answer = trends.firing(shop, until=END)

    found = {row["rule"]: row for row in answer.table.to_pylist()}
    assert set(found) == {"views", "mail"}
    views, mail = found["views"], found["mail"]
    assert (views["side"], views["counted"], views["since"]) == ("high", 33.0, flood)
    assert views["low"] < views["expected"] < views["high"] < 20
    assert (mail["side"], mail["counted"], mail["since"]) == ("low", 0.0, stop)
    assert mail["expected"] == pytest.approx(16, abs=3)
    said = str(answer.notes[0])
    for part in ("views: 33 events of page_view since 2026-04-10 21:00.", "Expected were", "negative binomial tail",
                 "In the past it rang"):
        assert part in said


def test_what_happens_later_changes_neither_the_back_test_nor_what_rang(plain, tmp_path):
    rule = Rule(kind="page_view", in_a_row=1, level=0.9, least=0)
    log = steady(40, extra=lambda at: 15 * (at.day % 6 == 0 and at.hour == 7))
    early = shop_at(tmp_path / "early", [one for one in log if datetime.fromisoformat(one["ts"]) < END])
    late = shop_at(tmp_path / "late", log + [event(10**6 + n, at=END + timedelta(minutes=n)) for n in range(2000)])
    past = Shop.open(late.path, as_of=END)

    a, b = (trends.save_alert(shop, "x", rule=rule, within=14, dry_run=True) for shop in (early, past))

    assert a.table.num_rows > 0
    assert a.table.equals(b.table)


BURST = Rule(kind="payment_failed", detector="burst", above=4, minutes=30, cooldown=1)


def test_a_burst_of_one_person_rings_as_a_hint_and_names_the_pseudonym(tmp_path):
    calm = [event(n, "payment_failed", MONDAY + timedelta(hours=5 * n)) for n in range(60)]
    thief = [event(1000 + n, "payment_failed", MONDAY + timedelta(days=20, minutes=n), customer_id="thief")
             for n in range(7)]
    shop = shop_at(tmp_path / "shop", calm, thief)

    tried = trends.save_alert(shop, "cards", rule=BURST, within=7, dry_run=True)
    older = trends.save_alert(shop, "cards", rule=BURST, within=7)
    now = MONDAY + timedelta(days=20, minutes=8)
    answer = trends.firing(shop, until=now)

    row = answer.table.to_pylist()[0]
    assert (row["who"], row["counted"], row["hint"]) == (shop.person("thief"), 5.0, True)
    assert (row["since"], row["until"]) == (MONDAY + timedelta(days=20), MONDAY + timedelta(days=20, minutes=4))
    assert row["expected"] == row["high"] == 1.0
    assert "A hint of fraud, no finding." in str(answer.notes[0])
    assert tried.table.num_rows == older.table.num_rows == 1
    assert trends.firing(shop, until=now + timedelta(hours=2)).table.num_rows == 0


@pytest.mark.parametrize("rule, said", [
    (Rule(minutes=7), "minutes is 7."), (Rule(level=1.0), "level is 1.0."), (Rule(in_a_row=0), "in_a_row is 0."),
    (Rule(detector="threshold"), "a threshold needs above or below."), (Rule(above=3), "above and below are for"),
    (Rule(measure="value"), "value needs a kind"), (Rule(detector="burst", kind="login", above=3), "a burst is one of"),
    (Rule(detector="burst", kind="refund"), "a burst needs above"), (Rule(webhook="ftp://x/"), "is no address"),
    (Rule(detector="burst", kind="refund", above=3, channel="email"), "a burst counts events of one kind"),
    (Rule(least=float("nan")), "least is nan."), (Rule(cooldown=-1), "cooldown is -1.")])
def test_a_rule_that_makes_no_sense_is_refused_by_name(plain, rule, said):
    with pytest.raises(BadInput, match=said):
        trends.save_alert(plain, "x", rule=rule, within=14)


@pytest.mark.parametrize("series, said", [
    (Series(kind="teleport"), "there is no kind 'teleport'."), (Series(channel="tv"), "there is no channel 'tv'."),
    (Series(category="Food"), "there is no category 'Food'.")])
def test_names_that_are_not_there_are_refused(plain, series, said):
    rule = Rule(kind=series.kind, channel=series.channel, category=series.category)
    for ask in (lambda: trends.counts(plain, series=series),
                lambda: trends.save_alert(plain, "x", rule=rule, within=14)):
        with pytest.raises(UnknownName) as refused:
            ask()
        assert said in refused.value.text()


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 81, "a<b>"])
def test_a_name_that_could_not_be_typed_is_refused(plain, name):
    with pytest.raises(BadInput, match="is no name for a rule"):
        trends.save_alert(plain, name, within=14)


def test_money_in_two_currencies_is_not_added_up(tmp_path):
    shop = shop_at(tmp_path / "shop", [event(1, "purchase"), event(2, "purchase", currency="USD")])

    with pytest.raises(MixedCurrencies):
        trends.counts(shop, series=Series("purchase", measure="value"))


def test_the_address_of_a_webhook_is_shown_by_its_host_only(plain, copy_of):
    shop = copy_of(plain)
    rule = Rule(webhook="https://hooks.example.com/services/SECRET")

    answer = trends.save_alert(shop, "x", rule=rule, within=14)

    listed = trends.alerts(shop)
    assert listed.table["webhook"].to_pylist() == ["hooks.example.com"]
    for shown in (answer, listed):
        assert "SECRET" not in str(shown.to_dict()) + str(shown)
    key = shop.path / "keys" / "webhook.key"
    assert len(bytes.fromhex(key.read_text())) == 32
    assert key.stat().st_mode & 0o077 == 0


def test_counts_add_up_to_what_the_log_holds(small):
    whole = Span(since=datetime(2026, 1, 1), until=datetime(2026, 4, 1))
    by_kind = trends.counts(small, span=whole, n=99)
    by_channel = trends.counts(small, span=whole, by="channel", n=99)
    views = trends.counts(small, series=Series("view_item"), span=whole, by="category", n=99)

    assert sum(by_kind.table["amount"].to_pylist()) == small.manifest.events
    assert sum(by_channel.table["amount"].to_pylist()) == small.manifest.events
    kinds = small.engine.run(small.events().event.value_counts()).to_pylist()
    assert sum(views.table["amount"].to_pylist()) == next(k for k in kinds if k["event"] == "view_item")["event_count"]


def test_counts_are_shown_by_the_shop_s_clock_with_every_bucket_in_the_picture(tmp_path):
    shop = shop_at(tmp_path / "shop", [event(1), event(2, at=MONDAY + timedelta(minutes=30))])
    (shop.path / "shop.toml").write_text((shop.path / "shop.toml").read_text().replace('"UTC"', '"Asia/Kolkata"'))
    shop = Shop.open(shop.path)

    answer = trends.counts(shop, span=Span("minute", MONDAY, MONDAY + timedelta(hours=1)))

    assert answer.table["local"].to_pylist() == [datetime(2026, 3, 2, 5, 30), datetime(2026, 3, 2, 6)]
    values = answer.chart["data"]["values"]
    assert len(values) == 60
    assert sum(value["amount"] for value in values) == 2


def test_the_largest_lines_are_given_and_the_others_are_counted(small):
    answer = trends.counts(small, n=2)

    assert answer.table["name"].unique().to_pylist() != []
    assert len(set(answer.table["name"].to_pylist())) == 2
    assert any("smaller ones are left out" in str(note) for note in answer.notes)


@pytest.mark.parametrize("span", [Span(since=END, until=MONDAY), Span("minute", MONDAY, MONDAY + timedelta(days=30))])
def test_a_span_of_no_bucket_or_of_too_many_is_refused(plain, span):
    with pytest.raises(BadInput, match="it must be between 1 and 10,000"):
        trends.counts(plain, span=span)


def test_settings_that_make_no_sense_are_refused(tmp_path):
    for wrong in ("minutes_days = 0", "hours_days = true", "allow_webhooks = ['here']", "allow_webhooks = 3"):
        shop = shop_at(tmp_path / wrong[:4] / wrong[-3:].strip("'] "), toml=f"\n[trends]\n{wrong}\n")
        with pytest.raises(BadInput, match=r"shop\.toml says"):
            trends.counts(shop)
