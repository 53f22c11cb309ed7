"""The shapes of a model that is not loaded: its configuration is read from where its files are."""

from __future__ import annotations

from lydite.config import ModelConfig
from lydite.errors import ModelError
from lydite.planner.shapes import ModelShapes, shapes_of_config
from lydite.plugins import Plugins
from lydite.policy import check_source, quiet_libraries


def shapes_of_source(model: ModelConfig, plugins: Plugins) -> ModelShapes:
    """The shapes of the model that a configuration names; of a GGUF file only its description is read.

    Raises:
        ConfigError: when there is no such model.
        ModelError: when its configuration cannot be read.
    """
    source = check_source(model)
    quiet_libraries()
    import transformers

    from lydite.policy.quiet import without_chatter

    options = {"revision": source.revision} if source.revision else {}
    if source.gguf_file is not None:
        options["gguf_file"] = source.gguf_file
    try:
        with without_chatter():
            config = transformers.AutoConfig.from_pretrained(source.location, **options)
    except Exception as error:  # whatever the loaders make of a broken or missing file
        first = str(error).strip().partition("\n")[0]
        raise ModelError(
            f"model.path = {model.path!r}: its configuration cannot be read: {type(error).__name__}: {first}"
        ) from error
    family = plugins.family(config.get_text_config(decoder=True).model_type)
    return shapes_of_config(config, family.lora_targets if family is not None else ())
