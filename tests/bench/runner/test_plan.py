"""Plans: every cell, its state, and all that is wrong before anything is started."""

from importlib import metadata

import pytest
import shown_runs

from bench import registry
from bench.errors import BenchError
from bench.records import protocol
from bench.runner.plan import digests
from bench.suite import Measure, Suite

BUMP = """
@method("bump", paper="none", width=Param(1.0, per_threshold=True), height=Param(2.0), shift=Param(None))
def bump(x, width, height, shift):
    "h(x) = 1."
    return x * 0 + width
"""


def finish(planned, plan, **changes):
    """Write the record that a run would leave."""
    accuracies = dict.fromkeys(("test_accuracy", "test_accuracy_last", "val_accuracy"), 90.0)
    done = shown_runs.record(cell=planned.cell.model_dump(), metrics=accuracies) | {
        "id": planned.id,
        "digests": digests(planned.cell, plan.registry),
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
        plan.cells[7],
        plan,
        digests=digests(plan.cells[7].cell, plan.registry) | {"method": "of another file"},
    )
    again = make_plan(plan.suite)
    assert states(again) == ["done", "failed", "failed", *["missing"] * 4, "stale", "missing"]
    assert [p.cell.seed for p in again.pending] == [3, 4, 5, 6, 7, 8]
    assert again.seconds_each() == 2.0
    retried = make_plan(plan.suite, retry=True)
    assert states(retried) == ["done", *["missing"] * 6, "stale", "missing"]
    assert plan.seconds_each() is None


def test_editing_the_code_of_a_method_makes_its_cells_stale_and_no_others(tiny, make_plan, write_plugin):
    suite = tiny(methods=["bump", "rectangle"])
    file = write_plugin(BUMP)
    plan = make_plan(suite, plugins=[file])
    for planned in plan.cells:
        finish(planned, plan)
    assert states(make_plan(suite, plugins=[file])) == ["done", "done"]
    write_plugin(BUMP + "# edited\n")
    assert states(make_plan(suite, plugins=[file])) == ["done", "done"]
    write_plugin(BUMP.replace("x * 0", "x * 1"))
    edited = make_plan(suite, plugins=[file])
    assert states(edited) == ["stale", "done"]
    assert edited.why_stale() == ["the code of the method bump has changed"]


def test_another_version_of_a_library_that_a_method_calls_makes_its_cells_stale(tiny, make_plan, monkeypatch):
    suite = tiny(methods=["snntorch/atan", "rectangle"])
    plan = make_plan(suite)
    for planned in plan.cells:
        finish(planned, plan)
    monkeypatch.setattr(protocol, "releases", lambda names: dict.fromkeys(names, "9.9.9"))
    later = make_plan(suite)
    assert states(later) == ["stale", "done"]
    installed = metadata.version("snntorch")
    assert later.why_stale() == [
        f"the method snntorch/atan was made with snntorch {installed}, and here is snntorch 9.9.9"
    ]


def test_what_was_made_with_another_torch_is_kept_until_it_is_asked_for_again(tiny, make_plan):
    suite = tiny(seeds=range(4))
    plan = make_plan(suite)
    older = digests(plan.cells[0].cell, plan.registry) | {"libraries": "torch 2.1"}
    for planned, status in zip(plan.cells, ("ok", "failed", "oom", "ok"), strict=True):
        finish(planned, plan, status=status, digests=older)
    finish(plan.cells[3], plan)
    made = make_plan(suite)
    assert states(made) == ["done", "failed", "missing", "done"]
    assert [planned.kept_apart for planned in made.cells] == ["torch 2.1", "torch 2.1", "", ""]
    assert made.why_apart() == [
        "2 trainings made with torch 2.1 are kept, in rows apart from those made with "
        f"{protocol.libraries()}; --again repeats what was made with another version"
    ]
    again = make_plan(suite, again=True)
    assert states(again) == ["stale", "stale", "stale", "done"]
    assert again.why_apart() == []
    assert again.why_stale() == [f"made with torch 2.1, and here is {protocol.libraries()}"]


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
            {"methods": [{"name": "rectangle", "params": {"width": 0}}]},
            "method rectangle: width = 0 cannot be: it must be above 0",
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


