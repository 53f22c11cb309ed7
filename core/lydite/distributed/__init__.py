"""A run in several processes, one GPU each: who they are, how they start, and what they share."""

from lydite.distributed.agreement import check_same_policy, check_same_step, with_way_back
from lydite.distributed.balance import work_of
from lydite.distributed.engine import SharedEngine
from lydite.distributed.joining import check_count, check_gpu, joined, launched
from lydite.distributed.launching import launch
from lydite.distributed.loading import load_shared_policy
from lydite.distributed.processes import Processes, ToldToEnd, current

__all__ = [
    "Processes",
    "SharedEngine",
    "ToldToEnd",
    "check_count",
    "check_gpu",
    "check_same_policy",
    "check_same_step",
    "current",
    "joined",
    "launch",
    "launched",
    "load_shared_policy",
    "with_way_back",
    "work_of",
]
