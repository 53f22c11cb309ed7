"""A task of verifiers v1 with rewards of several kinds. Run as a program, it prints what the adapter makes of it."""

import asyncio
import json
from typing import Any

import verifiers.v1 as vf

from lydite import Completion, Parsed, Sample
from lydite_adapters import verifiers_task


class Sum(vf.TaskData):
    answer: str
    level: int = 0


class Adding(vf.Task[Sum]):
    @vf.reward(weight=2.0)
    async def right(self, task: Sum, trace: vf.Trace) -> float:
        return float(trace.last_reply == task.answer)

    @vf.reward(weight=0.5)
    async def parts(self, trace: vf.Trace) -> dict[str, float]:
        return {"short": float(len(trace.last_reply) < 5), "turns": float(len(trace.assistant_messages))}

    @vf.reward
    async def boxed(self, runtime: Any) -> float:
        return 100.0


class Breaking(vf.Task[Sum]):
    @vf.reward
    async def right(self, trace: vf.Trace) -> float:
        raise RuntimeError("no such luck")


class Silent(vf.Task[Sum]):
    pass


def judged(task: str, text: str, prompt: Any = "2 + 2?") -> dict[str, Any]:
    sample = Sample("a", prompt, "4", {"level": 3, "unknown": True})
    try:
        verdict = asyncio.run(verifiers_task(Completion(text, Parsed(text)), sample, task=f"verifiers_tasks:{task}"))
    except Exception as error:
        return {"raised": type(error).__name__}
    return {
        "score": verdict.score,
        "status": verdict.status.value,
        "parts": {name: one.score for name, one in verdict.parts.items()},
    }


if __name__ == "__main__":
    chat = ({"role": "system", "content": "Add."}, {"role": "user", "content": "2 + 2?"})
    print(
        json.dumps(
            {
                "right": judged("Adding", "4"),
                "chat": judged("Adding", "4", chat),
                "wrong": judged("Adding", "five"),
                "breaking": judged("Breaking", "4"),
                "silent": judged("Silent", "4"),
            }
        )
    )
