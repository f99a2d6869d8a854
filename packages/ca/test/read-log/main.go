// Reads an issuance log as others do: with Go's sumdb/note and sumdb/tlog, which know nothing of ours.
//
//	read-log LOG-DIRECTORY [PROOF.json CERTIFICATE.der]… [GROWN.json]…
//
// Prints the serial of every certificate in the log, in order, once each is proved to be in it; then `ok`.
package main

import (
	"bytes"
	"compress/gzip"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type proofFile struct {
	Kind       string
	Index      int64
	Hashes     []string
	From       string
	Checkpoint string
}

type tileFiles string

func (d tileFiles) Height() int { return 8 }

func (d tileFiles) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, t := range tiles {
		path := strings.Replace(t.Path(), "tile/8/", "tile/", 1)
		data, err := os.ReadFile(filepath.Join(string(d), path))
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return all, nil
}

func (d tileFiles) SaveTiles([]tlog.Tile, [][]byte) {}

func main() {
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("ok")
}

func run(dir string, proofs []string) error {
	vkey, err := os.ReadFile(filepath.Join(dir, "key"))
	if err != nil {
		return err
	}
	verifier, err := note.NewVerifier(strings.TrimSpace(string(vkey)))
	if err != nil {
		return err
	}
	signed, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if err != nil {
		return err
	}
	tree, err := openCheckpoint(string(signed), verifier)
	if err != nil {
		return err
	}
	reader := tlog.TileHashReader(tree, tileFiles(dir))
	root, err := tlog.TreeHash(tree.N, reader)
	if err != nil {
		return err
	}
	if root != tree.Hash {
		return fmt.Errorf("root is %v, the checkpoint has %v", root, tree.Hash)
	}
	for first := int64(0); first < tree.N; first += 256 {
		entries, err := readBundle(dir, first, tree.N)
		if err != nil {
			return err
		}
		for i, entry := range entries {
			index := first + int64(i)
			proof, err := tlog.ProveRecord(tree.N, index, reader)
			if err != nil {
				return err
			}
			if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(entry)); err != nil {
				return fmt.Errorf("entry %d: %v", index, err)
			}
			certificate, err := x509.ParseCertificate(entry)
			if err != nil {
				return fmt.Errorf("entry %d: %v", index, err)
			}
			fmt.Printf("%x\n", certificate.SerialNumber.Bytes())
		}
	}
	return checkProofs(proofs, verifier)
}

func checkProofs(args []string, verifier note.Verifier) error {
	for len(args) > 0 {
		text, err := os.ReadFile(args[0])
		if err != nil {
			return err
		}
		var proof proofFile
		if err := json.Unmarshal(text, &proof); err != nil {
			return err
		}
		head, err := openCheckpoint(proof.Checkpoint, verifier)
		if err != nil {
			return err
		}
		var hashes []tlog.Hash
		for _, each := range proof.Hashes {
			hash, err := tlog.ParseHash(each)
			if err != nil {
				return err
			}
			hashes = append(hashes, hash)
		}
		if proof.Kind == "consistency" {
			from, err := openCheckpoint(proof.From, verifier)
			if err != nil {
				return err
			}
			if err := tlog.CheckTree(hashes, head.N, head.Hash, from.N, from.Hash); err != nil {
				return fmt.Errorf("%s: %v", args[0], err)
			}
			args = args[1:]
			continue
		}
		der, err := os.ReadFile(args[1])
		if err != nil {
			return err
		}
		if err := tlog.CheckRecord(hashes, head.N, head.Hash, proof.Index, tlog.RecordHash(der)); err != nil {
			return fmt.Errorf("%s: %v", args[0], err)
		}
		args = args[2:]
	}
	return nil
}

func openCheckpoint(signed string, verifier note.Verifier) (tlog.Tree, error) {
	opened, err := note.Open([]byte(signed), note.VerifierList(verifier))
	if err != nil {
		return tlog.Tree{}, err
	}
	lines := strings.Split(opened.Text, "\n")
	if lines[0] != verifier.Name() {
		return tlog.Tree{}, fmt.Errorf("origin is %q, key is of %q", lines[0], verifier.Name())
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, err
	}
	hash, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(hash) != 32 {
		return tlog.Tree{}, fmt.Errorf("bad root hash %q", lines[2])
	}
	tree := tlog.Tree{N: size}
	copy(tree.Hash[:], hash)
	return tree, nil
}

func readBundle(dir string, first, size int64) ([][]byte, error) {
	tile := tlog.Tile{H: 8, L: 0, N: first / 256, W: int(min(256, size-first))}
	path := strings.Replace(tile.Path(), "tile/8/0/", "tile/entries/", 1)
	packed, err := os.ReadFile(filepath.Join(dir, path))
	if err != nil {
		return nil, err
	}
	unpacker, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(unpacker)
	if err != nil {
		return nil, err
	}
	var entries [][]byte
	for len(data) >= 2 {
		end := 2 + int(binary.BigEndian.Uint16(data))
		if end > len(data) {
			return nil, fmt.Errorf("%s ends within an entry", path)
		}
		entries = append(entries, data[2:end])
		data = data[end:]
	}
	if len(entries) != tile.W {
		return nil, fmt.Errorf("%s has %d entries, not %d", path, len(entries), tile.W)
	}
	return entries, nil
}
