"""The hash chain: whatever is changed, the record is named."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pki.log import GENESIS, Damage, LogReport, Record, check_chain, seal


def chain_of(count: int) -> list[Record]:
    records: list[Record] = []
    for seq in range(1, count + 1):
        previous = records[-1].hash if records else GENESIS
        records.append(seal(previous, seq, {"event": "test", "number": seq * 7}))
    return records


def flip(data: bytes, position: int, mask: int) -> bytes:
    changed = bytearray(data)
    changed[position] ^= mask
    return bytes(changed)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_an_intact_chain_has_no_damage(count: int) -> None:
    assert list(check_chain(chain_of(count))) == []


def test_a_record_is_canonical_and_read_back() -> None:
    record = seal(GENESIS, 1, {"b": "é", "a": [1, None]})
    assert record.body == b'{"a":[1,null],"b":"\\u00e9","seq":1}'
    assert record.data == {"a": [1, None], "b": "é", "seq": 1}


@given(st.integers(1, 5), st.integers(0), st.integers(0, 7), st.booleans())
def test_one_flipped_bit_names_its_record_and_no_other(
    seq: int, position: int, bit: int, in_hash: bool
) -> None:
    records = chain_of(5)
    record = records[seq - 1]
    if in_hash:
        bent = replace(record, hash=flip(record.hash, position % 32, 1 << bit))
    else:
        bent = replace(record, body=flip(record.body, position % len(record.body), 1 << bit))
    records[seq - 1] = bent
    assert [damage.seq for damage in check_chain(records)] == [seq]


def test_a_missing_record_is_named() -> None:
    records = chain_of(5)
    del records[2]
    found = list(check_chain(records))
    assert found[0] == Damage(3, "record 3 is missing; record 4 follows")


def test_a_missing_first_record_is_named() -> None:
    assert next(iter(check_chain(chain_of(3)[1:]))).seq == 1


def test_swapped_records_are_named() -> None:
    first, second, third = chain_of(3)
    swapped = [first, replace(third, seq=2), replace(second, seq=3)]
    assert {damage.seq for damage in check_chain(swapped)} == {2, 3}


def test_a_record_written_anew_breaks_the_next() -> None:
    records = chain_of(3)
    records[1] = seal(records[0].hash, 2, {"event": "forged"})
    assert [damage.seq for damage in check_chain(records)] == [3]


def test_damage_everywhere_is_all_named() -> None:
    records = [replace(record, hash=bytes(32)) for record in chain_of(4)]
    assert [damage.seq for damage in check_chain(records)] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"seq":2}', "says that it is record 2"),
        (b'{"seq": 1}', "canonical"),
        (b'{"seq":1,"a":1}', "canonical"),
        (b"[1]", "not a JSON object"),
        (b"{", "cannot be read"),
        (b"\xff", "cannot be read"),
        (b'{"no":1}', "says that it is record None"),
    ],
)
def test_a_body_that_was_never_written_here_is_named_though_its_hash_fits(
    body: bytes, message: str
) -> None:
    record = Record(1, body, _hash(body))
    (damage,) = check_chain([record])
    assert message in damage.message


def _hash(body: bytes) -> bytes:
    return hashlib.sha256(GENESIS + body).digest()


def test_a_report_is_good_without_damage_only() -> None:
    assert LogReport(1, "00", ()).ok
    assert not LogReport(1, "00", (Damage(1, "x"),)).ok