def test_a_gpu_that_is_not_here_can_be_planned_for(tiny, make_plan, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    plan = make_plan(tiny(), device="cuda", elsewhere=True)
    assert plan.cells[0].cell.profile.device == "cuda"
    assert make_plan(tiny(), device="auto", elsewhere=True).cells[0].cell.profile.device == "cpu"


@pytest.mark.parametrize(
    ("device", "dataset", "asked", "settled"),
    [
        ("cpu", "digits", "auto", False),
        ("cuda", "digits", "auto", True),
        ("cuda", "yin-yang", "auto", False),
        ("cpu", "digits", True, True),
        ("cuda", "digits", False, False),
    ],
)
def test_pictures_lie_channels_last_by_themselves_on_a_gpu(
    tiny, make_plan, monkeypatch, device, dataset, asked, settled
):
    monkeypatch.setattr("torch.cuda.is_available", lambda: device == "cuda")
    suite = tiny(datasets=[dataset], profile={"device": "auto", "compile": "off", "channels_last": asked})
    (planned,) = make_plan(suite).cells
    assert planned.cell.profile.channels_last is settled
    said = tiny(datasets=[dataset], profile={"device": device, "compile": "off", "channels_last": settled})
    assert make_plan(said).cells[0].id == planned.id


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


def test_what_a_suite_measures_is_part_of_its_cells(tiny, make_plan):
    asked = {"probe": "all", "descent": False, "finite_differences": True}
    plain, more = (make_plan(tiny(measure=measure)).cells[0] for measure in ({}, asked))
    assert plain.cell.measure == Measure()
    assert more.cell.measure == Measure(**asked)
    assert plain.id != more.id
    assert make_plan(tiny(measure={}, times=True)).cells[0].id == plain.id, "times are taken beside the cells"


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


def test_another_version_of_the_protocol_makes_all_stale(tiny, make_plan, monkeypatch):
    suite = tiny(methods=["rectangle", "arctan"])
    made = make_plan(suite)
    for planned in made.cells:
        finish(planned, made)
    finish(made.cells[1], made, digests=digests(made.cells[1].cell, made.registry) | {"harness": "c0ffee"})
    now = protocol.VERSION + 1
    monkeypatch.setattr(protocol, "VERSION", now)
    later = make_plan(suite)
    assert states(later) == ["stale", "stale"]
    assert later.cells[0].changed == ["harness"]
    assert later.why_stale() == [
        f"made under no version of the protocol, and this is protocol {now}",
        f"made under protocol {now - 1}, and this is protocol {now}",
    ]


SICK_LOADERS = """
import os, sys, time
from bench.data import Splits, dataset

@dataset("raises", shape=(1, 2, 2), classes=2, licence="none", source="none")
def raises(request):
    raise ValueError("two rows are missing")

@dataset("exits", shape=(1, 2, 2), classes=2, licence="none", source="none")
def exits(request):
    os._exit(4)

@dataset("hangs", shape=(1, 2, 2), classes=2, licence="none", source="none")
def hangs(request):
    time.sleep(60)
"""


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("raises", "ValueError: two rows are missing"),
        ("exits", "the process ended with exit code 4"),
        ("hangs", "took longer than 3 s; let `timeout` in the suite, or --timeout, allow more"),
    ],
)
def test_a_loader_that_fails_costs_a_sentence_and_not_the_command(tiny, make_plan, write_plugin, name, why):
    suite = tiny(datasets=[name], timeout=3)
    with pytest.raises(BenchError, match=f"^dataset {name}: its loader failed: {why}$"):
        make_plan(suite, plugins=[write_plugin(SICK_LOADERS)])


