from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sutler.cache.v1 import cache_pb2
from sutler.errors import Invalid
from sutler.paging import MAX_PAGE_BYTES, Order, Pager, fitting, page_size, parse_order_by
from sutler.resource.v1 import resource_pb2
from sutler.tokens import TAG_BYTES, TokenSealer

KEY = b"k" * 32
SEALER = TokenSealer(KEY)


def listing(**fields: Any) -> cache_pb2.ListEntriesRequest:
    return cache_pb2.ListEntriesRequest(**{"cache": "caches/a", **fields})


class TestSealer:
    @given(st.lists(st.none() | st.integers(-(2**62), 2**62) | st.text(st.characters(exclude_categories=["Cs"]))))
    def test_values_come_back(self, value: list[Any]) -> None:
        token = SEALER.seal("page", "b", value)
        assert token.isascii() and not set(token) & set("+/= ")
        assert SEALER.open("page", "b", token) == value

    def test_good_in_every_process_with_the_key(self) -> None:
        assert TokenSealer(KEY).open("page", "b", SEALER.seal("page", "b", [1])) == [1]
        assert SEALER.seal("page", "b", [1]) == TokenSealer(KEY).seal("page", "b", [1])

    @pytest.mark.parametrize(
        ("key", "purpose", "binding"),
        [(b"x" * 32, "page", "b"), (KEY, "watch", "b"), (KEY, "page", "c"), (KEY, "pageb", "")],
    )
    def test_of_another_server_purpose_or_binding(self, key: bytes, purpose: str, binding: str) -> None:
        with pytest.raises(ValueError):
            TokenSealer(key).open(purpose, binding, SEALER.seal("page", "b", [1]))

    def test_every_changed_bit_is_seen(self) -> None:
        token = SEALER.seal("page", "b", ["abc", 1])
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        for position in range(len(raw) * 8):
            changed = bytearray(raw)
            changed[position // 8] ^= 1 << position % 8
            with pytest.raises(ValueError):
                SEALER.open("page", "b", base64.urlsafe_b64encode(bytes(changed)).decode())

    @pytest.mark.parametrize("token", ["", "a", "====", "é", "\0", "AAAA" * 8, "a" * 100_000])
    def test_rubbish(self, token: str) -> None:
        with pytest.raises(ValueError):
            SEALER.open("page", "b", token)

    def test_carries_no_binding_and_no_key(self) -> None:
        token = SEALER.seal("page", "secret binding", [1])
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        assert raw[TAG_BYTES:] == b"[1]"

    def test_short_key_is_refused(self) -> None:
        with pytest.raises(ValueError):
            TokenSealer(b"x" * 15)


class TestPager:
    pager = Pager(SEALER)

    def token(self, tenant: str = "acme", method: str = "ListEntries", **fields: Any) -> str:
        return self.pager.token(tenant, method, listing(**fields), ["k1", 7])

    def position(
        self, token: str, tenant: str = "acme", method: str = "ListEntries", **fields: Any
    ) -> list[Any] | None:
        return self.pager.position(tenant, method, listing(page_token=token, **fields))

    def test_first_page_has_no_position(self) -> None:
        assert self.position("") is None

    def test_goes_on_where_the_last_page_ended(self) -> None:
        assert self.position(self.token(filter="a = 1"), filter="a = 1") == ["k1", 7]

    def test_page_size_may_change_from_page_to_page(self) -> None:
        assert self.position(self.token(page_size=10), page_size=20) == ["k1", 7]

    def test_second_token_may_come_from_a_request_with_a_token(self) -> None:
        assert self.position(self.token(page_token=self.token())) == ["k1", 7]

    @pytest.mark.parametrize(
        "changed", [{"filter": "a = 2"}, {"order_by": "key"}, {"cache": "caches/b"}, {"prefix": "x"}, {"filter": ""}]
    )
    def test_other_arguments(self, changed: dict[str, str]) -> None:
        self.refused(self.token(filter="a = 1"), **{"filter": "a = 1", **changed})

    def test_another_tenant(self) -> None:
        self.refused(self.token(), tenant="other")

    def test_another_method(self) -> None:
        self.refused(self.token(), method="ListCaches")

    def test_another_server(self) -> None:
        foreign = Pager(TokenSealer(b"x" * 32)).token("acme", "ListEntries", listing(), ["k1", 7])
        self.refused(foreign)

    def test_tampering(self) -> None:
        token = self.token()
        for changed in (token[:-4], "A" + token[1:] if token[0] != "A" else "B" + token[1:], token + "AAAA", "x"):
            self.refused(changed)

    def refused(self, token: str, **request: Any) -> None:
        with pytest.raises(Invalid) as caught:
            self.position(token, **request)
        assert caught.value.reason == "PAGE_TOKEN_INVALID"
        assert [violation.field for violation in caught.value.violations] == ["page_token"]


class TestPageSize:
    @pytest.mark.parametrize(("asked", "given_"), [(0, 50), (1, 1), (1000, 1000), (1001, 1000), (2**31 - 1, 1000)])
    def test_table(self, asked: int, given_: int) -> None:
        assert page_size(listing(page_size=asked)) == given_

    def test_negative(self) -> None:
        with pytest.raises(Invalid) as caught:
            page_size(resource_pb2.ListResourcesRequest(page_size=-1))
        assert caught.value.metadata["field"] == "page_size"


class TestOrderBy:
    def parse(self, text: str) -> list[tuple[str, bool]]:
        orders = parse_order_by(text, {"name", "create_time", "size"}, [Order("create_time", True), Order("name")])
        return [(order.field, order.descending) for order in orders]

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("", [("create_time", True), ("name", False)]),
            ("  ", [("create_time", True), ("name", False)]),
            ("size", [("size", False), ("name", False)]),
            ("size asc", [("size", False), ("name", False)]),
            ("size desc , create_time", [("size", True), ("create_time", False), ("name", False)]),
            ("name desc", [("name", True)]),
            ("name, size", [("name", False), ("size", False)]),
            ("\tsize\n desc", [("size", True), ("name", False)]),
        ],
    )
    def test_with_a_tie_break(self, text: str, expected: list[tuple[str, bool]]) -> None:
        assert self.parse(text) == expected

    @pytest.mark.parametrize(
        "text",
        [
            "colour",
            "size,",
            ",size",
            "size,,name",
            "size size",
            "size down",
            "size desc asc",
            "size, size desc",
            "SIZE",
        ],
    )
    def test_wrong(self, text: str) -> None:
        with pytest.raises(Invalid) as caught:
            self.parse(text)
        assert caught.value.reason == "ORDER_BY_INVALID"
        assert "field" in caught.value.metadata

    @pytest.mark.parametrize(
        ("text", "told"), [("size, size", "'size' is named twice"), ("size,", "comma"), ("colour", "create_time, name")]
    )
    def test_what_is_wrong_is_told(self, text: str, told: str) -> None:
        with pytest.raises(Invalid) as caught:
            self.parse(text)
        assert told in caught.value.message


class TestFitting:
    def test_all_that_fit(self) -> None:
        assert fitting([]) == 0
        assert fitting([10, 20, 30]) == 3

    def test_at_least_one(self) -> None:
        assert fitting([2 * MAX_PAGE_BYTES, 1]) == 1

    def test_so_many_that_a_message_holds_them(self) -> None:
        size = 100_000
        count = fitting(iter([size] * 100))
        assert count * size <= MAX_PAGE_BYTES < (count + 1) * size
