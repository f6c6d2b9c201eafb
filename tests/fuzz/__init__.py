"""Random changes of a small project, to hold the pipeline to its promise.

A changed parameter, code or input reruns exactly what it touches, and `plan` says so before. After
each change the fuzz asks for the plan, lets DVC run, and computes the same state from nothing.

- MISSED: an out differs from the one that is computed from nothing.
- IN VAIN: a stage ran though an equal run is remembered, and its outs are in the cache. Equal are
  runs with the same command, params and bytes of all files that the stage really read.
- PLAN: the plan said something else.

Where it could be argued what is right, DVC's rule of bytes decides:

- A comment in code is a changed input: the stages that import the file run, and end with the bytes
  of before, so that nothing after them runs.
- dvc.lock holds 1, 1.0 and true to be equal. The run cache does not: a value that comes back in
  another spelling is another run.
- The run cache remembers no run of `plot`, as most of its outs are in git. The outs of the newest
  of several equal runs are those that DVC looks for.
- DVC sees what a stage declares, a whole folder at times, and all code that it may import. `UNREAD`
  in judge.py lists what a stage declares and may leave unread.
- Seconds differ between equal runs: data/timings, data/costs, and the pages that show them.
"""

READS = "FUZZ_READS"  # environment variable: the file in which a stage notes what it read
