/* The size of a page of Xen's interface in bytes: PAGE_SIZE of library.py, for C. */
#ifndef XENLIB_PAGE_H
#define XENLIB_PAGE_H

#define PAGE_BYTES 4096u

#endif
