#!/usr/bin/env python3
"""Recomputes the test vectors beside this file from docs/protocol.md alone, sections 9 to 13.

    pip install cryptography
    python3 dcnet/tests/vectors/check.py

Prints one line per file; exits 1 at the first difference.
"""

import hashlib
import json
import pathlib
import struct
import sys

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

HERE = pathlib.Path(__file__).parent


# Section 9: encoding.

def u8(n):
    return struct.pack("<B", n)


def u16(n):
    return struct.pack("<H", n)


def u32(n):
    return struct.pack("<I", n)


def u64(n):
    return struct.pack("<Q", n)


def vec(items):
    return u32(len(items)) + b"".join(items)


def blob(data):
    return u32(len(data)) + data


unhex = bytes.fromhex


# Section 10: hashes and signatures.

def h(n, use, message, key=b""):
    person = use.encode().ljust(16, b"\0")
    return hashlib.blake2b(message, digest_size=n, key=key, person=person).digest()


def ed_public(seed):
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def sign(node_seed, domain, message):
    key = Ed25519PrivateKey.from_private_bytes(h(32, "zn1 peer key", b"", node_seed))
    return key.sign(b"zipnet/1 " + domain.encode() + b"\0" + message)


def signed(node_seed, domain, body):
    return body + sign(node_seed, domain, body)


# Section 11: keys, registration, pads.

def x_public(secret):
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def dh(secret, public):
    return X25519PrivateKey.from_private_bytes(secret).exchange(X25519PublicKey.from_public_bytes(public))


def peer_id(seed):
    return ed_public(h(32, "zn1 peer key", b"", seed))


def make_bundle(seed, accepts_links):
    link = ed_public(h(32, "zn1 link key", b"", seed)) if accepts_links else bytes(32)
    return peer_id(seed) + x_public(h(32, "zn1 identity key", b"", seed)) + link


def bundle(b):
    return unhex(b["peer_id"]) + unhex(b["identity_pk"]) + unhex(b["link_pk"])


def keystream(key, length):
    # The library's nonce is the 32-bit block counter and the 96-bit nonce of RFC 8439.
    return Cipher(ChaCha20(key, bytes(16)), mode=None).encryptor().update(bytes(length))


def identity(i):
    seed = unhex(i["seed"])
    return {
        "peer_secret": h(32, "zn1 peer key", b"", seed).hex(),
        "link_secret": h(32, "zn1 link key", b"", seed).hex(),
        "client_bundle": make_bundle(seed, False).hex(),
        "server_bundle": make_bundle(seed, True).hex(),
        "signature": sign(seed, i["domain"], unhex(i["msg"])).hex(),
    }


def client_id(i):
    return {"client_id": h(32, "zn1 client id", bundle(i)).hex()}


def chain(i):
    client, server = unhex(i["client_seed"]), unhex(i["server_seed"])
    id_c, id_s = (h(32, "zn1 identity key", b"", s) for s in (client, server))
    secret_cs, secret_sc = unhex(i["client_random"]), unhex(i["server_random"])
    e_cs, e_sc = x_public(secret_cs), x_public(secret_sc)
    bundle_c, bundle_s = make_bundle(client, False), make_bundle(server, True)
    deployment, boot, session = unhex(i["deployment"]), unhex(i["boot"]), unhex(i["session"])
    request = (deployment + peer_id(server) + boot + bundle_c + session + e_cs + blob(unhex(i["evidence"])))
    answer = deployment + bundle_s + boot + bundle_c + session + e_cs + e_sc + u64(i["start"])
    ikm = (dh(id_c, x_public(id_s)) + dh(secret_cs, e_sc) + dh(secret_cs, x_public(id_s)) + dh(id_c, e_sc))
    key = h(64, "zn1 chain key", ikm)
    state = h(32, "zn1 chain start",
              deployment + session + bundle_c + bundle_s + e_cs + e_sc + u64(i["start"]), key)
    chains, pads = [], []
    for header in i["header_digests"]:
        chains.append(state.hex())
        pads.append(h(32, "zn1 pad", b"pad" + unhex(header), state).hex())
        state = h(32, "zn1 ratchet", b"ratchet", state)
    return {
        "request": signed(client, "register", request).hex(),
        "answer": signed(server, "registered", answer).hex(),
        "vouch": h(32, "zn1 vouch", e_cs + e_sc).hex(),
        "ikm": ikm.hex(),
        "chain_key": key.hex(),
        "chains": chains,
        "pad_keys": pads,
    }


