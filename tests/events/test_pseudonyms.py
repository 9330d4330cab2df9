import ipaddress

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shopkeeper.errors import Damaged
from shopkeeper.events.pseudonyms import VAULT, prefix_of_ip, prefixes_of_ip, pseudonym, pseudonyms, seal, unseal

KEY = b"k" * 32
PAIRS = pa.table({"pseudonym": ["c_x"], "identity": ["ann@example.org"]}, schema=VAULT)


@settings(deadline=None)
@given(st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=20))
def test_the_same_identity_is_the_same_pseudonym_and_two_are_two(identities):
    coded, pairs = pseudonyms(pa.array(identities), "customer_id", KEY)

    assert len(set(coded.to_pylist())) == len(set(identities))
    assert dict(zip(pairs["pseudonym"].to_pylist(), pairs["identity"].to_pylist(), strict=True)) == dict(
        zip(coded.to_pylist(), identities, strict=True))


def test_another_key_or_another_column_gives_another_pseudonym():
    made = {pseudonym("ann", "customer_id", KEY), pseudonym("ann", "customer_id", b"l" * 32),
            pseudonym("ann", "anonymous_id", KEY)}

    assert len(made) == 3
    assert all("ann" not in one for one in made)


def test_nobody_has_no_pseudonym_and_a_guest_names_nobody():
    coded, pairs = pseudonyms(pa.array([None, "order:7", "d-1"]), "anonymous_id", KEY)

    assert coded.to_pylist()[:2] == [None, "order:7"]
    assert pairs["identity"].to_pylist() == ["d-1"]
    assert pseudonym("order:7", "customer_id", KEY).startswith("c_")


def test_a_pseudonym_that_comes_back_stays_and_only_in_its_own_column():
    once = pseudonym("ann", "customer_id", KEY)
    coded, pairs = pseudonyms(pa.array([once, "ann"]), "customer_id", KEY)

    assert coded.to_pylist() == [once, once]
    assert pairs["identity"].to_pylist() == ["ann"]
    assert pseudonym(once, "customer_id", KEY) == once
    for other, column in ((once, "anonymous_id"), (once + "\n", "customer_id")):
        made = pseudonym(other, column, KEY)
        assert made == pseudonyms(pa.array([other]), column, KEY)[0][0].as_py() != other


def test_the_vault_opens_with_its_key_and_holds_nothing_that_can_be_read_without():
    sealed = seal(PAIRS, KEY)

    assert unseal(sealed, KEY).equals(PAIRS)
    assert b"ann" not in sealed
    assert seal(PAIRS, KEY) != sealed  # a nonce of its own each time


@pytest.mark.parametrize("data, key", [(seal(PAIRS, KEY), b"l" * 32), (seal(PAIRS, KEY)[:-1], KEY), (b"", KEY),
                                       (b"x" * 100, KEY), (seal(PAIRS, KEY)[:5], KEY)],
                         ids=["another key", "cut", "empty", "nonsense", "its beginning"])
def test_a_vault_with_another_key_or_damaged_is_refused(data, key):
    with pytest.raises(Damaged) as refusal:
        unseal(data, key)

    assert str(refusal.value) == (
        "the vault cannot be opened.\n"
        "  Try:  put back keys/vault.key as it was.\n"
        "  Why:  pseudonyms can only be resolved with the key that the vault was written with.")


@settings(deadline=None)
@given(st.ip_addresses())
def test_an_address_is_kept_as_its_network_only(address):
    network = ipaddress.ip_network(prefix_of_ip(str(address)))
    address = getattr(address, "ipv4_mapped", None) or address

    assert address in network
    assert network.prefixlen == (24 if address.version == 4 else 48)


@pytest.mark.parametrize("cell, kept", [("10.0.0.0/8", "10.0.0.0/8"), ("nonsense", None), ("", None),
                                        ("203.0.113.7/32", "203.0.113.0/24")])
def test_a_network_is_never_made_narrower_and_what_is_no_address_is_not_kept(cell, kept):
    assert prefix_of_ip(cell) == kept


@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), st.ip_addresses().map(str), st.ip_addresses(v=4).map("{}/24".format),
                          st.text("0123456789./ :af", max_size=18)), min_size=1, max_size=20))
def test_a_column_of_addresses_is_cut_as_each_address_is(cells):
    found = prefixes_of_ip(pa.array(cells, pa.string())).to_pylist()

    assert found == [None if cell is None else prefix_of_ip(cell) for cell in cells]
