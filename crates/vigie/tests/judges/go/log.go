// Judges a log by Go's own packages for notes and transparent logs (golang.org/x/mod/sumdb), and by nothing of ours but
// the paths of C2SP tlog-tiles and the message of cosignature/v1, which those packages do not know.
//
// Usage: log DIR LOGKEY WITNESSKEY RECEIPT... (each receipt with its entry beside it, without the ending)
//
// Checked: the signatures of log and witness; every entry, rehashed; every tile; proofs that every entry is in the tree;
// proofs that the tree continues every smaller one; and that each of these is refused once it was changed.
package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func fail(format string, args ...interface{}) {
	fmt.Fprintf(os.Stderr, "judge: "+format+"\n", args...)
	os.Exit(1)
}

func must(err error, what string) {
	if err != nil {
		fail("%s: %v", what, err)
	}
}

// A witness's key: C2SP tlog-cosignature, type 0x04.
type cosigner struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func (c cosigner) Name() string    { return c.name }
func (c cosigner) KeyHash() uint32 { return c.hash }
func (c cosigner) Verify(msg, sig []byte) bool {
	if len(sig) != 72 {
		return false
	}
	time := binary.BigEndian.Uint64(sig)
	signed := fmt.Sprintf("cosignature/v1\ntime %d\n%s", time, msg)
	return ed25519.Verify(c.key, []byte(signed), sig[8:])
}

func newCosigner(vkey string) cosigner {
	parts := strings.SplitN(vkey, "+", 3)
	hash, err := strconv.ParseUint(parts[1], 16, 32)
	must(err, "witness key")
	key, err := base64.StdEncoding.DecodeString(parts[2])
	must(err, "witness key")
	if len(key) != 33 || key[0] != 4 {
		fail("witness key is not of type 0x04")
	}
	sum := sha256.Sum256(append([]byte(parts[0]+"\n"), key...))
	if binary.BigEndian.Uint32(sum[:]) != uint32(hash) {
		fail("witness key has a wrong id")
	}
	return cosigner{parts[0], uint32(hash), key[1:]}
}

type head struct {
	size int64
	root tlog.Hash
}

func parseHead(text string) head {
	lines := strings.Split(text, "\n")
	size, err := strconv.ParseInt(lines[1], 10, 64)
	must(err, "size")
	raw, err := base64.StdEncoding.DecodeString(lines[2])
	must(err, "root")
	var h head
	h.size = size
	copy(h.root[:], raw)
	return h
}

func open(msg []byte, verifiers note.Verifiers, signatures int) head {
	n, err := note.Open(msg, verifiers)
	must(err, "checkpoint")
	if len(n.Sigs) != signatures {
		fail("checkpoint has %d signatures that hold, expected %d", len(n.Sigs), signatures)
	}
	for _, at := range []int{0, 10, len(msg) - 5} {
		changed := append([]byte(nil), msg...)
		changed[at] ^= 1
		if n, err := note.Open(changed, verifiers); err == nil && len(n.Sigs) == signatures {
			fail("a checkpoint with byte %d changed was accepted", at)
		}
	}
	return parseHead(n.Text)
}

func path(n int64, width int64) string {
	s := fmt.Sprintf("%03d", n%1000)
	for n >= 1000 {
		n /= 1000
		s = fmt.Sprintf("x%03d/%s", n%1000, s)
	}
	if width < 256 {
		s += fmt.Sprintf(".p/%d", width)
	}
	return s
}

func read(dir, kind string, n, width int64) []byte {
	data, err := os.ReadFile(filepath.Join(dir, "tile", kind, path(n, width)))
	must(err, "tile")
	return data
}