def pad(i):
    return {"pad": keystream(unhex(i["pad_key"]), i["bytes"]).hex()}


def statements(i):
    def get(name):
        return unhex(i[name])

    def body(domain):
        start = get("deployment")
        if domain == "vouch":
            return start + get("server") + get("boot") + bundle(i["client"]) + get("session") + get("digest")
        if domain == "lapse":
            return start + get("server") + get("boot") + get("after") + bundle(i["bundle"])
        if domain == "disclosure":
            return start + get("server") + u64(i["round"]) + get("header_digest") + u8(i["revealed"])
        if domain == "policy":
            return start + get("server") + vec([unhex(a) for a in i["aggregators"]])
        if domain == "aggregate":
            return (start + u64(i["round"]) + get("header_digest") + get("aggregator")
                    + bitmap(i["roster_len"], i["participants"]) + blob(get("vector")))
        start += u64(i["round"]) + get("server") + get("header_digest") + get("aggregate_digest")
        if domain == "commitment":
            return start + get("commitment")
        if domain == "partial":
            return start + get("nonce") + blob(get("vector"))
        raise KeyError(domain)

    return {"bytes": signed(get("seed"), i["case"], body(i["case"])).hex()}


# Section 12: structures of a round.

PARAMS = ["slots", "slot_bytes", "cells", "round_period_ms", "fold_deadline_ms", "round_deadline_ms", "min_servers",
          "min_participants", "min_anonymity", "warm_up", "absence_limit", "retain"]


def deployment_id(i):
    data = u16(i["version"]) + blob(i["instance"].encode())
    data += b"".join(u32(i["params"][name]) for name in PARAMS)
    data += u8(["all", "servers"].index(i["params"]["gossip"]))
    data += vec([unhex(s) for s in i["servers"]]) + u8(["open", "tdx"].index(i["admission"]))
    data += u8(0) if i["predecessor"] is None else u8(1) + unhex(i["predecessor"])
    return {"bytes": data.hex(), "deployment_id": h(32, "zn1 deployment", data).hex()}


