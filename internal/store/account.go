package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/walkd/walkd/internal/ingest"
)

// ErrNoAccount says that nothing is kept of an account.
var ErrNoAccount = errors.New("no such account")

// An AccountKey names an account: a source of one person on the network.
type AccountKey struct {
	PersonID int64
	Source   string // its name in the config, which is that of its streams
}

// An Account is what is kept of a person's account with a provider.
type Account struct {
	AccountKey
	Kind string
	// Application is the client that the token was granted to, "" without a token.
	Application string
	// Token is a secret. It is zero unless Connected.
	Token     ingest.Token
	Connected bool
	// State is a JSON document that whoever pulls from the account reads and writes.
	State json.RawMessage
}

// String names the account without its secrets, so that printing one by mistake gives nothing away.
func (a Account) String() string {
	return fmt.Sprintf("%s of person %d (%s)", a.Source, a.PersonID, a.Kind)
}

// GoString is String.
func (a Account) GoString() string { return a.String() }

// Accounts returns all accounts, by person and source.
func (r *Reader) Accounts(ctx context.Context) ([]Account, error) {
	out, err := accounts(ctx, r.q(), "")
	if err != nil {
		return nil, fmt.Errorf("store: read accounts: %w", err)
	}
	return out, nil
}

// Account returns one account, or ErrNoAccount.
func (r *Reader) Account(ctx context.Context, k AccountKey) (Account, error) {
	out, err := accounts(ctx, r.q(), "WHERE a.person_id = ? AND a.source = ?", k.PersonID, k.Source)
	if err == nil && len(out) == 0 {
		err = ErrNoAccount
	}
	if err != nil {
		return Account{}, fmt.Errorf("store: read account %s: %w", k.Source, err)
	}
	return out[0], nil
}

func accounts(ctx context.Context, q queryer, where string, args ...any) ([]Account, error) {
	var out []Account
	err := query(ctx, q, `SELECT a.person_id, a.source, a.kind, a.state, t.source IS NOT NULL,
		coalesce(t.application, ''), coalesce(t.access, ''), coalesce(t.refresh, ''), t.expiry_ms, t.ends_ms,
		coalesce(t.scopes, 'null'), coalesce(t.account, '')
		FROM account a LEFT JOIN token t ON t.person_id = a.person_id AND t.source = a.source `+where+
		" ORDER BY a.person_id, a.source", args, func(scan func(...any) error) error {
		var (
			a             Account
			state, scopes string
			expiry, ends  sql.NullInt64
		)
		if err := scan(&a.PersonID, &a.Source, &a.Kind, &state, &a.Connected, &a.Application, &a.Token.Access,
			&a.Token.Refresh, &expiry, &ends, &scopes, &a.Token.Account); err != nil {
			return err
		}
		a.State = json.RawMessage(state)
		a.Token.Expiry, a.Token.Ends = timeOf(expiry), timeOf(ends)
		if err := json.Unmarshal([]byte(scopes), &a.Token.Scopes); err != nil {
			return err
		}
		out = append(out, a)
		return nil
	})
	return out, err
}

// PutAccountState stores the state of an account, a JSON document, and adds the account if it is not there yet. Its
// token stays, unless the account was one of another kind before: no provider gets to see the token of another.
func (s *Store) PutAccountState(ctx context.Context, k AccountKey, kind string, state json.RawMessage) error {
	if !json.Valid(state) {
		return fmt.Errorf("store: the state of account %s is not a JSON document", k.Source)
	}
	return s.write(ctx, "store the state of an account", func(tx *sql.Tx) error {
		if err := putAccount(ctx, tx, k, kind); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "UPDATE account SET state = ? WHERE person_id = ? AND source = ?",
			string(state), k.PersonID, k.Source)
		return err
	})
}

// PutToken stores what the provider has granted to a client of it, and adds the account if it is not there yet. When it
// returns nil the token is on disk.
func (s *Store) PutToken(ctx context.Context, k AccountKey, kind, application string, t ingest.Token) error {
	scopes, err := json.Marshal(t.Scopes)
	if err != nil {
		return fmt.Errorf("store: store a token: %w", err)
	}
	return s.write(ctx, "store a token", func(tx *sql.Tx) error {
		if err := putAccount(ctx, tx, k, kind); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO token
			(person_id, source, application, access, refresh, expiry_ms, ends_ms, scopes, account)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`, k.PersonID, k.Source, application, t.Access, t.Refresh, nullTime(t.Expiry),
			nullTime(t.Ends), string(scopes), t.Account)
		return err
	})
}

// putAccount adds an account if it is not there yet. Of one that was of another kind nothing is left.
func putAccount(ctx context.Context, tx *sql.Tx, k AccountKey, kind string) error {
	if _, err := tx.ExecContext(ctx, "DELETE FROM account WHERE person_id = ? AND source = ? AND kind <> ?",
		k.PersonID, k.Source, kind); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, "INSERT INTO account (person_id, source, kind) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
		k.PersonID, k.Source, kind)
	return err
}

// DropToken forgets the token of an account. One that is not there is no error.
func (s *Store) DropToken(ctx context.Context, k AccountKey) error {
	return s.write(ctx, "drop a token", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM token WHERE person_id = ? AND source = ?", k.PersonID, k.Source)
		return err
	})
}
