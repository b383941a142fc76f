"""Times one workload with one PyTorch setting and prints one line of JSON.

    python bench.py reconstruct-256 --precision bf16 --setting pure+channels_last
    python bench.py prior-decode --precision f32 --setting eager --batch 8

One workload per process, so that the peak of memory is that workload's. Workloads and settings are described in settings.py.
A failure prints a line with "failed" and exits with 1.
"""

import argparse
import json
import os
import statistics
import sys
import time
from contextlib import ExitStack

import settings


def peak_mb():
    """The most memory this process ever had resident, in units of 2**20 bytes."""
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024


def available_cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workload", choices=settings.WORKLOADS)
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--setting", help="default: the first of the workload's settings at this precision")
    parser.add_argument("--batch", type=int, help="default: 2 for tokenizer-step, otherwise 1")
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--warmup", type=int, default=1, help="repetitions before the timed ones")
    parser.add_argument("--repeats", type=int, help="timed repetitions, of which the median counts")
    parser.add_argument("--tiny", action="store_true", help="small networks, to see that everything runs")
    given = parser.parse_args()
    given.setting = given.setting or settings.settings(given.workload, given.precision)[0]
    given.batch = given.batch or settings.batch(given.workload)
    given.repeats = given.repeats or settings.repetitions(given.workload)
    unknown = set(given.setting.split("+")) - settings.WORDS
    if unknown:
        parser.error(f"unknown in --setting: {', '.join(sorted(unknown))}; known: {', '.join(sorted(settings.WORDS))}")
    return given


def measure(given, result):
    import torch

    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    result.update(torch=torch.__version__, baseline_mb=round(peak_mb(), 1))
    import workloads

    setting = workloads.Setting(given.setting, given.precision, given.tiny)
    if given.workload in workloads.TRAINING and "pure" in setting.words:
        raise ValueError("pure is a setting of inference")
    timed = workloads.BUILDERS[given.workload](setting, given.batch)

    seconds = []
    with ExitStack() as contexts:
        if given.workload not in workloads.TRAINING:
            contexts.enter_context(torch.inference_mode())
            contexts.enter_context(setting.autocast())  # around everything: weights are converted once
        for repetition in range(given.warmup + given.repeats):
            timed.prepare()
            start = time.perf_counter()
            timed.run()
            if repetition >= given.warmup:
                seconds.append(time.perf_counter() - start)
    result.update(ms=round(statistics.median(seconds) / timed.units * 1000, 3), peak_mb=round(peak_mb(), 1))


def main():
    given = arguments()
    result = {
        "name": given.workload,
        "precision": given.precision,
        "setting": given.setting,
        "batch": given.batch,
        "threads": given.threads,
    }
    try:
        measure(given, result)
    except Exception as error:  # torch.compile fails in many ways; the others are worth the same line
        result["failed"] = f"{type(error).__name__}: {error}".strip().splitlines()[0]
    print(json.dumps(result))
    return 1 if "failed" in result else 0


if __name__ == "__main__":
    sys.exit(main())
