"""Models that leave: a run's weights as a folder for other programs, checked against the policy that was trained.

chosen_weights -> load_trained -> a target's files -> opened again by who will use them -> compared -> renamed

weights     which checkpoint of the run
trained     the policy with it, and the prompts that it is asked
merging     base and adapter as one weight
adapter, merged, vllm, gguf    the targets
readers     the programs that open what was written
parity      how far their answers are from the policy's
rounding    whether each weight is the policy's, to within half a step of its type
dtypes      which type of merged weights keeps what was learned
card        what a reader of the folder is told
"""

from __future__ import annotations

from lydite.exports.exporting import TARGETS, Exported, export

__all__ = ["TARGETS", "Exported", "export"]
