package pull

import (
	"net/url"
	"slices"
	"strings"
	"sync"
)

// A redactor knows the secrets of an account and takes them out of texts.
type redactor struct {
	fixed func() []string // those that are in the config or in use; may be nil
	mu    sync.Mutex
	seen  []string // tokens, codes and verifiers, the newest last
}

const (
	hidden      = "(secret)"
	maxSecrets  = 64
	shortSecret = 4 // what is shorter is found everywhere
)

// add makes secrets known.
func (r *redactor) add(secrets ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range secrets {
		if len(s) >= shortSecret {
			r.seen = append(slices.DeleteFunc(r.seen, func(o string) bool { return o == s }), s)
		}
	}
	r.seen = r.seen[max(0, len(r.seen)-maxSecrets):]
}

// clean returns text with "(secret)" in place of each secret, also where it is escaped as in an address.
func (r *redactor) clean(text string) string {
	r.mu.Lock()
	secrets := slices.Clone(r.seen)
	r.mu.Unlock()
	if r.fixed != nil {
		for _, s := range r.fixed() {
			if len(s) >= shortSecret {
				secrets = append(secrets, s)
			}
		}
	}
	for _, s := range slices.Clone(secrets) {
		secrets = append(secrets, url.QueryEscape(s), url.PathEscape(s))
	}
	slices.SortFunc(secrets, func(a, b string) int { return len(b) - len(a) }) // one may hold another
	for _, s := range slices.Compact(secrets) {
		text = strings.ReplaceAll(text, s, hidden)
	}
	return text
}
