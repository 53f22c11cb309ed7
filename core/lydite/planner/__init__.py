"""What a run needs of its device's memory, part by part, and how the engine is sized by what is free.

    shapes        what a model is made of, without its weights
    workload      what a run asks for at once, in sequences and tokens
    parts         bytes of each part; `activations` has those of training
    checkpointing of how many layers the activations are computed again; `adaptive` says so to a policy, step by step
    memory        what is free
    engine        sizes for vLLM; `sizing` has the arithmetic
    plan          all of it, for `lydite plan`; `advice` has what to change, `source` the shapes of a model on disk

Importing this package imports no torch.
"""

from __future__ import annotations

from lydite.planner.engine import EnginePlan, plan_engine
from lydite.planner.memory import FreeMemory, free_memory
from lydite.planner.shapes import ModelShapes, shapes_of_config, shapes_of_policy

__all__ = [
    "EnginePlan",
    "FreeMemory",
    "ModelShapes",
    "free_memory",
    "plan_engine",
    "shapes_of_config",
    "shapes_of_policy",
]
