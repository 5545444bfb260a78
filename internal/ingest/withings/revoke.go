package withings

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/walkd/walkd/internal/ingest"
)

// Revoke implements ingest.Revoker. Withings wants this signed, with a number that it gives out for it.
func (p *Provider) Revoke(ctx context.Context, client *http.Client, t ingest.Token) error {
	if t.Account == "" {
		return p.byHand(t, errors.New("walkd was not told yet which user of Withings this consent is of"))
	}
	nonce, err := p.nonce(ctx, client)
	if err == nil {
		_, err = p.post(ctx, client, tokenPath, p.sign(url.Values{
			"action": {"revoke"}, "nonce": {nonce}, "userid": {t.Account},
		}, nonce), p)
	}
	var told *refusal
	if !errors.As(err, &told) {
		return err
	}
	if words := strings.ToLower(told.text); strings.Contains(words, "signature") || strings.Contains(words, "client") {
		return secretRefused(told)
	}
	if e := told.failure(); !refusesToken(told.status) && (e.Class == ingest.Transient || e.Class == ingest.Throttled) {
		return e
	}
	// It is not documented how a consent is refused that has ended already. Whether it has is told by a renewal.
	var renewal *ingest.Error
	if _, failed := p.Refresh(ctx, client, t); errors.As(failed, &renewal) && renewal.Remedy == ingest.ConnectAgain {
		return nil
	}
	return p.byHand(t, told)
}

// byHand is the failure to end a consent that only the person can end now.
func (p *Provider) byHand(t ingest.Token, err error) error {
	page := "https://account.withings.com/partner/disconnect_partner/" + url.PathEscape(p.settings.ClientID)
	if t.Account != "" {
		page += "?selecteduser=" + url.QueryEscape(t.Account)
	}
	return &ingest.Error{
		Class: ingest.Permanent, Remedy: "end it yourself: sign in at " + page,
		Err: fmt.Errorf("%s: the consent could not be ended: %w", service, err),
	}
}

// nonce returns a number that is good for one signed question in the next 30 minutes.
func (p *Provider) nonce(ctx context.Context, client *http.Client) (string, error) {
	now := unix(p.clock.Now())
	body, err := p.post(ctx, client, signaturePath, p.sign(url.Values{"action": {"getnonce"}, "timestamp": {now}}, now), p)
	if err != nil {
		return "", err
	}
	var answer struct {
		Nonce text `json:"nonce"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.Nonce == "" {
		return "", noSense(errors.New("it holds no nonce"))
	}
	return string(answer.Nonce), nil
}

// sign adds the client and the signature to a form. What is signed are the values of action, client_id and once, which
// is the value of nonce or timestamp: so they are in the order of their names, as Withings wants them.
func (p *Provider) sign(form url.Values, once string) url.Values {
	mac := hmac.New(sha256.New, []byte(p.settings.ClientSecret))
	_, _ = mac.Write([]byte(form.Get("action") + "," + p.settings.ClientID + "," + once)) // never fails
	form.Set("client_id", p.settings.ClientID)
	form.Set("signature", hex.EncodeToString(mac.Sum(nil)))
	return form
}
