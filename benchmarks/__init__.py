"""How fast and how lean we are, beside our peers, on the same work in one run; `make bench`.

| module | its question |
|---|---|
| `worker.c`, `worker.py` | what is supervised: it stamps its start, and writes numbered lines |
| `peers/` | how each supervisor is configured, started, asked and stopped: a class each |
| `metrics/` | what is measured: a function each, found by its decorator |
| `runner.py` | in which order: all peers in turn, in each round |
| `guard.py` | how long anything may last, and that nothing is left of it |
| `results.py`, `report.py`, `plots.py` | what came of it: values, a table, pictures |
| `noise.py` | how much of it was the machine |
| `budget.py`, `page.py` | what is promised, and how `docs/performance.md` shows it |
| `limits.py`, `counts.py` | what is counted, not timed, and may not grow: a test sees to it |
| `profiles.py` | where the time goes |
| `readback.py` | what it costs to read a program's output back from a large journal |
"""
