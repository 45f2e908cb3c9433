"""The benchmarks: `script/bench`, or `python -m benchmarks`. README.md has the method and the measurements.

Machines differ and are noisy, so each measurement is a ratio to a baseline that takes turns with it. Whole
processes are timed.

    fleets.py       generated manifests
    records.py      the answers of both servers for a fleet that is live and in the ledger
    stand_in.py     a server with prepared answers, so that its own work is not measured
    servers.py      the stand-ins, the sandbox and OpenBao, prepared for a fleet
    stopwatch.py    runs one command: seconds and peak of memory
    measuring.py    runs commands in turn: medians and spread
    baselines.py    our commands and the programs that they are compared with
    rows.py         a measurement with its baseline and its budget
    experiments/    the measurements for each budget
    peers/          octoDNS, ansible and terraform
    report/         table, JSON, plot, benchmarks/README.md
"""
