"""Verifies the answer to a demand for rows: python3 verify-answer.py DEMAND ANSWER NONCE BEACON (the last two in hex).

Standard library alone. The head in the demand is taken as known; check its signatures, and the beacon's, elsewhere."""
import base64, hashlib, hmac, struct, sys

sha = lambda data: hashlib.sha256(data).digest()
node = lambda left, right: sha(b"\1" + left + right)
leaf = lambda data: sha(b"\0" + data)

def root_of(hash_, index, size, proof):  # RFC 9162, 2.1.3.2
    last = size - 1
    for sibling in proof:
        if last == 0: raise ValueError("the proof is too long")
        if index & 1 or index == last:
            hash_ = node(sibling, hash_)
            while not index & 1 and index: index, last = index >> 1, last >> 1
        else: hash_ = node(hash_, sibling)
        index, last = index >> 1, last >> 1
    if last: raise ValueError("the proof is too short")
    return hash_
demand_file, answer_file, nonce, beacon = sys.argv[1:]
text = open(demand_file, "rb").read().split(b"\n\n")[0].rstrip(b"\n") + b"\n"  # a signed note: text, blank line, signatures
says = dict(line.split(" ", 1) for line in text.decode().splitlines()[1:])
nonce, beacon = bytes.fromhex(nonce), bytes.fromhex(beacon)
assert says["unit"] == "row", "this script checks rows"
assert sha(nonce) == base64.b64decode(says["nonce-commit"]), "the number is not the one committed to"
seed = sha(b"vigie/sample/v1\n" + text + nonce + beacon)
(start, end), drawn, counter = map(int, says["range"].split()), [], 0
while len(drawn) < int(says["count"]):
    number, = struct.unpack(">Q", hmac.digest(seed, struct.pack(">Q", counter), "sha256")[:8])
    counter, index = counter + 1, start + number % (end - start)
    if number < 2**64 // (end - start) * (end - start) and index not in drawn: drawn.append(index)
rest, items = open(answer_file, "rb").read(), {}
header, said, rest = rest.split(b"\n", 2)
assert header == b"vigie/answer/v1" and said == b"demand " + base64.b64encode(sha(text)), "this answers another demand"
while rest:
    line, rest = rest.split(b"\n", 1)
    _, index, length = line.split()
    items[int(index)], rest = rest[:int(length)], rest[int(length):]

def check(index):  # a tlog-proof (C2SP) with an opening in `extra`
    lines = items[index].decode().split("\n\n")[0].splitlines()
    opening = base64.b64decode(lines[1].removeprefix("extra "))
    at, proof = int(lines[2].removeprefix("index ")), [base64.b64decode(line) for line in lines[3:]]
    assert opening[:8] == b"VIGIEOP1" and opening[156] == 1, "no row is shown"
    entry, (place,), salt = opening[8:156], struct.unpack(">Q", opening[157:165]), opening[165:197]
    base, count, event = *struct.unpack(">QQ", entry[20:36]), entry[36:52]
    inner = [opening[198 + 32 * n:230 + 32 * n] for n in range(opening[197])]
    row = opening[202 + 32 * len(inner):]
    assert index == base + place and place < count, "another row is shown"
    commitment = hmac.digest(salt, b"vigie/row/v1\0" + event + struct.pack(">QI", place, len(row)) + row, "sha256")
    assert root_of(leaf(commitment), place, count, inner) == entry[52:84], "the row is not the one committed to"
    assert root_of(leaf(entry), at, int(says["size"]), proof) == base64.b64decode(says["root"]), "the entry is not in the ledger"

bad = 0
for index in drawn:
    try: check(index)
    except Exception as why: bad, _ = bad + 1, print(f"row {index}: {'nothing is shown' if index not in items else why}")
print(f"{len(drawn) - bad} of {len(drawn)} rows are as the ledger has them")
sys.exit(bad > 0)
