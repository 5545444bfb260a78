package web

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Access says who may see the pages. Its zero value lets in requests that were sent to this machine from itself.
type Access struct {
	Password string // opens the pages; "" for none
	// Proxies are the addresses that are believed when they name a user in UserHeader: who that is logged in there.
	Proxies []netip.Prefix
}

// open reports whether nobody is asked who they are.
func (a Access) open() bool { return a.Password == "" && len(a.Proxies) == 0 }

// UserHeader is the header in which a trusted proxy names who has logged in with it.
const UserHeader = "Remote-User"

const (
	sessionIdle = 7 * 24 * time.Hour
	sessionLife = 30 * 24 * time.Hour
	maxSessions = 100 // logins in force; the one that was used least recently goes first
)

// A session is a login.
type session struct {
	begun, used time.Time
}

// sessions are the logins in force. They end with the process.
type sessions struct {
	mu   sync.Mutex
	byID map[string]session
}

// begin returns the id of a new session.
func (s *sessions) begin(now time.Time) string {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // which never fails
	id := base64.RawURLEncoding.EncodeToString(secret)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byID == nil {
		s.byID = map[string]session{}
	}
	oldest := ""
	for id, one := range s.byID {
		if oldest == "" || one.used.Before(s.byID[oldest].used) {
			oldest = id
		}
	}
	if len(s.byID) >= maxSessions {
		delete(s.byID, oldest)
	}
	s.byID[id] = session{begun: now, used: now}
	return id
}

func (s session) over(now time.Time) bool {
	return now.Sub(s.used) > sessionIdle || now.Sub(s.begun) > sessionLife
}

// use reports whether id is that of a session, which is then used.
func (s *sessions) use(id string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	one, ok := s.byID[id]
	if !ok {
		return false
	}
	if one.over(now) {
		delete(s.byID, id)
		return false
	}
	one.used = now
	s.byID[id] = one
	return true
}

func (s *sessions) end(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byID, id)
}

// A limiter slows down guessing: by each address, and by all of them together.
type limiter struct {
	mu   sync.Mutex
	each map[netip.Prefix]*bucket
	all  bucket
}

// How many wrong passwords there may be at once, and how often one more.
const (
	eachBurst, eachEvery = 5, time.Minute
	allBurst, allEvery   = 30, 10 * time.Second
)

// A bucket holds tries, and fills up with time.
type bucket struct {
	missing float64
	at      time.Time
}

func (b *bucket) fill(every time.Duration, now time.Time) {
	b.missing = max(0, b.missing-max(0, float64(now.Sub(b.at))/float64(every)))
	b.at = now
}

// wait returns how long it is until there is a try.
func (b *bucket) wait(burst int, every time.Duration) time.Duration {
	return time.Duration(max(0, b.missing+1-float64(burst)) * float64(every))
}

// take takes a try for from, or says how long to wait for one. A try that was none is given back.
func (l *limiter) take(from netip.Addr, now time.Time) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all.fill(allEvery, now)
	for k, b := range l.each { // few, since all together are slowed down too
		if b.fill(eachEvery, now); b.missing == 0 {
			delete(l.each, k)
		}
	}
	k := network(from)
	b := l.each[k]
	if b == nil {
		b = &bucket{at: now}
	}
	if wait = max(b.wait(eachBurst, eachEvery), l.all.wait(allBurst, allEvery)); wait > 0 {
		return wait
	}
	if l.each == nil {
		l.each = map[netip.Prefix]*bucket{}
	}
	l.each[k] = b
	b.missing++
	l.all.missing++
	return 0
}

func (l *limiter) giveBack(from netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b := l.each[network(from)]; b != nil {
		b.missing = max(0, b.missing-1)
	}
	l.all.missing = max(0, l.all.missing-1)
}

// network returns what one household has of addresses: with IPv6 that is 64 bits and more.
func network(ip netip.Addr) netip.Prefix {
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	p, _ := ip.Prefix(bits) // of no address it is the zero Prefix, which is one as well
	return p
}

// remote returns the address that a request comes from.
func remote(r *http.Request) netip.Addr {
	at, _ := netip.ParseAddrPort(r.RemoteAddr)
	return at.Addr().Unmap().WithZone("")
}

