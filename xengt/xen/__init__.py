"""The host: what Xen, Linux and XenStore report, and the format of a maptrack handle."""