def bitmap(length, ones):
    out = bytearray((length + 7) // 8)
    for i in ones:
        out[i // 8] |= 1 << (i % 8)
    return u32(length) + blob(bytes(out))


def roster_digest(i):
    data = vec([unhex(e["client"]) + unhex(e["session"]) + vec([unhex(v) for v in e["vouches"]])
                for e in i["entries"]])
    return {"bytes": data.hex(), "digest": h(32, "zn1 roster", data).hex()}


def with_signatures(i, domain, use, data):
    digest = h(32, use, data)
    signers = sorted((unhex(s) for s in i["signer_seeds"]), key=peer_id)
    signatures = [[peer_id(s).hex(), sign(s, domain, digest).hex()] for s in signers]
    return {"bytes": data.hex(), "digest": digest.hex(), "signatures": signatures}


def header_digest(i):
    data = unhex(i["deployment"]) + u64(i["round"]) + unhex(i["prev"])
    data += vec([unhex(s) for s in i["servers"]]) + vec([unhex(a) for a in i["aggregators"]])
    data += unhex(i["roster"]) + u32(i["roster_len"])
    return with_signatures(i, "header", "zn1 header", data)


def aggregate_digest(i):
    header, participants = unhex(i["header_digest"]), bitmap(i["roster_len"], i["participants"])
    digest = h(32, "zn1 aggregate", header + participants + unhex(i["vector"]))
    commitment = h(32, "zn1 partial",
                   header + digest + unhex(i["server"]) + unhex(i["nonce"]) + unhex(i["partial"]))
    return {"participants": participants.hex(), "digest": digest.hex(), "commitment": commitment.hex()}


def record_digest(i):
    data = unhex(i["deployment"]) + u64(i["round"]) + unhex(i["header_digest"]) + unhex(i["aggregate_digest"])
    data += unhex(i["prev"]) + bitmap(i["roster_len"], i["participants"]) + vec([unhex(s) for s in i["servers"]])
    data += vec([u32(t) for t in i["reservations"]])
    data += vec([u32(slot) + blob(unhex(payload)) for slot, payload in i["messages"]])
    data += vec([u32(slot) for slot in i["garbled"]])
    return with_signatures(i, "record", "zn1 record", data)


# Section 13: the round vector.

def cell_value(header, token):
    return u32(token) + h(4, "zn1 token check", header + u32(token))


def cells_of(header, token, cells):
    words = struct.unpack("<4I", h(16, "zn1 token cells", header + u32(token)))
    return [t * (cells // 3) + words[t] % (cells // 3) for t in range(3)]


def xor(a, b):
    return bytes(x ^ y for x, y in zip(a, b, strict=True))


def reservation(i):
    if "record_digest" in i:
        rank = {t: (h(32, "zn1 token order", unhex(i["record_digest"]) + u32(t)), t) for t in i["reservations"]}
        return {"owners": sorted(i["reservations"], key=rank.get)[:i["slots"]]}
    header = unhex(i["header_digest"])
    return {"value": cell_value(header, i["token"]).hex(), "cells": cells_of(header, i["token"], i["cells"])}


def peel(i):
    header, data = unhex(i["header_digest"]), unhex(i["cells"])
    cells = [data[at:at + 8] for at in range(0, len(data) - 7, 8)]
    peeled = set()
    progress = len(cells) >= 3
    while progress:
        progress = False
        for at in range(len(cells)):
            if len(peeled) == len(cells):
                return {"tokens": sorted(peeled)}
            token = struct.unpack("<I", cells[at][:4])[0]
            if token == 0 or token in peeled or cells[at] != cell_value(header, token):
                continue
            own = cells_of(header, token, len(cells))
            if at not in own:
                continue
            for cell in own:
                cells[cell] = xor(cells[cell], cell_value(header, token))
            peeled.add(token)
            progress = True
    return {"tokens": sorted(peeled)}


def tag(header, slot, kind, block):
    return h(16, "zn1 slot tag", header + u32(slot) + u8(kind) + block)


def slot_bytes(header, slot, size, payload):
    block, kind = payload, 0
    if len(payload) < size - 16:
        block, kind = (payload + b"\x80").ljust(size - 16, b"\0"), 1
    return block + tag(header, slot, kind, block)


def read_slot(header, slot, data):
    if not any(data):
        return {"is": "empty"}
    block = data[:-16]
    if data[-16:] == tag(header, slot, 0, block):
        return {"is": "message", "payload": block.hex()}
    rest = block.rstrip(b"\0")
    if data[-16:] == tag(header, slot, 1, block) and rest.endswith(b"\x80"):
        return {"is": "message", "payload": rest[:-1].hex()}
    return {"is": "garbled"}


def slot_tag(i):
    header = unhex(i["header_digest"])
    if "bytes" in i:
        return read_slot(header, i["slot"], unhex(i["bytes"]))
    return {"bytes": slot_bytes(header, i["slot"], i["slot_bytes"], unhex(i["payload"])).hex()}


def seal(i):
    header, size = unhex(i["header_digest"]), i["slot_bytes"]
    vector = bytearray(8 * i["cells"] + i["slots"] * size)
    if i["token"] is not None:
        for cell in cells_of(header, i["token"], i["cells"]):
            at = slice(8 * cell, 8 * cell + 8)
            vector[at] = xor(vector[at], cell_value(header, i["token"]))
    if i["slot"] is not None:
        at = 8 * i["cells"] + i["slot"] * size
        vector[at:at + size] = slot_bytes(header, i["slot"], size, unhex(i["payload"]))
    for key in i["pad_keys"]:
        vector = xor(vector, keystream(unhex(key), len(vector)))
    return {"vector": bytes(vector).hex()}


FILES = [identity, client_id, deployment_id, chain, pad, reservation, peel, slot_tag, seal, roster_digest,
         header_digest, aggregate_digest, record_digest, statements]


def main():
    names = {compute.__name__ for compute in FILES}
    unknown = {path.stem for path in HERE.glob("*.json")} ^ names
    if unknown:
        sys.exit(f"files without a computation, or the other way round: {sorted(unknown)}")
    for compute in FILES:
        cases = json.loads((HERE / f"{compute.__name__}.json").read_text())
        for case in cases:
            given = dict(case["in"], case=case["name"])
            got = compute(given)
            if got != case["out"]:
                different = [k for k in got.keys() | case["out"].keys() if got.get(k) != case["out"].get(k)]
                sys.exit(f"{compute.__name__}: {case['name']}: differs in {sorted(different)}")
        print(f"{compute.__name__}: {len(cases)} cases agree")


if __name__ == "__main__":
    main()
