"""Constants of Xen's interface that several of these tests use."""

#: GNTST_* of public/grant_table.h
OKAY, BAD_HANDLE, NO_SPACE = 0, -4, -13
#: bytes
PAGE = 4096
#: mappings that one maptrack frame can hold
HANDLES_PER_FRAME = 256
#: start of the region of the mappings' bus addresses, for CPUs with at most 40 address bits
BUS_REGION = 1 << 40
