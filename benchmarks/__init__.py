"""What txtransport costs, beside stock Twisted and other stacks: see docs/performance.md.

    python -m benchmarks.run [--quick]      all workloads: one table, one plot
    python -m benchmarks.connect [--quick]  one workload

- the modules of this folder are the workloads, one a file;
- `peers` has the stacks under test, each a program of its own;
- `lab` has what the workloads share: processes, rounds, statistics, tables.
"""
