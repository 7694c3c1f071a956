"""Where the patched hypervisor is meant to answer otherwise than stock Xen; there is no other.

Both mappings of a reference have one handle, so Xen takes a caller by the addresses it gives, not
by the mapping it may have thought of. The script is what only a mistaken caller does.
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

#: a line of the transcript → what stock Xen says each time, what the patched one says, and why
EXPECTED = {
    "unmap a 1 -": (
        ["-1 flags 19"],
        ["0 flags 19"],
        "the address is the other mapping's, and so is the handle: that one is unmapped",
    ),
    "unmap a own -": (["0 flags 9"], ["0 flags 1"], "the other is unmapped already"),
    "unmap b own -": (["0 flags 1"], ["-4 flags 1"], "it is unmapped already"),
    "unmap c - own": (
        ["0 flags 19", "-4 flags 19"],
        ["0 flags 19", "0 flags 1"],
        "the handle of a mapping that is gone is still that of the other",
    ),
    "unmap e - own": (["0 flags 1"], ["-4 flags 1"], "it is unmapped already, by the line before"),
}


def agreed(stock: list[str], patched: list[str]) -> list[str]:
    """What two transcripts differ in and are not meant to, or agree in and are meant to differ."""
    wrong = []
    for line in dict.fromkeys(text.partition(" = ")[0] for text in [*stock, *patched]):
        answers = tuple(
            [text.partition(" = ")[2] for text in said if text.partition(" = ")[0] == line]
            for said in (stock, patched)
        )
        expected = EXPECTED.get(line)
        if answers != expected[:2] if expected else answers[0] != answers[1]:
            wrong.append(f"{line}: stock {answers[0]}, patched {answers[1]}")
    return wrong