func main() {
	dir, logKey, witnessKey := os.Args[1], os.Args[2], os.Args[3]
	logVerifier, err := note.NewVerifier(logKey)
	must(err, "log key")
	verifiers := note.VerifierList(logVerifier, newCosigner(witnessKey))

	msg, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	must(err, "checkpoint")
	h := open(msg, verifiers, 2)

	// Rehash every entry.
	var stored []tlog.Hash
	var leaves []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			out[i] = stored[index]
		}
		return out, nil
	})
	for n := int64(0); n*256 < h.size; n++ {
		width := h.size - n*256
		if width > 256 {
			width = 256
		}
		data := read(dir, "entries", n, width)
		for i := int64(0); i < width; i++ {
			length := int(binary.BigEndian.Uint16(data))
			entry := data[2 : 2+length]
			data = data[2+length:]
			leaf := tlog.RecordHash(entry)
			leaves = append(leaves, leaf)
			hashes, err := tlog.StoredHashesForRecordHash(n*256+i, leaf, reader)
			must(err, "hashes")
			stored = append(stored, hashes...)
		}
		if len(data) != 0 {
			fail("bundle %d goes on after its entries", n)
		}
	}
	root, err := tlog.TreeHash(h.size, reader)
	must(err, "root")
	if root != h.root {
		fail("the entries make the root %v, signed is %v", root, h.root)
	}

	// Every tile.
	tiles := 0
	for level, span := 0, int64(1); h.size/span > 0; level, span = level+1, span*256 {
		for n := int64(0); n*256 < h.size/span; n++ {
			width := h.size/span - n*256
			if width > 256 {
				width = 256
			}
			want, err := tlog.ReadTileData(tlog.Tile{H: 8, L: level, N: n, W: int(width)}, reader)
			must(err, "tile")
			if !bytes.Equal(want, read(dir, strconv.Itoa(level), n, width)) {
				fail("tile %d/%d is not over the entries", level, n)
			}
			tiles++
		}
	}

	// Every entry is in the tree, and every smaller tree is continued.
	for index := int64(0); index < h.size; index++ {
		proof, err := tlog.ProveRecord(h.size, index, reader)
		must(err, "proof")
		must(tlog.CheckRecord(proof, h.size, h.root, index, leaves[index]), "inclusion")
		if tlog.CheckRecord(proof, h.size, h.root, index, tlog.RecordHash([]byte("another"))) == nil {
			fail("another entry was accepted at %d", index)
		}
		old, err := tlog.TreeHash(index+1, reader)
		must(err, "old root")
		tree, err := tlog.ProveTree(h.size, index+1, reader)
		must(err, "proof")
		must(tlog.CheckTree(tree, h.size, h.root, index+1, old), "consistency")
		if tlog.CheckTree(tree, h.size, h.root, index+1, tlog.RecordHash(nil)) == nil {
			fail("another old tree was accepted at %d", index+1)
		}
	}

	// Receipts.
	for _, file := range os.Args[4:] {
		data, err := os.ReadFile(file)
		must(err, "receipt")
		entry, err := os.ReadFile(strings.TrimSuffix(file, ".tlog-proof"))
		must(err, "entry")
		parts := strings.SplitN(string(data), "\n\n", 2)
		lines := strings.Split(parts[0], "\n")
		if lines[0] != "c2sp.org/tlog-proof@v1" {
			fail("%s is no receipt", file)
		}
		lines = lines[1:]
		if strings.HasPrefix(lines[0], "extra ") {
			lines = lines[1:]
		}
		index, err := strconv.ParseInt(strings.TrimPrefix(lines[0], "index "), 10, 64)
		must(err, "index")
		var proof tlog.RecordProof
		for _, line := range lines[1:] {
			raw, err := base64.StdEncoding.DecodeString(line)
			must(err, "proof line")
			var hash tlog.Hash
			copy(hash[:], raw)
			proof = append(proof, hash)
		}
		at := open([]byte(parts[1]), verifiers, 2)
		must(tlog.CheckRecord(proof, at.size, at.root, index, tlog.RecordHash(entry)), "receipt")
		if tlog.CheckRecord(proof, at.size, at.root, index, tlog.RecordHash(append(entry, 0))) == nil {
			fail("%s proves another entry", file)
		}
	}
	fmt.Printf("%d entries, %d tiles, %d receipts\n", h.size, tiles, len(os.Args)-4)
}
