// Package ntfytest is an ntfy server in memory, for tests and for trying walkd out without a phone. It answers as the
// real one does, by ntfy's documentation and source: https://docs.ntfy.sh/publish/.
package ntfytest

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// A User is an account of the server.
type User struct {
	Name, Password string
	Token          string   // an access token of the account
	Admin          bool     // may write everywhere, and ask for the version
	Write          []string // topics that it may write to
	Read           []string // topics that it may read
}

// Options say how the server is set up.
type Options struct {
	// Version is the server's; 2.17.0 if empty. Messages are replaced from 2.16 on.
	Version string
	// Private says that topics are open to nobody but Users that may; otherwise they are open to everybody.
	Private bool
	Users   []User
	// Burst is how many requests are let through at once, after which it is one every 5 s; 60 if zero.
	Burst int
	// Daily is how many messages a day are let through; 0: as many as there are.
	Daily int
	// RetryAfter is sent with the status 429; ntfy itself sends none.
	RetryAfter string
	// Now is the server's clock; time.Now if nil.
	Now func() time.Time
}

// A Message is what the server has stored.
type Message struct {
	ID         string   `json:"id"`
	SequenceID string   `json:"sequence_id,omitempty"`
	Time       int64    `json:"time"`
	Expires    int64    `json:"expires"`
	Event      string   `json:"event"`
	Topic      string   `json:"topic"`
	Title      string   `json:"title,omitempty"`
	Message    string   `json:"message,omitempty"`
	Priority   int      `json:"priority,omitempty"`
	Tags       []string `json:"tags,omitempty"`
	Click      string   `json:"click,omitempty"`
}

// A Fault is what goes wrong with a message.
type Fault int

// The faults.
const (
	Internal       Fault = iota + 1 // 500, by the server itself
	BadGateway                      // 502 with a page, by what stands before the server
	GatewayTimeout                  // 504 by what stands before the server, which has stored the message
	Portal                          // 200 with the login page of a network
	Redirected                      // 302 to the login page of a network
	Refused                         // the connection is closed before anything was read
	Dropped                         // the message is stored, and the connection closed without an answer
	Truncated                       // the message is stored, and the answer breaks off
	Slow                            // the message is stored, and the answer comes when the client has gone
)

// A Server is an ntfy server. It is an http.Handler.
type Server struct {
	o Options

	mu       sync.Mutex
	messages []Message
	faults   []Fault
	requests int // publications, those refused included
	sent     map[string]int
	bucket   float64
	filled   time.Time
}

// New returns a server without messages.
func New(o Options) *Server {
	if o.Version == "" {
		o.Version = "2.17.0"
	}
	if o.Burst == 0 {
		o.Burst = 60
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Server{o: o, bucket: float64(o.Burst), filled: o.Now(), sent: map[string]int{}}
}

// Fail makes the next publications fail, one by each fault.
func (s *Server) Fail(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, faults...)
}

// Requests returns how many publications were tried.
func (s *Server) Requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// Stored returns all messages of a topic in the order of their arrival.
func (s *Server) Stored(topic string) []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.messages), func(m Message) bool { return m.Topic != topic })
}

// Shown returns what a phone with a recent app shows of a topic: of messages with the same sequence ID the last.
func (s *Server) Shown(topic string) []Message {
	var out []Message
	for _, m := range s.Stored(topic) {
		if i := slices.IndexFunc(out, func(o Message) bool {
			return m.SequenceID != "" && o.SequenceID == m.SequenceID
		}); i >= 0 {
			out[i] = m
			continue
		}
		out = append(out, m)
	}
	return out
}

// since reports whether the server's version is 2.minor or later.
func (s *Server) since(minor int) bool {
	var major, m int
	if _, err := fmt.Sscanf(s.o.Version, "%d.%d", &major, &m); err != nil {
		return false
	}
	return major > 2 || major == 2 && m >= minor
}