def test_a_full_disk_while_a_loader_is_asked_is_a_sentence(tiny, make_plan, write_plugin, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    plugin = write_plugin(SICK_LOADERS)
    monkeypatch.setattr("tempfile.TemporaryDirectory", full)
    with pytest.raises(BenchError, match=r"no temporary folder can be made \(No space left on device\)"):
        make_plan(tiny(datasets=["raises"]), plugins=[plugin])


# --- tasks, and parameters of datasets ---

COUNTED = """
from pathlib import Path
import torch
from bench.data import Setting, Splits, dataset, with_ids

def load(request):
    with Path(__file__).with_suffix(".loaded").open("a") as file:
        print(request.timesteps, *request.params.values(), file=file)
    size = request.params["size"]
    x = torch.rand(80, size, generator=torch.Generator().manual_seed(0))
    y = torch.arange(80) % 3
    splits = {"train": with_ids(x[:60], y[:60], 0), "test": with_ids(x[60:], y[60:], 60)}
    return Splits(**splits, shape=(size,), classes=3, note=f"{size} wide")

@dataset("counted", shape=None, classes=None, licence="none", source="made up",
         params={"size": Setting(6, low=1), "noise": Setting(0.5)})
def counted(request):
    return load(request)
"""
RECIPE = {"epochs": 2, "batch_size": 32, "learning_rate": 0.01}


def counted_suite(**changes):
    task = {"datasets": ["counted"], "backbones": ["mlp"], "timesteps": [1, 2, 4]}
    return Suite.model_validate(
        {"name": "t", "methods": ["rectangle", "arctan"], "seeds": [0, 1], "recipe": RECIPE}
        | {"tasks": [task, {**task, "timesteps": [3], "recipe": {"epochs": 5}}]}
        | changes
    )


def test_tasks_become_cells_with_their_own_recipe(make_plan, write_plugin):
    plan = make_plan(counted_suite(), plugins=[write_plugin(COUNTED)])
    assert len(plan.cells) == 2 * 2 * (3 + 1)
    assert {(p.cell.timesteps, p.cell.recipe.epochs) for p in plan.cells} == {(1, 2), (2, 2), (4, 2), (3, 5)}
    assert {p.cell.dataset.params["size"] for p in plan.cells} == {6}, "defaults are filled in"
    assert plan.cells[0].known.note == "6 wide" and plan.cells[0].known.shape == (6,)


def test_still_samples_are_loaded_once_for_all_numbers_of_time_steps(make_plan, write_plugin):
    file = write_plugin(COUNTED)
    make_plan(counted_suite(), plugins=[file])
    assert file.with_suffix(".loaded").read_text() == "1 6 0.5\n"


def test_a_parameter_of_a_dataset_reaches_loader_network_and_id(make_plan, write_plugin):
    specs = [{"name": "counted", "params": {"size": 4, "noise": 1}}, "counted"]
    task = {"datasets": specs, "backbones": ["mlp"], "timesteps": [1]}
    plan = make_plan(counted_suite(tasks=[task]), plugins=[write_plugin(COUNTED)])
    assert [p.known.shape for p in plan.cells] == [(4,)] * 4 + [(6,)] * 4
    assert plan.cells[0].cell.dataset.params == {"size": 4, "noise": 1.0}
    assert len({p.id for p in plan.cells}) == 8


@pytest.mark.parametrize(
    ("spec", "recipe", "message"),
    [
        ({"params": {"sise": 4}}, {}, "dataset counted has no parameter 'sise': it has size, noise"),
        ({"params": {"size": 0}}, {}, "dataset counted: size must lie between 1 and inf, got 0"),
        ({"params": {"size": "4"}}, {}, "dataset counted: size must be a whole number, got '4'"),
        ({}, {"augment": "auto"}, 'dataset counted has no augmentation "auto": set recipe.augment to'),
        (
            {},
            {"augment": "auto-paper"},
            'dataset counted has no augmentation "auto-paper": set recipe.augment',
        ),
        ({}, {"augment": "rand"}, 'dataset counted has no augmentation "rand": set recipe.augment to'),
        ({}, {"cutmix": 1.0}, r"recipe.cutmix needs images, and samples of counted have the shape \(6,\)"),
        ({}, {"erasing": 0.5}, "recipe.erasing needs images"),
    ],
)
def test_what_a_dataset_does_not_offer_is_refused(make_plan, write_plugin, spec, recipe, message):
    tasks = [{"datasets": [{"name": "counted", **spec}], "backbones": ["mlp"], "timesteps": [1]}]
    suite = counted_suite(tasks=tasks, recipe=RECIPE | recipe)
    with pytest.raises(BenchError, match=message):
        make_plan(suite, plugins=[write_plugin(COUNTED)])


def test_events_of_other_time_steps_are_other_data(tiny, make_plan):
    plan = make_plan(tiny(datasets=["digits-events"], timesteps=[2, 3]))
    two, three = plan.cells
    assert two.known.checksum != three.known.checksum
    assert len({two.id, three.id}) == 2


def test_what_cannot_fit_is_refused_before_it_is_loaded(make_plan, write_plugin):
    text = COUNTED.replace("shape=None, classes=None", "shape=(6,), classes=3")
    text = text.replace("LOADED.append", "raise AssertionError")
    suite = counted_suite(tasks=[{"datasets": ["counted"], "backbones": ["convnet"], "timesteps": [1]}])
    with pytest.raises(BenchError, match=r"^counted on convnet"):
        make_plan(suite, plugins=[write_plugin(text)])


def test_all_missing_sets_are_named_at_once(tiny, make_plan, tmp_path):
    with pytest.raises(BenchError) as caught:
        make_plan(tiny(datasets=["cifar10", "digits", "mnist"], backbones=["resnet18"]))
    assert str(caught.value) == (
        f"the data root {tmp_path / 'data'} lacks all or part of 2 datasets, cifar10, mnist: `spikegrad "
        "data prepare NAME` fetches one or says which files to put where, or leave them out: --datasets "
        "digits"
    )


def test_one_missing_set_of_several_can_be_left_out(tiny, make_plan):
    with pytest.raises(
        BenchError, match=r"dataset mnist: `.* prepare mnist` .*leave it out: --datasets digits$"
    ):
        make_plan(tiny(datasets=["digits", "mnist"], backbones=["convnet"]))


def test_a_misfit_names_dataset_and_backbone(make_plan, write_plugin):
    suite = counted_suite(tasks=[{"datasets": ["counted"], "backbones": ["convnet"], "timesteps": [1]}])
    with pytest.raises(BenchError, match=r"^counted on convnet: .*\(C, H, W\).*\(6,\)"):
        make_plan(suite, plugins=[write_plugin(COUNTED)])
