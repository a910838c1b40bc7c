"""Plans: every cell, its state, and all that is wrong before anything is started."""

import dataclasses

import pytest

from bench import registry
from bench.errors import BenchError
from bench.plan import digests

BUMP = """
@method("bump", paper="none", width=Param(1.0, per_threshold=True), height=Param(2.0), shift=Param(None))
def bump(x, width, height, shift):
    "h(x) = 1."
    return x * 0 + width
"""


def finish(planned, plan, **changes):
    """Write the record that a run would leave."""
    done = {
        "schema": 1,
        "id": planned.id,
        "status": "ok",
        "digests": digests(planned.cell, plan.found),
        "seconds": 2.0,
    }
    plan.store.write(done | changes)


def states(plan):
    return [planned.state for planned in plan.cells]


def names(plan):
    return list(dict.fromkeys(planned.cell.method.name for planned in plan.cells))


def test_the_matrix_and_its_order(tiny, make_plan):
    suite = tiny(
        methods=["rectangle", "ann-relu"],
        datasets=["digits", "digits-events"],
        backbones=["mlp", "convnet"],
        timesteps=[1, 2],
        seeds=[0, 1],
    )
    plan = make_plan(suite)
    assert len(plan.cells) == 2 * 2 * 2 * 2 * 2
    assert len({p.id for p in plan.cells}) == 32
    configurations = [p.configuration for p in plan.cells]
    assert configurations[::2] == configurations[1::2], "seeds of a configuration stand together"
    assert len(set(configurations)) == 16
    assert states(plan) == ["missing"] * 32
    assert not plan.store.results.exists()


def test_states(tiny, make_plan):
    plan = make_plan(tiny(seeds=range(9)))
    ends = ["ok", "failed", "diverged", "oom", "timeout", "interrupted", "skipped"]
    for planned, status in zip(plan.cells, ends, strict=False):
        finish(planned, plan, status=status)
    finish(
        plan.cells[7], plan, digests=digests(plan.cells[7].cell, plan.found) | {"method": "of another file"}
    )
    again = make_plan(plan.suite)
    assert states(again) == ["done", "failed", "failed", *["missing"] * 4, "stale", "missing"]
    assert [p.cell.seed for p in again.pending] == [3, 4, 5, 6, 7, 8]
    assert again.seconds_each() == 2.0
    retried = make_plan(plan.suite, retry=True)
    assert states(retried) == ["done", *["missing"] * 6, "stale", "missing"]
    assert plan.seconds_each() is None


