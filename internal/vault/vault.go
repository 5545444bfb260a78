// Package vault encrypts the tokens that are kept at rest, for people whose disk or backup others may read.
package vault

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Errors of Open.
var (
	// ErrLocked says that a text is encrypted with a key that the vault does not have.
	ErrLocked = errors.New("encrypted with a key that walkd does not have")
	// ErrDamaged says that a text is encrypted with a key that the vault has, and was changed since, or moved to where
	// it does not belong.
	ErrDamaged = errors.New("changed since it was encrypted")
)

// MinKey is how many characters a key has at least. Keys are not stretched, so they have to be random and not a
// password that somebody remembers.
const MinKey = 32

// prefix marks what is encrypted; no provider's tokens begin like this.
const prefix = "walkd-sealed:1:"

// A Vault encrypts with the first of its keys and decrypts with any. One without keys leaves everything as it is, and
// opens what is not encrypted.
type Vault struct{ keys []key }

type key struct {
	id   string // tells which key it was
	aead cipher.AEAD
}

// New returns the Vault of keys: one a line, the newest first, so that a key can be replaced while what the one before
// has encrypted can still be read. Without any there is no encryption. The error holds no key.
func New(keys string) (*Vault, error) {
	v := &Vault{}
	n := 0
	for line := range strings.Lines(keys) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		n++
		if len(line) < MinKey {
			return nil, fmt.Errorf("key %d has %d characters, want at least %d random ones", n, len(line), MinKey)
		}
		k, err := newKey(line)
		if err != nil {
			return nil, err
		}
		v.keys = append(v.keys, k)
	}
	return v, nil
}

func newKey(text string) (key, error) {
	// 32 bytes for AES-256, 4 to know the key again.
	b, err := hkdf.Key(sha256.New, []byte(text), nil, "walkd tokens at rest", 36)
	if err != nil {
		return key{}, fmt.Errorf("vault: %w", err)
	}
	block, err := aes.NewCipher(b[:32])
	if err != nil {
		return key{}, fmt.Errorf("vault: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return key{}, fmt.Errorf("vault: %w", err)
	}
	return key{hex.EncodeToString(b[32:]), aead}, nil
}

// Seal returns text encrypted, or as it is if it is empty or the vault has no key. about names what the text is and where
// it is kept; Open needs the same.
func (v *Vault) Seal(about, text string) string {
	if text == "" || len(v.keys) == 0 {
		return text
	}
	k := v.keys[0]
	nonce := make([]byte, k.aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails
	sealed := k.aead.Seal(nonce, nonce, []byte(text), []byte(about))
	return prefix + k.id + ":" + base64.RawStdEncoding.EncodeToString(sealed)
}

// Open returns the text that sealed holds, be it encrypted or not. Its errors are ErrLocked and ErrDamaged.
func (v *Vault) Open(about, sealed string) (string, error) {
	rest, ok := strings.CutPrefix(sealed, prefix)
	if !ok {
		return sealed, nil
	}
	id, rest, _ := strings.Cut(rest, ":")
	for _, k := range v.keys {
		if k.id != id {
			continue
		}
		b, err := base64.RawStdEncoding.DecodeString(rest)
		if err != nil || len(b) < k.aead.NonceSize() {
			return "", ErrDamaged
		}
		text, err := k.aead.Open(nil, b[:k.aead.NonceSize()], b[k.aead.NonceSize():], []byte(about))
		if err != nil {
			return "", ErrDamaged
		}
		return string(text), nil
	}
	return "", ErrLocked
}

// Current reports whether a text is as Seal would leave it: encrypted with the first key, or with none if there is none.
func (v *Vault) Current(sealed string) bool {
	if sealed == "" {
		return true
	}
	if len(v.keys) == 0 {
		return !strings.HasPrefix(sealed, prefix)
	}
	return strings.HasPrefix(sealed, prefix+v.keys[0].id+":")
}
