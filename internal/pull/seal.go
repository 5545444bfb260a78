package pull

import (
	"context"
	"errors"
	"fmt"

	"github.com/walkd/walkd/internal/ingest"
)

// glass is a Vault that hides nothing. What another has encrypted stays closed to it as well: that is no token.
type glass struct{}

func (glass) Seal(_, text string) string { return text }

func (glass) Open(_, sealed string) (string, error) { return sealed, nil }

func (glass) Current(string) bool { return true }

// about names a secret of an account to the vault.
func (a *account) about(what string) string { return what + " of " + a.Kind + "/" + a.Source }

// putToken keeps a token of an account, encrypted if there is a key. When it returns nil the token is on disk.
func (p *Puller) putToken(ctx context.Context, a *account, application string, t ingest.Token) error {
	t.Access, t.Refresh = p.o.Vault.Seal(a.about("access"), t.Access), p.o.Vault.Seal(a.about("refresh"), t.Refresh)
	if err := p.o.Store.PutToken(ctx, a.key, a.Kind, application, t); err != nil {
		return &storeError{err}
	}
	return nil
}

// unseal returns a token as putToken got it, and whether it is kept as the vault would keep it now.
func (p *Puller) unseal(a *account, kept ingest.Token) (t ingest.Token, current bool, err error) {
	current = p.o.Vault.Current(kept.Access) && p.o.Vault.Current(kept.Refresh)
	t = kept
	var errs [2]error
	t.Access, errs[0] = p.o.Vault.Open(a.about("access"), kept.Access)
	t.Refresh, errs[1] = p.o.Vault.Open(a.about("refresh"), kept.Refresh)
	if err := errors.Join(errs[:]...); err != nil {
		return ingest.Token{}, current, errs[0]
	}
	return t, current, nil
}

// lock notes that the consent of an account is there, and cannot be read.
func (p *Puller) lock(ctx context.Context, a *account, reason error) error {
	text := fmt.Sprintf("the access to %s is kept %v", a.spec.Service, reason)
	now := p.o.Clock.Now()
	begun := false
	remedy := "give walkd the key that it had, as token_key_file in the config, or " + a.remedy
	err := p.change(ctx, a, func(m *memory) {
		problem := &Problem{Class: ingest.Auth, Text: text, Remedy: remedy, Since: now}
		if before := m.Problem; m.Locked && before != nil {
			problem.Since = before.Since
		} else {
			begun = true
		}
		m.Problem, m.Locked, m.Stopped = problem, true, fingerprint(a.auth)
	})
	if err == nil && begun {
		p.o.Log.WarnContext(ctx, "cannot read the access to a source", "person", a.Person, "source", a.Source,
			"problem", text, "remedy", remedy)
	}
	return err
}
