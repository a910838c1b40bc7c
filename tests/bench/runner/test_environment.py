"""What a record says of the machine."""

import json
import subprocess

import pytest
import torch

from bench.runner import environment
from bench.runner.gpus import Gpu
from bench.suite import Profile


@pytest.fixture(autouse=True)
def _forget():
    environment.git.cache_clear()
    yield
    environment.git.cache_clear()


def test_the_description_is_json_and_names_what_changes_numbers():
    found = environment.describe(Profile(device="cpu", threads=2))
    assert json.loads(json.dumps(found)) == found
    assert found["packages"].keys() == set(environment.PACKAGES)
    assert found["packages"]["torch"].split("+")[0] == found["torch_build"]["version"].split("+")[0]
    assert (found["device"], found["threads"], found["gpu"]) == ("cpu", 2, None)
    assert found["cpu"]


def test_the_gpu_is_the_one_at_work_and_torch_is_not_asked_for_another(monkeypatch):
    def ask(*_):
        raise AssertionError("CUDA was started")

    monkeypatch.setattr(torch.cuda, "get_device_properties", ask)
    there = Gpu("3", 1e9, {"name": "NVIDIA B", "memory_mb": 81_920, "capability": "9.0"})
    assert environment.describe(Profile(device="cuda"), gpu=there)["gpu"] == there.about
    assert environment.describe(Profile(device="cpu"), gpu=there)["gpu"] is None
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(environment, "about", lambda: {"name": "NVIDIA A"})
    assert environment.describe(Profile(device="cuda"))["gpu"] == {"name": "NVIDIA A"}


def test_a_package_that_is_not_installed_is_unknown():
    assert environment.versions(["no-such-package"]) == {"no-such-package": None}


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A git repository in the place of the checkout; returns a function that calls git in it."""

    def git(*words):
        subprocess.run(["git", "-C", tmp_path, *words], check=True, capture_output=True)

    git("init")
    monkeypatch.setattr(environment, "CHECKOUT", tmp_path)
    return git


def test_git_knows_the_commit_and_whether_the_code_differs(checkout, tmp_path):
    (tmp_path / "code.py").write_text("1")
    checkout("add", ".")
    checkout("-c", "user.name=n", "-c", "user.email=e", "commit", "-m", "first")
    clean = environment.git()
    assert len(clean["commit"]) == 40
    assert clean["dirty"] is False
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "new.csv").touch()
    environment.git.cache_clear()
    assert environment.git()["dirty"] is False, "results do not make it dirty"
    (tmp_path / "code.py").write_text("2")
    environment.git.cache_clear()
    assert environment.git() == {"commit": clean["commit"], "dirty": True}


def test_a_repository_without_commits_and_no_repository_are_unknown(checkout, tmp_path, monkeypatch):
    assert environment.git() is None
    environment.git.cache_clear()
    monkeypatch.setattr(environment, "CHECKOUT", None)
    assert environment.git() is None
    environment.git.cache_clear()
    monkeypatch.setattr(environment, "CHECKOUT", tmp_path / "elsewhere")
    assert environment.git() is None


def test_without_git_it_is_unknown(checkout, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert environment.git() is None


def test_the_build_of_torch_names_its_libraries_and_no_path():
    config = environment.describe(Profile(device="cpu"))["torch_build"]["config"]
    assert config.startswith("PyTorch built with")
    assert "Build settings" not in config and "\n" not in config
