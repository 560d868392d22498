from __future__ import annotations

import numpy as np

from cofire.ingest.capturing.encode import Encoded, Rows, batches, select
from cofire.ingest.capturing.masking import norm_limit, rule
from cofire.ingest.capturing.windows import Window


def test_the_limit_is_a_multiple_of_the_median_of_ordinary_tokens() -> None:
    norms = np.array([1.0, 2.0, 3.0, 900.0], np.float32)
    special = np.array([False, False, False, True])
    assert norm_limit(norms, special, 4.0) == 8.0
    assert norm_limit(norms, np.zeros(4, np.bool_), 4.0) == 10.0


def test_no_factor_or_no_ordinary_token_gives_no_limit() -> None:
    norms = np.array([1.0, 2.0], np.float32)
    assert norm_limit(norms, np.zeros(2, np.bool_), None) is None
    assert norm_limit(norms, np.ones(2, np.bool_), 4.0) is None


def test_the_rule_says_what_it_does() -> None:
    assert rule(frozenset({2, 0}), True, 4.0) == (
        "left out: inserted BOS; special tokens (ids 0, 2); "
        "tokens with a norm at the hook point above 4 x the median of the first shard"
    )
    assert rule(frozenset({0}), False, None) == "left out: inserted BOS"
    assert rule(frozenset({0}), False, None, "'</s>' (id 2)") == "left out: inserted '</s>' (id 2)"


def test_selected_rows_keep_their_activations() -> None:
    rows = Rows(
        document=np.array([0, 0, 1, 1], np.int32),
        position=np.array([0, 1, 0, 2], np.int32),
        token=np.array([5, 6, 7, 8], np.int32),
        special=np.zeros(4, np.bool_),
    )
    encoded = Encoded(
        norms=np.ones(4, np.float32),
        sampled=np.zeros(4, np.bool_),
        residuals=np.zeros((0, 3), np.float32),
        indptr=np.array([0, 2, 3, 3, 5], np.int64),
        indices=np.array([1, 4, 2, 0, 3], np.int32),
        values=np.array([0.1, 0.2, 0.3, 0.4, 0.5], np.float32),
    )
    shard = select(rows, encoded, np.array([True, False, True, True]))
    assert shard.document.tolist() == [0, 1, 1]
    assert shard.position.tolist() == [0, 0, 2]
    assert shard.token.tolist() == [5, 7, 8]
    assert shard.indptr.tolist() == [0, 2, 2, 4]
    assert shard.indices.tolist() == [1, 4, 0, 3]
    np.testing.assert_array_equal(shard.values, np.array([0.1, 0.2, 0.4, 0.5], np.float32))


def test_batches_are_of_one_length_where_nothing_may_be_padded() -> None:
    windows = [Window(number, 0, np.zeros(length, np.int32)) for number, length in enumerate((3, 5, 5, 1, 3, 5))]

    def shape(padded: bool) -> list[list[int]]:
        return [[len(window.tokens) for window in batch] for batch in batches(windows, 2, padded=padded)]

    assert shape(padded=True) == [[5, 5], [5, 3], [3, 1]]
    assert shape(padded=False) == [[5, 5], [5], [3, 3], [1]]
    assert [window.document for batch in batches(windows, 2, padded=False) for window in batch] == [1, 2, 5, 0, 4, 3]
    assert list(batches([], 2, padded=False)) == []
