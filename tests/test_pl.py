import subprocess
import sys

import pytest

import scdiff.pl


def test_every_name_is_a_plot():
    for name in scdiff.pl.__all__:
        assert callable(getattr(scdiff.pl, name))
    assert dir(scdiff.pl) == sorted(scdiff.pl.__all__)


def test_an_unknown_name_is_refused():
    with pytest.raises(AttributeError, match="no attribute 'umap'"):
        scdiff.pl.umap  # noqa: B018


def test_importing_is_light():
    script = "import sys, scdiff.pl, scdiff.report; sys.exit(bool({'matplotlib', 'anndata', 'scanpy', 'pandas'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