// A failure is an error as the server words it.
type failure struct {
	Code  int    `json:"code,omitempty"`
	HTTP  int    `json:"http"`
	Error string `json:"error"`
	Link  string `json:"link,omitempty"`
}

const docs = "https://ntfy.sh/docs/publish/"

func unauthorized() *failure {
	return &failure{40101, http.StatusUnauthorized, "unauthorized", docs + "#authentication"}
}

func forbidden() *failure {
	return &failure{40301, http.StatusForbidden, "forbidden", docs + "#authentication"}
}

func bad(code int, text string) *failure { return &failure{code, http.StatusBadRequest, text, ""} }

func tooMany(code int, text string) *failure {
	return &failure{code, http.StatusTooManyRequests, "limit reached: " + text, docs + "#limitations"}
}

var (
	name       = `[-_A-Za-z0-9]{1,64}`
	topicPath  = regexp.MustCompile(`^/(` + name + `)$`)
	updatePath = regexp.MustCompile(`^/(` + name + `)/(` + name + `)$`)
	pollPath   = regexp.MustCompile(`^/(` + name + `)/json$`)
	wholeName  = regexp.MustCompile(`^` + name + `$`)
	disallowed = []string{"docs", "static", "file", "app", "account", "settings", "signup", "login"}
)

// ServeHTTP answers a request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	publishes := r.Method == http.MethodPost || r.Method == http.MethodPut
	user, f := s.user(r)
	if f == nil {
		switch path := r.URL.Path; {
		case r.Method == http.MethodGet && path == "/v1/health":
			writeJSON(w, http.StatusOK, map[string]bool{"healthy": true})
			return
		case r.Method == http.MethodGet && path == "/v1/version" && s.since(17):
			if user != nil && user.Admin {
				writeJSON(w, http.StatusOK, map[string]string{"version": s.o.Version, "commit": "0000000", "date": "2026-02-08"})
				return
			}
			f = unauthorized()
		case publishes && path == "/":
			f = s.publish(w, r, user, s.fromJSON)
		case publishes && topicPath.MatchString(path):
			f = s.publish(w, r, user, s.fromHeaders)
		case publishes && s.since(16) && updatePath.MatchString(path):
			f = s.publish(w, r, user, s.fromHeaders)
		case r.Method == http.MethodGet && pollPath.MatchString(path):
			f = s.poll(w, r, user, pollPath.FindStringSubmatch(path)[1])
		default:
			f = &failure{40401, http.StatusNotFound, "page not found", ""}
		}
	}
	if f == nil {
		return
	}
	if f.HTTP == http.StatusTooManyRequests && s.o.RetryAfter != "" {
		w.Header().Set("Retry-After", s.o.RetryAfter)
	}
	writeJSON(w, f.HTTP, f)
}

// user returns who asks, nil for anybody.
func (s *Server) user(r *http.Request) (*User, *failure) {
	header := r.Header.Get("Authorization")
	if header == "" {
		return nil, nil
	}
	token, isToken := strings.CutPrefix(header, "Bearer ")
	login, password, isBasic := r.BasicAuth()
	for i, u := range s.o.Users {
		if isToken && u.Token != "" && u.Token == token || isBasic && u.Name == login && u.Password == password {
			return &s.o.Users[i], nil
		}
	}
	return nil, unauthorized()
}

func (s *Server) may(u *User, topics func(*User) []string, topic string) bool {
	if u != nil && (u.Admin || slices.Contains(topics(u), topic)) {
		return true
	}
	return !s.o.Private
}

// publish takes in a message, which read finds in the request.
func (s *Server) publish(
	w http.ResponseWriter, r *http.Request, user *User, read func(*http.Request, []byte) (Message, *failure),
) *failure {
	if fault := s.nextFault(); fault != 0 {
		return s.fail(w, r, user, read, fault)
	}
	m, f := s.store(r, user, read)
	if f == nil {
		writeJSON(w, http.StatusOK, m)
	}
	return f
}

