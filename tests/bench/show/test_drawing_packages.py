"""Packages that only reports and figures need, where one is missing, broken or too old."""

import pytest

from bench.errors import BenchError
from bench.report import bundle
from bench.show import drawing_packages, figure_files

UNSUPPORTED = "Unsupported Vega-Lite version string 9.9\n\nStack backtrace:\n   0: <unknown>"


def test_what_is_there_is_no_error():
    drawing_packages.need("the report", list(drawing_packages.PACKAGES))


@pytest.mark.parametrize("problem", [ImportError, AttributeError, TypeError])
def test_a_package_that_raises_anything_when_it_is_imported_is_named(tmp_path, monkeypatch, problem):
    (tmp_path / "broken_here.py").write_text(f"raise {problem.__name__}('of another Python\\nand more')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(drawing_packages.PACKAGES, "broken_here", "broken-here")
    with pytest.raises(BenchError) as raised:
        drawing_packages.need("the report", ["jinja2", "broken_here"])
    assert str(raised.value) == (
        "the report needs the package broken-here, which cannot be imported "
        f"({problem.__name__}: of another Python): pip install broken-here"
    )


def test_a_vl_convert_that_is_older_than_altair_is_one_sentence(tmp_path, monkeypatch):
    def unsupported(*_, **__):
        raise RuntimeError(UNSUPPORTED)

    monkeypatch.setenv("SPIKEGRAD_CACHE", str(tmp_path))
    monkeypatch.setattr("vl_convert.javascript_bundle", unsupported)
    bundle.vega.cache_clear()
    with pytest.raises(BenchError) as raised:
        bundle.vega()
    assert str(raised.value) == (
        "the report needs releases of altair and vl-convert-python that fit each other "
        "(RuntimeError: Unsupported Vega-Lite version string 9.9): "
        "pip install --upgrade altair vl-convert-python"
    )


class Chart:
    """Of an Altair that finds vl-convert too old."""

    def save(self, *_, **__):
        raise RuntimeError("The vl-convert-pythonkage must be version 9.0.0 or greater.")


def test_a_figure_says_the_same_and_leaves_no_file(tmp_path):
    with pytest.raises(BenchError, match=r"a\.svg needs releases .* \(RuntimeError: The vl-convert-python"):
        figure_files.save(Chart, tmp_path / "a.svg")
    assert not [*tmp_path.iterdir()]


def test_a_mistake_of_what_draws_keeps_its_traceback(tmp_path):
    def draw():
        raise RuntimeError("a mistake")

    with pytest.raises(RuntimeError, match="a mistake"):
        figure_files.save(draw, tmp_path / "a.svg")