def test_editing_the_file_of_a_method_makes_its_cells_stale_and_no_others(tiny, make_plan, write_plugin):
    suite = tiny(methods=["bump", "rectangle"])
    file = write_plugin(BUMP)
    plan = make_plan(suite, plugins=[file])
    for planned in plan.cells:
        finish(planned, plan)
    assert states(make_plan(suite, plugins=[file])) == ["done", "done"]
    write_plugin(BUMP + "# edited\n")
    assert states(make_plan(suite, plugins=[file])) == ["stale", "done"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": ["rectangel"]}, "unknown method 'rectangel': did you mean 'rectangle'"),
        ({"datasets": ["digit"]}, "unknown dataset 'digit': did you mean"),
        ({"backbones": ["mpl"]}, "unknown backbone 'mpl': did you mean 'mlp'"),
        ({"baseline": "nothing-like-it"}, "unknown method 'nothing-like-it'"),
        (
            {"methods": [{"name": "rectangle", "params": {"widht": 1}}]},
            "method rectangle has no parameter 'widht': it has width, height",
        ),
        (
            {"methods": [{"name": "mpd-agl", "params": {"width": 1}}]},
            "method mpd-agl has no parameter 'width': it has none",
        ),
        (
            {"methods": ["mpd-agl"], "backbones": [{"name": "mlp", "norm": "none"}]},
            r"mpd-agl needs a tdBN .*mlp/fc1 has none: set norm = 'tdbn'",
        ),
        ({"datasets": [{"name": "digits", "subset": 99999}]}, "subset = 99999 asks for more than the 1437"),
        (
            {"datasets": ["digits-events"], "timesteps": [99]},
            "99 time steps; the camera makes 24 moves",
        ),
        ({"datasets": ["cifar10"]}, r"dataset cifar10: .*cifar-10-batches-py is not there; let --data-root"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_starts(tiny, make_plan, tmp_path, changes, message):
    with pytest.raises(BenchError, match=message) as caught:
        make_plan(tiny(**changes))
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_cuda_without_a_gpu_is_refused(tiny, make_plan, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(BenchError, match="device cuda asked for"):
        make_plan(tiny(), device="cuda")
    assert make_plan(tiny(), device="auto").cells[0].cell.profile.device == "cpu"


def test_device_auto_is_resolved_before_ids_are_made(tiny, make_plan, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    auto, cpu = (make_plan(tiny(profile={"device": d})).cells[0] for d in ("auto", "cpu"))
    assert auto.id == cpu.id


def test_parameters_are_filled_in_and_scale_with_the_threshold(tiny, make_plan, write_plugin):
    file = write_plugin(BUMP)
    suite = tiny(
        methods=["bump", {"name": "bump", "params": {"width": 3}}],
        backbones=[{"name": "mlp", "threshold": 2.0}],
    )
    first, second = (p.cell.method.params for p in make_plan(suite, plugins=[file]).cells)
    assert first == {"width": 4.0, "height": 2.0, "shift": None}
    assert second == {"width": 3.0, "height": 2.0, "shift": None}


def test_a_default_that_is_written_out_is_the_same_cell(tiny, make_plan):
    suite = tiny(methods=["rectangle", {"name": "rectangle", "params": {"width": 1.0}}])
    assert len(make_plan(suite).cells) == 1


def test_all_stands_for_every_installed_method_and_keeps_what_is_listed(tiny, make_plan, write_plugin):
    needy = BUMP.replace("bump", "needy").replace("width=", 'requires=["no_such"], width=')
    file = write_plugin(BUMP + needy)
    # PLIF: some methods need it, and refuse another neuron.
    suite = tiny(
        methods=["all", {"name": "bump", "params": {"height": 3}}],
        backbones=[{"name": "mlp", "width": 0.125, "neuron": "plif"}],
    )
    plan = make_plan(suite, plugins=[file])
    methods = registry.load((file,)).methods
    assert "needy" in methods
    assert set(names(plan)) == {n for n, e in methods.items() if not registry.missing_packages(e.item)}
    assert [p.cell.method.params["height"] for p in plan.cells if p.cell.method.name == "bump"] == [2, 3]


def test_a_baseline_that_is_left_out_is_no_error(tiny, make_plan):
    assert names(make_plan(tiny(methods=["ann-relu"]))) == ["ann-relu"]


def test_a_method_that_cannot_be_built_is_planned_and_fails_when_it_runs(tiny, make_plan, write_plugin):
    file = write_plugin("""
        @method("rotten", paper="none")
        class Rotten(Surrogate):
            def bind(self, site):
                raise RuntimeError("no")
    """)
    assert names(make_plan(tiny(methods=["rotten"]), plugins=[file])) == ["rotten"]


def test_what_a_loader_prints_is_kept_off_stdout(tiny, make_plan, write_plugin, capsys):
    file = write_plugin("""
        from bench.data import Splits, dataset, with_ids
        import torch

        @dataset("noisy", shape=(1, 2, 2), classes=2, licence="none", source="none")
        def noisy(request):
            print("loading")
            x, y = torch.zeros(10, 1, 2, 2), torch.arange(10) % 2
            return Splits(with_ids(x, y, 0), with_ids(x, y, 10))
    """)
    assert len(make_plan(tiny(datasets=["noisy"]), plugins=[file]).cells) == 1
    assert capsys.readouterr().out == ""


def test_plugin_methods_join_the_suite_unless_methods_are_named(write_plugin, tmp_path):
    from bench import api

    options = {"results": tmp_path / "results", "plugins": [write_plugin(BUMP)]}
    assert names(api.make_plan("smoke", **options)) == ["mpd-agl", "rectangle", "ann-relu", "bump"]
    assert names(api.make_plan("smoke", methods=["bump"], **options)) == ["bump"]


def test_an_edit_of_the_harness_makes_all_stale(tiny, make_plan, monkeypatch):
    made = make_plan(tiny())
    assert made.cells[0].changed(made.found) == []
    record = {"digests": digests(made.cells[0].cell, made.found)}
    planned = dataclasses.replace(made.cells[0], record=record)
    monkeypatch.setattr(registry, "core_digest", lambda: "another")
    assert planned.changed(made.found) == ["harness"]
