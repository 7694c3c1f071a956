"""Passive latency: dom0's kernel times its own grant calls, and nothing is mapped for it.

Off unless the configuration asks for it. Then tracefs holds, for as long as the
agent lives, an instance and events of ours, and the kernel keeps two histograms
of the calls of gnttab_map_refs() and gnttab_unmap_refs(), by who made them:
blkback, netback, gntdev. What is written there stands in `tracefs`, what the
kernel answers in `histogram`, what Prometheus gets of it in `told`; `guard`
is who takes it all back when the agent cannot.

What that costs was taken on stock Xen 4.20 and Linux 6.12 in `lab up --exact`,
whose clock counts instructions, as medians of `xengt bench --engine gntdev
--engine hypercall --batch 1 --batch 32 --samples 1000` without and with it:

                   a call, at batch 1    at batch 32              a reference of 32
    gntdev, map    17,567 -> 25,279      126,655 -> 134,271       + 238
    gntdev, unmap  14,623 -> 24,639      76,607 -> 86,527         + 310
    hypercall      as before: its calls do not go through the kernel's functions

Off, a call costs what it did. On, the page of a scrape is 16 KB longer.
"""
