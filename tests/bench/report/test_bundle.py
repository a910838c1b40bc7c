"""The script that draws: whole, kept, and made anew where what was kept is damaged."""

import pytest

from bench.report import bundle


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SPIKEGRAD_CACHE", str(tmp_path))
    monkeypatch.setattr(
        "vl_convert.javascript_bundle", lambda snippet, vl_version: f"/* {vl_version} */ {snippet}"
    )
    bundle.vega.cache_clear()
    yield tmp_path / "vega"
    bundle.vega.cache_clear()


def test_it_is_kept_and_read_again(cache, monkeypatch):
    made = bundle.vega()
    assert made.endswith(bundle.WANTED)
    assert len([*cache.iterdir()]) == 1
    monkeypatch.setattr("vl_convert.javascript_bundle", None)
    bundle.vega.cache_clear()
    assert bundle.vega() == made


@pytest.mark.parametrize("content", ["", "cut off", "0000\n/* other */", b"\xff"])
def test_what_is_damaged_is_made_anew(cache, content):
    made = bundle.vega()
    (file,) = cache.iterdir()
    whole = file.read_bytes()
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    bundle.vega.cache_clear()
    assert bundle.vega() == made
    assert file.read_bytes() == whole


def test_a_cache_that_cannot_be_written_only_costs_time(cache):
    cache.write_text("in the way")
    assert bundle.vega().endswith(bundle.WANTED)
