"""All intended differences between the results of patched and stock Xen.

On the patched hypervisor both fast mappings of a reference have the same handle, so an unmap
selects one of them by the addresses it passes. Only a caller that passes addresses of the wrong
mapping, as the script does, can see a difference.
"""

SCRIPT = """
granter g 1 4
grant g 8 0 rw
grant g 9 1 rw
grant g 10 2 rw
slot 0 0
slot 1 1
slot 2 2
map a g 8 h 0
map b g 8 hr 1
unmap a 1 -
unmap a own -
unmap b own -
map c g 9 d -
map e g 9 d -
unmap c - own
unmap c - own
unmap e - own
map k g 10 h 0
map m g 10 hr 1
unmap k 2 -
seen 0
seen 1
unmap k own -
unmap m own -
pins
destroy g
state g 5
"""

#: operation → results on stock Xen, one per occurrence; results on patched Xen; the reason
EXPECTED = {
    "unmap a 1 -": (
        ["-1 flags 19"],
        ["0 flags 19"],
        "address and handle are those of the other mapping, which is therefore unmapped",
    ),
    "unmap a own -": (["0 flags 9"], ["0 flags 1"], "the other mapping is already unmapped"),
    "unmap b own -": (["0 flags 1"], ["-4 flags 1"], "the mapping is already unmapped"),
    "unmap c - own": (
        ["0 flags 19", "-4 flags 19"],
        ["0 flags 19", "0 flags 1"],
        "the handle of the unmapped mapping is still the handle of the other",
    ),
    "unmap e - own": (["0 flags 1"], ["-4 flags 1"], "the preceding operation already unmapped it"),
}


def unexpected_differences(stock: list[str], patched: list[str]) -> list[str]:
    """Return unintended differences of two transcripts, and intended ones that are absent."""
    wrong = []
    for line in dict.fromkeys(text.partition(" = ")[0] for text in [*stock, *patched]):
        answers = tuple(
            [text.partition(" = ")[2] for text in transcript if text.partition(" = ")[0] == line]
            for transcript in (stock, patched)
        )
        expected = EXPECTED.get(line)
        if answers != expected[:2] if expected else answers[0] != answers[1]:
            wrong.append(f"{line}: stock {answers[0]}, patched {answers[1]}")
    return wrong
