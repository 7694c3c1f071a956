"""Passive latencies: dom0's kernel times its own grant calls, and the agent maps nothing for it.

This is off unless passive.enabled is true. Then tracefs holds an instance and events of xengt
while the agent runs, and the kernel keeps two histograms of the calls of gnttab_map_refs() and
gnttab_unmap_refs(), by calling driver: blkback, netback, gntdev.

- `tracefs`: what is written to tracefs, and its removal
- `guard`: the process that removes it if the agent is killed
- `kernel_histogram`: parses the kernel's histograms
- `kernel_metrics`: source of the metrics

The cost was measured on stock Xen 4.20 and Linux 6.12 in `lab up --exact`, whose clock counts
instructions. These are medians of `xengt bench --engine gntdev --engine hypercall --batch 1
--batch 32 --samples 1000`, without → with passive latencies:

                   call at batch 1      call at batch 32      reference at batch 32
    gntdev, map    17,567 → 25,279      126,655 → 134,271     + 238
    gntdev, unmap  14,623 → 24,639      76,607 → 86,527       + 310
    hypercall      unchanged: its calls bypass these kernel functions

While passive latencies are off, a call costs what it does without xengt. While they are on, the
page of a scrape is 19 KB longer, or 6 KB with the lean profile.
"""
