"""`lydite export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lydite.cli.runs import find_run


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, or its name.", show_default=False)],
    to: Annotated[
        str, typer.Option("--to", metavar="TARGET", help="adapter, merged, gguf or vllm.", show_default=False)
    ],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="Where to; otherwise exports/ in the run's folder.")
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            "--checkpoint", metavar="NAME", help="best, last or step-N; otherwise the best one where there is one."
        ),
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(
            "--dtype",
            metavar="TYPE",
            help="Of merged weights: bfloat16, float16, float32; otherwise the run's, or float16 if that loses much.",
        ),
    ] = None,
    outtype: Annotated[
        str | None,
        typer.Option(
            "--outtype",
            metavar="TYPE",
            help="Of a GGUF file's weights: f16, f32, bf16, q8_0, q6_k, q5_k_m, q5_1, q5_0, q4_k_m, q4_1, q4_0; "
            "otherwise f16.",
        ),
    ] = None,
    layout: Annotated[
        str | None,
        typer.Option("--layout", metavar="KIND", help="What vLLM is given: merged, or a base and an adapter."),
    ] = None,
    converter: Annotated[
        Path | None,
        typer.Option("--converter", metavar="FILE", help="llama.cpp's convert_hf_to_gguf.py, to write the GGUF file."),
    ] = None,
    n: Annotated[int, typer.Option("--n", metavar="N", min=1, help="Prompts to compare on.")] = 50,
    max_completion_length: Annotated[
        int | None,
        typer.Option(
            "--max-completion-length", metavar="TOKENS", min=1, help="Of an answer; otherwise as trained, at most 64."
        ),
    ] = None,
    max_drift: Annotated[
        float | None,
        typer.Option(
            "--max-drift", metavar="NATS", min=0.0, help="Mean |dlogp| that may be, in place of the type's own bound."
        ),
    ] = None,
    precision: Annotated[
        str,
        typer.Option(
            "--precision", metavar="KIND", help="What both compute in: float32, or the model's own type to save memory."
        ),
    ] = "float32",
    base_model: Annotated[
        str | None, typer.Option("--base-model", metavar="NAME", help="What the card calls the base, as on a hub.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier export.")] = False,
) -> None:
    """Write what a run has learned for other programs, and check that it answers as the trained policy does."""
    folder = find_run(run)

    from lydite import exports

    done = exports.export(
        folder,
        to,  # type: ignore[arg-type] # what is no target is told with the nearest one
        out=out,
        checkpoint=checkpoint,
        dtype=dtype,  # type: ignore[arg-type]
        outtype=outtype,
        layout=layout,  # type: ignore[arg-type]
        converter=converter,
        n=n,
        max_completion_length=max_completion_length,
        max_drift=max_drift,
        precision=precision,  # type: ignore[arg-type]
        base_model=base_model,
        overwrite=overwrite,
    )
    for line in done.lines:
        print(line)
    print(done.folder)
    print(f"\n{done.usage}")
