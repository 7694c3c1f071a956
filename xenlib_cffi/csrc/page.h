/* Size of a page in Xen's interfaces on x86: of a grant, a grant table frame, a buffer page. */
#ifndef XENLIB_PAGE_H
#define XENLIB_PAGE_H

#define XENLIB_PAGE_SIZE 4096

#endif
