"""100,000 answers of registries, each broken in its own way, and what imgverify makes of them.

A case is a command (`scenarios`), the hosts that it asks (`hosts`), and a change of what one or
two of them answer (`cases`): a JSON document against its schema (`document`), status and headers
(`reply`), bytes and their timing (`transfer`), or the content itself, with every digest above it
made right again (`graft`). The hosts are played on real sockets without a network (`wire`).

A run has to end with a documented status within its deadline and a second, in less than 100 MB,
without a traceback; nothing that it prints may do anything but be read, and no secret may be
printed, or sent to whom it is not for (`outcome`). An exit status of 0 has to be true by what was
sent and what was stored, which `truth` finds out by itself; its docstring says exactly how.

`planted` shows that all of this is found where it is wrong. `crew` and `worker` run many cases;
`recording` makes a failure a file, and the files in `regressions` are run with the tests.
"""
