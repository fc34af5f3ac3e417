"""Claims print what holds and stop at what does not."""

import pytest

from cnn_zoo import claim


def test_a_claim_that_holds_is_printed_without_what_was_measured(capsys):
    claim("water is wet", 0.91234, at_least=0.9, at_most=1)
    assert capsys.readouterr().out == "✓ water is wet\n"


@pytest.mark.parametrize(
    ("value", "bounds"), [(0.8, {"at_least": 0.9}), (0.8, {"at_most": 0.7}), (float("nan"), {"at_least": 0})]
)
def test_a_claim_that_does_not_hold_says_what_was_measured(value, bounds, capsys):
    with pytest.raises(AssertionError, match=f"not confirmed: water is wet .measured {value:.6g}, needed at"):
        claim("water is wet", value, **bounds)
    assert capsys.readouterr().out == ""


def test_a_claim_needs_a_bound():
    with pytest.raises(ValueError, match="needs at_least or at_most"):
        claim("anything", 1)
