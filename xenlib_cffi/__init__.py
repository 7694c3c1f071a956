"""Typed bindings of Xen's C libraries, and a timed loop in C.

There is one module per library: `call` (libxencall), `ctrl` (libxenctrl), `evtchn` (libxenevtchn),
`foreignmemory` (libxenforeignmemory), `gnttab` (libxengnttab), `hypfs` (libxenhypfs) and `toollog`
(libxentoollog). `loop` binds the timed loop of csrc/, and `histogram` its histogram.

Every handle is a context manager. All exceptions of the bindings derive from
`errors.BindingError`. The modules can be imported without Xen's libraries; opening a handle then
raises `errors.MissingLibraryError`.
"""