func (a Access) trusts(ip netip.Addr) bool {
	return slices.ContainsFunc(a.Proxies, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// client returns the address that a request comes from, as far as trusted proxies tell.
func (a Access) client(r *http.Request) netip.Addr {
	ip := remote(r)
	passed := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, text := range slices.Backward(passed) {
		next, err := netip.ParseAddr(strings.TrimSpace(text))
		if err != nil || !a.trusts(ip) {
			break
		}
		ip = next.Unmap().WithZone("")
	}
	return ip
}

// admitted lets in who may see the pages. Whoever may after a login is sent there, and the others are told why not.
func (s *site) admitted(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		a := s.o.Access
		switch {
		case a.open():
			// A page elsewhere cannot read this through a name that it has pointed here, nor who comes by a proxy.
			forwarded := r.Header.Get("Forwarded") != "" || r.Header.Get("X-Forwarded-For") != ""
			if loopback(r.Host) && loopback(r.RemoteAddr) && !forwarded {
				h(w, r)
				return
			}
			s.say(w, http.StatusForbidden, said{
				Title: "Only on this machine",
				Text: "These pages have no password, so they answer on 127.0.0.1 and localhost only. With password_file or " +
					"trusted_proxies in the section [web] of the config they answer elsewhere too.",
			})
		case a.trusts(remote(r)) && r.Header.Get(UserHeader) != "", s.loggedIn(r):
			h(w, r)
		case a.Password != "":
			to := "/login"
			if r.Method == http.MethodGet && r.URL.Path != "/" {
				to += "?next=" + url.QueryEscape(r.URL.EscapedPath())
			}
			http.Redirect(w, r, to, http.StatusSeeOther)
		case a.trusts(remote(r)):
			s.say(w, http.StatusForbidden, said{
				Title: "Not logged in",
				Text:  "The proxy does not say who you are: it has to set the header " + UserHeader + ".",
			})
		default:
			s.say(w, http.StatusForbidden, said{
				Title: "Only by the proxy",
				Text: "These pages answer to the addresses of web.trusted_proxies in the config alone. " +
					remote(r).String() + " is none of them.",
			})
		}
	}
}

// cookieName returns the name of the cookie of a session. With its prefix, browsers take it over https alone, and from
// nobody but the host that it is for.
func (s *site) cookieName() string {
	if s.secure() {
		return "__Host-walkd"
	}
	return "walkd"
}

func (s *site) secure() bool { return strings.HasPrefix(s.o.BaseURL, "https:") }

func (s *site) setCookie(w http.ResponseWriter, value string, maxAge int) {
	http.SetCookie(w, &http.Cookie{
		Name: s.cookieName(), Value: value, Path: "/", MaxAge: maxAge, HttpOnly: true, Secure: s.secure(),
		SameSite: http.SameSiteStrictMode,
	})
}

func (s *site) loggedIn(r *http.Request) bool {
	c, err := r.Cookie(s.cookieName())
	return err == nil && s.o.Access.Password != "" && s.sessions.use(c.Value, s.o.Now())
}

// loginPage is what the page at /login shows.
type loginPage struct {
	Next    string
	Problem string
	Base    string // where a login works, if it may not do so here; "" otherwise
}

func (s *site) showLogin(w http.ResponseWriter, r *http.Request, status int, problem string) {
	p := loginPage{Next: s.next(r), Problem: problem}
	if base, err := url.Parse(s.o.BaseURL); err == nil && s.secure() && base.Host != r.Host {
		p.Base = s.o.BaseURL
	}
	s.render(w, status, "login.html", p)
}

// next returns the page that was asked for before the login, if that connects a source; else the status page.
func (s *site) next(r *http.Request) string {
	if to := r.FormValue("next"); s.o.Connecting != nil && slices.ContainsFunc(s.o.Connecting.Sources, func(one Source) bool {
		return to == connectPath(one.Person, one.Name)
	}) {
		return to
	}
	return "/"
}

func (s *site) serveLogin(w http.ResponseWriter, r *http.Request) {
	if s.loggedIn(r) {
		http.Redirect(w, r, s.next(r), http.StatusSeeOther)
		return
	}
	s.showLogin(w, r, http.StatusOK, "")
}

func (s *site) login(w http.ResponseWriter, r *http.Request) {
	from, now := s.o.Access.client(r), s.o.Now()
	if wait := s.logins.take(from, now); wait > 0 {
		seconds := int(math.Ceil(wait.Seconds()))
		w.Header().Set("Retry-After", strconv.Itoa(seconds))
		s.showLogin(w, r, http.StatusTooManyRequests,
			fmt.Sprintf("There were too many wrong passwords. Try again in %d seconds.", seconds))
		return
	}
	got, want := sha256.Sum256([]byte(r.PostFormValue("password"))), sha256.Sum256([]byte(s.o.Access.Password))
	if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
		s.o.Log.WarnContext(r.Context(), "a login failed: wrong password", slog.String("from", from.String()))
		s.showLogin(w, r, http.StatusForbidden, "That is not the password.")
		return
	}
	s.logins.giveBack(from)
	if c, err := r.Cookie(s.cookieName()); err == nil {
		s.sessions.end(c.Value)
	}
	s.setCookie(w, s.sessions.begin(now), int(sessionLife.Seconds()))
	http.Redirect(w, r, s.next(r), http.StatusSeeOther)
}

func (s *site) logout(w http.ResponseWriter, r *http.Request) {
	if c, err := r.Cookie(s.cookieName()); err == nil {
		s.sessions.end(c.Value)
	}
	s.setCookie(w, "", -1)
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

// loopback reports whether host, of a request, names this machine as seen from itself.
func loopback(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
