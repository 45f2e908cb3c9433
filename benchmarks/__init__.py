"""The benchmark that anyone can run: `script/bench`, or `python -m benchmarks`.

Machines differ and are noisy, so no figure stands alone: each is a ratio against a baseline that ran in turn
with it. What is timed is whole processes.

    fleets.py       generated manifests
    records.py      what the two servers say of a fleet that is live and recorded
    stand_in.py     a server that gives prepared answers, so that its own work is not measured
    servers.py      the stand-ins, the sandbox and OpenBao, set up for a fleet
    stopwatch.py    runs one command: seconds and peak of memory
    measuring.py    commands in turn: medians and spread
    baselines.py    what is compared with
    rows.py         a figure beside its budget
    experiments/    what is measured, budget by budget
    peers/          octoDNS, ansible and terraform
    report/         table, JSON, plot, benchmarks/README.md
"""
