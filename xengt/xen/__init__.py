"""The host: facts from Xen, Linux and XenStore, and the encoding of maptrack handles."""
