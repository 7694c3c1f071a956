"""Thin, typed bindings of Xen's C libraries.

One module a library: `call` (libxencall), `gnttab` (libxengnttab),
`foreignmemory`, `evtchn`, `ctrl`, `hypfs`, `toollog`. `histogram` and `loop` are C of our
own: what is timed is timed there. Every handle is a context manager; every
failure is an `errors.XenLibraryError` or says which library is missing.
Importing any of it works without Xen; using it does not.
"""
