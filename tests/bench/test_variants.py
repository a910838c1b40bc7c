"""The words of a variant: what is the method's own, and what tells trainings apart."""

import pytest

from bench import shapes
from bench.errors import BenchError
from bench.suite import BackboneSpec, Measure, Profile, Recipe
from bench.surrogate import Param, method
from bench.variants import OPTIONS, is_option, names, own_words, training_words, without_training


def test_a_parameter_of_a_method_is_never_taken_for_an_option_of_the_network():
    for name in BackboneSpec.model_fields:
        assert not is_option(f"{name}=0.5")
        assert is_option(f"backbone.{name}=0.5")
    assert own_words("decay=2 backbone.decay=0.5 learning_rate=0.03 subset=9 #ab12") == "decay=2"


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_a_parameter_with_the_name_of_an_option_of_the_training_is_refused(name):
    with pytest.raises(BenchError, match=f"parameter '{name}' has the name of an option of the training"):
        method("mine", paper="none", **{name: Param(1.0)})(shapes.rectangle)


def test_words_of_a_training_leave_out_what_every_variant_says_and_what_moves_last_bits():
    recipe = Recipe(epochs=3, batch_size=20, learning_rate=0.03)
    said = training_words({"recipe": recipe.model_dump(), "profile": Profile(tf32=True).model_dump()})
    assert {"learning_rate=0.03", "epochs=3", "best_test_epoch=false", "tf32=true"} <= set(said.values())
    assert not {"device", "dtype", "autocast", "compile"} & set(said)
    assert all(is_option(word) for word in said.values())


def test_a_record_without_a_key_is_one_with_its_default():
    assert training_words({"recipe": {}})["momentum"] == "momentum=0.9"
    assert "epochs" not in training_words({"recipe": {}})


def test_what_only_other_rows_make_a_row_say_can_be_left_out():
    """Whatever a recipe, a profile or a protocol may have: none of it names a configuration by itself."""
    cell = {
        "recipe": Recipe(epochs=3, batch_size=20, learning_rate=0.03).model_dump(),
        "profile": Profile().model_dump(),
        "measure": Measure().model_dump(),
    }
    said = " ".join([*training_words(cell).values(), "protocol=1", "torch=2.14"])
    assert without_training(said) == "default"
    own = "width=0.5 backbone.neuron=plif subset=9 cuda #ab12"
    assert without_training(f"{said} {own}") == own


def test_names_of_a_baseline():
    assert names("arctan", "backbone.width=2 torch=2.14") == {"arctan", "arctan:default"}
    assert names("arctan", "width=2 subset=9") == {"arctan:width=2"}
