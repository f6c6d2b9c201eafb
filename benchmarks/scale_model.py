"""What workers that share a git remote, a Prefect server, a DVC remote and a sender wait for.

A simulation by events: each worker takes stage after stage, and each stage takes its turn at what
all share. Polling is no event but a load that slows the others down.
"""

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass, field

GIT, SERVER, REMOTE, SENDER = "git", "server", "remote", "sender"
SHARED = (GIT, SERVER, REMOTE, SENDER)
ENOUGH = 1e9  # workers: more than there can be
MOST = 0.95  # share of its time that a thing can lose to polling: pollers wait, too


@dataclass(frozen=True)
class Costs:
    """Seconds, as benchmarks/scale_costs.py measures them on one machine."""

    push_s: float  # a push of a reference into a repository that has none
    push_per_ref_s: float  # what each reference that is there adds
    fetch_s: float
    look_s: float  # of the server's processor, for a sender's look at a stage
    ask_s: float  # of the sender's processor, for the same
    write_s: float  # of the server's processor, for a change of state
    query_s: float  # of the sender's processor, for a question whether an object is there
    bundle_s: float = 0.0  # of the sender's processor, for writing a bundle


@dataclass(frozen=True)
class Load:
    """How much work there is, and how it is dealt out."""

    workers: int
    images: int
    images_per_stage: int = 20_000
    images_per_object: int = 430  # shards of 64 MB with photos of 150 kB
    images_per_second: float = 500.0  # of one worker
    reads_all: bool = False  # each stage has all shards for deps, not its own alone
    writes: int = 25  # changes of state, beats and bundles of lines for each stage
    looks_per_second: float = 2.0  # of the sender at each stage that runs
    requests_per_second: float = 5500.0  # that the remote answers
    bundled: bool = False  # code goes in bundles beside the objects, not by git's remote
    bundle_requests: int = 10  # for one: put, moved, listed, fetched, dropped

    @property
    def stages(self) -> int:
        return max(1, -(-self.images // self.images_per_stage))

    @property
    def stage_s(self) -> float:
        return self.images_per_stage / self.images_per_second

    @property
    def objects(self) -> int:
        """The objects that a stage depends on."""
        images = self.images if self.reads_all else self.images_per_stage
        return max(1, -(-images // self.images_per_object))

    @property
    def own_objects(self) -> int:
        return max(1, -(-self.images_per_stage // self.images_per_object))


@dataclass
class Outcome:
    """What came of it."""

    seconds: float
    ideal_s: float  # if nothing were shared
    busy: dict[str, float] = field(default_factory=dict)  # share of the time, of each shared thing

    @property
    def busiest(self) -> str:
        return max(self.busy, key=self.busy.__getitem__)


def find_demands(load: Load, costs: Costs, active: int = 0) -> dict[str, float]:
    """Return the seconds that a stage takes of each shared thing, its polling apart.

    Args:
        active: stages that run, each of which has a reference with the git remote.
    """
    pushes = 2 * (costs.push_s + active * costs.push_per_ref_s)  # to add it, to drop it
    requests = 2 * load.objects + load.own_objects + 2  # asked by both, fetched; outs asked, put
    if load.bundled:
        requests += load.bundle_requests
    return {
        SENDER: load.objects * costs.query_s + load.bundled * costs.bundle_s,
        GIT: 0.0 if load.bundled else pushes + costs.fetch_s,
        SERVER: load.writes * costs.write_s,
        REMOTE: requests / load.requests_per_second,
    }


def find_polling(load: Load, costs: Costs) -> dict[str, float]:
    """Return the share of each shared thing's time that a stage takes while it runs."""
    rate = load.looks_per_second
    return {SERVER: rate * costs.look_s, SENDER: rate * costs.ask_s, GIT: 0.0, REMOTE: 0.0}


def find_limits(load: Load, costs: Costs) -> dict[str, float]:
    """Return with how many workers each shared thing is busy all the time."""
    polling = find_polling(load, costs)

    def uses(name: str, workers: float) -> float:
        demand = find_demands(load, costs, int(workers))[name]
        return workers * (demand / load.stage_s + polling[name])

    return {name: _solve(lambda workers, name=name: uses(name, workers)) for name in SHARED}  # type: ignore[misc]


def _solve(use: Callable[[float], float]) -> float:
    """Return where a rising use reaches 1; infinity, if it does so nowhere."""
    low, high = 0.0, 1.0
    while use(high) < 1:
        if high > ENOUGH:
            return math.inf
        low, high = high, high * 2
    while high - low > max(0.5, low / 1000):
        middle = (low + high) / 2
        low, high = (middle, high) if use(middle) < 1 else (low, middle)
    return high


def simulate(load: Load, costs: Costs) -> Outcome:
    """Run all stages on all workers, and return how long that took and what was busy."""
    polling = find_polling(load, costs)
    free, used, polled = (dict.fromkeys(SHARED, 0.0) for _ in range(3))
    workers = min(load.workers, load.stages)
    begun, running, now = workers, 0, 0.0
    steps = (SENDER, GIT, SERVER, REMOTE, "compute")
    events = [(0.0, number, 0) for number in range(workers)]  # when, who, which step
    while events:
        when, who, step = heapq.heappop(events)
        for name in SHARED:
            polled[name] += (when - now) * min(MOST, running * polling[name])
        now = when
        if step == len(steps):
            running -= 1
            if begun < load.stages:
                begun += 1
                heapq.heappush(events, (now, who, 0))
            continue
        if (name := steps[step]) == "compute":
            running += 1
            heapq.heappush(events, (now + load.stage_s, who, step + 1))
            continue
        demand = find_demands(load, costs, running)[name]
        takes = demand / (1 - min(MOST, running * polling[name]))
        used[name] += takes
        free[name] = max(now, free[name]) + takes
        heapq.heappush(events, (free[name], who, step + 1))
    shares = {name: (used[name] / now, polled[name] / now) for name in SHARED}
    busy = {name: taken + (1 - taken) * polls for name, (taken, polls) in shares.items()}
    return Outcome(now, -(-load.stages // workers) * load.stage_s, busy)
