package vault_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/walkd/walkd/internal/vault"
)

var (
	first  = strings.Repeat("first-key-", 4)
	second = strings.Repeat("another-key", 3)
)

func open(t *testing.T, keys ...string) *vault.Vault {
	t.Helper()
	v, err := vault.New(strings.Join(keys, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestVault(t *testing.T) {
	const about, token = "refresh google-health/watch", "1//the-refresh-token"
	v := open(t, first)
	sealed := v.Seal(about, token)
	if strings.Contains(sealed, token) || strings.Contains(sealed, "refresh") || !v.Current(sealed) {
		t.Errorf("sealed as %s", sealed)
	}
	if again := v.Seal(about, token); again == sealed {
		t.Error("the same text is encrypted to the same twice")
	}
	moved := sealed[:len(sealed)-2] + "AA"
	if moved == sealed {
		moved = sealed[:len(sealed)-2] + "BB"
	}
	tests := []struct {
		name          string
		vault         *vault.Vault
		about, sealed string
		want          string
		err           error
		current       bool
	}{
		{"same key", open(t, first), about, sealed, token, nil, true},
		{"with white space", open(t, "", "  "+first+"\r"), about, sealed, token, nil, true},
		{"older key", open(t, second, first), about, sealed, token, nil, false},
		{"newer key", open(t, first, second), about, sealed, token, nil, true},
		{"another key", open(t, second), about, sealed, "", vault.ErrLocked, false},
		{"no key", open(t), about, sealed, "", vault.ErrLocked, false},
		{"elsewhere", v, "access google-health/watch", sealed, "", vault.ErrDamaged, true},
		{"changed", v, about, moved, "", vault.ErrDamaged, true},
		{"cut off", v, about, sealed[:45], "", vault.ErrDamaged, true},
		{"nothing", v, about, "", "", nil, true},
		{"not encrypted", v, about, token, token, nil, false},
		{"not encrypted, no key", open(t), about, token, token, nil, true},
	}
	for _, tt := range tests {
		got, err := tt.vault.Open(tt.about, tt.sealed)
		if got != tt.want || !errors.Is(err, tt.err) || tt.vault.Current(tt.sealed) != tt.current {
			t.Errorf("%s: %q, %v, current %t", tt.name, got, err, tt.vault.Current(tt.sealed))
		}
		if err != nil && strings.Contains(err.Error(), "key-") {
			t.Errorf("%s: %v tells the key", tt.name, err)
		}
	}
	if got := open(t).Seal(about, token); got != token {
		t.Errorf("without a key: %s", got)
	}
	if got := v.Seal(about, ""); got != "" {
		t.Errorf("nothing: %s", got)
	}
}

func TestShortKey(t *testing.T) {
	_, err := vault.New(first + "\nhunter2")
	if err == nil || !strings.Contains(err.Error(), "key 2 has 7 characters, want at least 32") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%v", err)
	}
}
