"""The command line: what each command needs besides the library.

`commands` has a module for each command, which reads its arguments and writes
its output. `demo`, `probe`, `doctor` and `devfolder` do the work of those with
the same names (`devfolder`: of ``devcert``), `reactor` runs what needs a
reactor, and `terminal` writes.
"""