func (s *Server) nextFault() Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	if len(s.faults) == 0 {
		return 0
	}
	fault := s.faults[0]
	s.faults = s.faults[1:]
	return fault
}

func (s *Server) fail(
	w http.ResponseWriter, r *http.Request, user *User, read func(*http.Request, []byte) (Message, *failure), fault Fault,
) *failure {
	page := func(status int, title string) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "<html><head><title>"+title+"</title></head><body>"+title+"</body></html>")
	}
	switch fault {
	case Internal:
		return &failure{50001, http.StatusInternalServerError, "internal server error", ""}
	case BadGateway:
		page(http.StatusBadGateway, "502 Bad Gateway")
		return nil
	case Portal:
		page(http.StatusOK, "Welcome to our guests")
		return nil
	case Redirected:
		http.Redirect(w, r, "http://login.example/", http.StatusFound)
		return nil
	case Refused:
		panic(http.ErrAbortHandler)
	}
	m, f := s.store(r, user, read)
	if f != nil {
		return f
	}
	switch fault {
	case GatewayTimeout:
		page(http.StatusGatewayTimeout, "504 Gateway Timeout")
		return nil
	case Truncated:
		text, _ := json.Marshal(m)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(text)))
		_, _ = w.Write(text[:len(text)/2])
		panic(http.ErrAbortHandler)
	case Slow:
		<-r.Context().Done()
	}
	panic(http.ErrAbortHandler)
}

// store judges a message as the server does, and keeps it.
func (s *Server) store(
	r *http.Request, user *User, read func(*http.Request, []byte) (Message, *failure),
) (Message, *failure) {
	body, err := io.ReadAll(io.LimitReader(r.Body, jsonLimit+1))
	if err != nil {
		return Message{}, bad(40024, "invalid request: request body must be valid JSON")
	}
	m, f := read(r, body)
	if f != nil {
		return Message{}, f
	}
	if slices.Contains(disallowed, m.Topic) {
		return Message{}, bad(40010, "invalid request: topic name is not allowed")
	}
	if !s.may(user, func(u *User) []string { return u.Write }, m.Topic) {
		return Message{}, forbidden()
	}
	if f := check(&m); f != nil {
		return Message{}, f
	}
	if !s.since(16) {
		m.SequenceID = ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.limit(); f != nil {
		return Message{}, f
	}
	now := s.o.Now()
	m.ID, m.Event, m.Time, m.Expires = rand.Text()[:12], "message", now.Unix(), now.Add(12*time.Hour).Unix()
	s.messages = append(s.messages, m)
	return m, nil
}

// limit counts a message, or says that there are too many.
func (s *Server) limit() *failure {
	const refill = 5 * time.Second
	now := s.o.Now()
	s.bucket = min(float64(s.o.Burst), s.bucket+float64(now.Sub(s.filled))/float64(refill))
	s.filled = now
	if s.bucket < 1 {
		return tooMany(42901, "too many requests, please be nice")
	}
	s.bucket--
	day := now.UTC().Format(time.DateOnly)
	if s.o.Daily > 0 && s.sent[day] >= s.o.Daily {
		return tooMany(42908, "daily message quota reached")
	}
	s.sent[day]++
	return nil
}

// What the server takes.
const (
	messageLimit = 4096
	titleLimit   = 1024
	tagsLimit    = 512
	jsonLimit    = 16384
)

func check(m *Message) *failure {
	switch {
	case len(m.Message) >= messageLimit: // it would become an attachment
		return bad(40014, "invalid request: attachments not allowed")
	case !utf8.ValidString(m.Message):
		return bad(40011, "invalid message: message must be UTF-8 encoded")
	case m.Priority < 0 || m.Priority > 5:
		return bad(40007, "invalid priority parameter")
	case len(m.Title) > titleLimit:
		return bad(0, "invalid request: title too long")
	case len(strings.Join(m.Tags, ",")) > tagsLimit:
		return bad(0, "invalid request: tags too long")
	case m.SequenceID != "" && !wholeName.MatchString(m.SequenceID):
		return bad(0, "invalid request: sequence ID invalid")
	}
	if m.Message = strings.TrimSpace(m.Message); m.Message == "" {
		m.Message = "triggered"
	}
	return nil
}

func (s *Server) fromJSON(_ *http.Request, body []byte) (Message, *failure) {
	if len(body) > jsonLimit {
		return Message{}, &failure{41303, http.StatusRequestEntityTooLarge, "JSON body too large", ""}
	}
	var m Message
	if err := json.Unmarshal(body, &m); err != nil {
		return Message{}, bad(40017, "invalid request: request body must be message JSON")
	}
	if !wholeName.MatchString(m.Topic) {
		return Message{}, bad(40009, "invalid request: topic invalid")
	}
	return m, nil
}

func (s *Server) fromHeaders(r *http.Request, body []byte) (Message, *failure) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	m := Message{
		Topic: parts[0], Message: string(body), Title: param(r, "x-title", "title", "t"),
		Click: param(r, "x-click", "click"), SequenceID: param(r, "x-sequence-id", "sequence-id", "sid"),
	}
	if len(parts) == 2 {
		m.SequenceID = parts[1]
	}
	if text := param(r, "x-message", "message", "m"); text != "" {
		m.Message = text
	}
	for tag := range strings.SplitSeq(param(r, "x-tags", "tags", "tag", "ta"), ",") {
		if tag = strings.TrimSpace(tag); tag != "" {
			m.Tags = append(m.Tags, tag)
		}
	}
	priorities := []string{"", "min", "low", "default", "high", "max"}
	switch p := strings.ToLower(param(r, "x-priority", "priority", "prio", "p")); p {
	case "":
	case "urgent":
		m.Priority = 5
	default:
		n, err := strconv.Atoi(p)
		if i := slices.Index(priorities, p); i > 0 {
			n, err = i, nil
		}
		if err != nil || n < 1 {
			return Message{}, bad(40007, "invalid priority parameter")
		}
		m.Priority = n
	}
	return m, nil
}

