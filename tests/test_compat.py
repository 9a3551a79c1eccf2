"""_compat: the same on every supported version."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from scdiff._compat import layer_names, plain_text


def test_layers_are_listed_without_the_matrix():
    adata = AnnData(np.ones((2, 2)), layers={"counts": np.ones((2, 2))})
    assert layer_names(adata) == ["counts"]


@pytest.mark.parametrize("dtype", ["string", "str", "object"])
def test_text_becomes_plain_and_the_rest_stays(dtype):
    frame = pd.DataFrame(
        {"text": pd.array(["a", "b"], dtype=dtype), "number": [1, 2]}, index=pd.Index(["x", "y"], dtype=dtype, name="cell")
    )
    frame["kind"] = pd.Categorical(["u", "v"])
    before = frame["text"].dtype
    plain = plain_text(frame)
    assert plain["text"].dtype == object
    assert plain.index.dtype == object
    assert plain.index.name == "cell"
    assert plain["text"].tolist() == ["a", "b"]
    assert plain["number"].tolist() == [1, 2]
    assert isinstance(plain["kind"].dtype, pd.CategoricalDtype)
    assert frame["text"].dtype == before
