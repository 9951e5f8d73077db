"""Regular expressions weigh what they are long, times what they repeat."""

import pytest
from sutler.patterns import pattern_weight


@pytest.mark.parametrize(
    ("pattern", "weight"),
    [
        ("", 0),
        ("abc", 3),
        ("a{9}", 4 * 10),
        ("a{2,9}b{3,}", 11 * 13),
        ("(a){9}", 6 * 9),
        ("((a){9}){9}", 11 * 81),
        (r"\pL", 3 * 16),
        (r"\PL\pN", 6 * 16),
    ],
)
def test_a_weight(pattern: str, weight: int) -> None:
    assert pattern_weight(pattern, class_factor=16) == weight
