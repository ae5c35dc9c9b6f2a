"""A tutor on vLLM is as fast as vLLM: 2,000 requests of a role against bare ``LLM.generate`` on the same prompts.

    python -m benchmarks run serving [repetitions]

One vLLM, opened once, answers both in turn (A B B A …), its prefix cache emptied before each; the first pair is not
counted. Ours reads the templates, counts the tokens for the budget, keeps the answers in the cache and checks
their form; the bare run gets ready tokens. Then the smallest campaign runs twice with one cache: the second makes no
call.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.results import Row, median_interval
from tft.config.campaign import TutorUse
from tft.engines.encoding import PromptEncoder
from tft.engines.vllm import VLLMEngine
from tft.library import Library, shipped
from tft.preparation import find_tutor
from tft.tutor import Tutor, open_tutor
from tft.tutor.cache import AnswerCache

REQUESTS = 2000
ENGINE = {"type": "vllm", "dtype": "float32", "eager": True, "sequences": 256, "cpu_cache_gib": 1, "block_size": 32}


def run(options: list[str]) -> list[Row]:
    repetitions = int(options[0]) if options else 5
    with tempfile.TemporaryDirectory() as scratch:
        return [*_throughput(Path(scratch), repetitions), _repeated(Path(scratch))]


def _throughput(scratch: Path, repetitions: int) -> list[Row]:
    torch.set_num_threads(os.cpu_count() or 1)
    use = TutorUse.model_validate({"use": "abacus", "engine": ENGINE})
    card, ref = find_tutor(use, Library(), scratch / "none")
    opened = open_tutor(ref)
    assert isinstance(opened.engine, VLLMEngine)
    llm = opened.engine.llm
    encode = PromptEncoder(llm.get_tokenizer(), {})

    def ours(pair: int) -> tuple[float, int]:
        folders = [Path(ref.card_path).parent]
        tutor = Tutor(card, folders, opened.engine, AnswerCache(scratch / f"cache-{pair}"))
        values = _values(pair)
        llm.reset_prefix_cache()
        start = time.perf_counter()
        answers = tutor.ask("demonstrator", values)
        return time.perf_counter() - start, answers.usage.completion

    def bare(pair: int) -> tuple[float, int]:
        from vllm import SamplingParams

        params = SamplingParams(max_tokens=card.roles["demonstrator"].max_tokens, temperature=0.0)
        conversations = [opened.conversation("demonstrator", it) for it in _values(pair)]
        prompts = [{"prompt_token_ids": tokens} for tokens in encode(conversations)]
        llm.reset_prefix_cache()
        start = time.perf_counter()
        found = llm.generate(prompts, params, use_tqdm=False)
        return time.perf_counter() - start, sum(len(it.outputs[0].token_ids) for it in found)

    times: dict[str, list[float]] = {"ours": [], "bare": []}
    tokens = {"ours": 0, "bare": 0}
    for pair in range(repetitions + 1):
        for turn in (ours, bare) if pair % 2 else (bare, ours):
            seconds, written = turn(pair)
            if pair:
                times[turn.__name__].append(seconds)
                tokens[turn.__name__] += written
    ratios = [theirs / mine for mine, theirs in zip(times["ours"], times["bare"], strict=True)]
    low, high = median_interval(ratios)
    middle = statistics.median(ratios)
    rate = {name: tokens[name] / sum(found) for name, found in times.items()}
    note = f"{repetitions} pairs in turn; {abs(tokens['ours'] - tokens['bare'])} of {tokens['bare']:,} tokens differ"
    return [
        Row("serving-ratio", f"throughput of {REQUESTS:,} demonstrations, of bare vLLM's", middle, "ratio", low, high,
            ">= 0.97", middle >= 0.97, note=note),
        Row("serving-ours", "the role, with templates, budget, cache and form", rate["ours"], "tokens/s"),
        Row("serving-bare", "LLM.generate on ready tokens", rate["bare"], "tokens/s"),
    ]  # fmt: skip


def _values(pair: int) -> list[dict[str, Any]]:
    """Write the questions of a pair of turns: others each time, so that nothing is remembered from the last."""
    rng = random.Random(pair)
    sums = [f"{rng.randrange(100, 1000)}{rng.choice('+-')}{rng.randrange(100, 1000)}" for _ in range(REQUESTS)]
    return [{"question": it, "title": "", "marker": "#"} for it in sums]


def _repeated(scratch: Path) -> Row:
    calls = [_uncached(scratch, name) for name in ("first", "second")]
    return Row("repeated", "tutor tokens a repeated campaign asks for anew", calls[1], "tokens", target="0",
               met=calls[1] == 0 < calls[0], note=f"the first asked for {calls[0]:,}")  # fmt: skip


def _uncached(scratch: Path, name: str) -> int:
    """Run the smallest campaign on vLLM, and say how many tokens did not come from the cache."""
    overrides = [f"tutor.engine={json.dumps(ENGINE)}", f"cache={scratch / 'shared'}"]
    command = [
        sys.executable,
        "-m",
        "tft",
        "run",
        str(shipped() / "configs" / "smoke.yaml"),
        "--out",
        str(scratch / name),
    ]
    done = subprocess.run(
        [*command, *(word for it in overrides for word in ("--set", it))], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"the campaign ended with exit code {done.returncode}:\n{done.stderr[-3000:]}")
    tokens: dict[str, Any] = json.loads((scratch / name / "report.json").read_text())["tutor"]["tokens"]
    return int(tokens["total"]) - int(tokens["of_which_cached"])