// param returns the first of the headers, or query parameters, that is there; headers may be encoded by RFC 2047.
func param(r *http.Request, names ...string) string {
	for _, n := range names {
		if v := r.Header.Get(n); v != "" {
			if decoded, err := new(mime.WordDecoder).DecodeHeader(v); err == nil {
				v = decoded
			}
			return strings.TrimSpace(v)
		}
	}
	for _, n := range names {
		if v := r.URL.Query().Get(n); v != "" {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// poll writes the messages of a topic since an ID or a time in unix seconds, or all, one JSON object a line. There is
// no waiting for further ones: poll=1 has to be given.
func (s *Server) poll(w http.ResponseWriter, r *http.Request, user *User, topic string) *failure {
	if !s.may(user, func(u *User) []string { return u.Read }, topic) {
		return forbidden()
	}
	if r.URL.Query().Get("poll") != "1" {
		return bad(0, "this server answers with poll=1 alone")
	}
	messages := s.Stored(topic)
	if since := r.URL.Query().Get("since"); since != "" && since != "all" {
		if at, err := strconv.ParseInt(since, 10, 64); err == nil {
			messages = slices.DeleteFunc(messages, func(m Message) bool { return m.Time < at })
		} else if i := slices.IndexFunc(messages, func(m Message) bool { return m.ID == since }); i >= 0 {
			messages = messages[i+1:]
		} else {
			return bad(40008, "invalid since parameter")
		}
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	for _, m := range messages {
		_ = encoder.Encode(m)
	}
	w.Header().Set("Content-Type", "application/x-ndjson; charset=utf-8")
	_, _ = w.Write(out.Bytes())
	return nil
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
