package config

import (
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"github.com/walkd/walkd/internal/vault"
	"github.com/walkd/walkd/internal/walking"
)

// A Config is everything that a person can set, checked and with the defaults filled in.
type Config struct {
	// DataDir is the folder of the store. It is "" if the file names none and the environment tells of no place for
	// one; whoever needs it has to ask for it then.
	DataDir   string
	LogLevel  slog.Level
	LogFormat string // "text" or "json"
	// TokenKey is what tokens are encrypted with in the store: keys as vault.New takes them; empty for no encryption.
	TokenKey Secret
	Web      Web
	Influx   Influx
	People   []Person // at least one; names are unique, whatever their case
}

// Web is the section [web].
type Web struct {
	// Listen is the host:port of the HTTP server; "" for none.
	Listen string
	// Pages says that it has pages for people, besides health and metrics. If Listen or BaseURL is not of this machine
	// alone there is a Password, or there are TrustedProxies, or both.
	Pages bool
	// BaseURL is the scheme and host by which browsers reach the pages, without a slash at the end; "" if only Listen
	// says so.
	BaseURL string
	// Password opens the pages; empty for none.
	Password Secret
	// TrustedProxies are the addresses whose header Remote-User is believed.
	TrustedProxies []netip.Prefix
	// MetricsHealthValues says that /metrics may carry how much a person walked.
	MetricsHealthValues bool
}

// Influx is the section [influx].
type Influx struct {
	URL    string // http or https, without credentials; "" for no projection
	Org    string
	Bucket string // "database/retention policy" for InfluxDB 1.8; not empty if URL is not
	Token  Secret // empty for a server that asks for none
}

// A Person is a section [[person]].
type Person struct {
	Name string
	// Home is the zone the person lives in. Its String is an IANA name.
	Home *time.Location
	// TargetMinutes is how many minutes of walking a day are to be exceeded, 1 to 1440.
	TargetMinutes int
	// Limited says that the person's back does not let them walk much: alternative minutes come first, and nothing is
	// said of bands.
	Limited bool
	// Quiet is when the person sleeps and is not to be disturbed.
	Quiet walking.WallRange
	// Nudges says what the person wants to be told.
	Nudges Nudges
	// Travel holds the zones of the person's trips in the order of their beginnings, no two at one instant.
	Travel  []walking.ZoneChange
	Sources []Source // in order of priority; names are unique
	// Channels are where messages go; names are unique.
	Channels []Channel
}

// Nudges is the section [person.nudges], without the quiet hours.
type Nudges struct {
	// MaxPerDay is how many nudges a day may bring; 0 is none.
	MaxPerDay int
	// BehindFrom is the time of day from which a nudge about being behind may come.
	BehindFrom walking.WallTime
}

// Zones returns the zone in force at every instant as far as the config tells.
func (p Person) Zones() walking.Timeline { return walking.NewTimeline(p.Home, p.Travel...) }

// Preferred returns the streams in the order of priority that the sources and their origins stand in. A key without an
// origin means all other streams of its source.
func (p Person) Preferred() []walking.StreamKey {
	var keys []walking.StreamKey
	for _, s := range p.Sources {
		for _, o := range s.Origins {
			keys = append(keys, walking.StreamKey{Source: s.Name, Origin: o})
		}
		keys = append(keys, walking.StreamKey{Source: s.Name})
	}
	return keys
}

// A Source is a section [[person.source]].
type Source struct {
	Kind string // a key of Kinds
	Name string // the kind, unless named otherwise
	// Origins are the apps or devices inside the source in order of priority, as far as the person cares.
	Origins []string
	// Settings is what the kind made: a pointer to its own struct.
	Settings any
}

// A Channel is a section [[person.channel]].
type Channel struct {
	Kind string // a key of Kinds.Channels
	Name string // the kind, unless named otherwise
	// Settings is what the kind made: a pointer to its own struct.
	Settings any
}

// Kinds are the kinds of sources and channels that can be configured.
type Kinds struct {
	Sources  Makers
	Channels Makers
	// Retired are kinds of sources that people may still ask for, by their names.
	Retired map[string]Retired
}

// Retired is a kind of source that cannot be configured, because its service is there no more.
type Retired struct {
	Why  string // what has become of the service, such as "the API was turned off in May 2020"
	Want string // what is wanted instead, such as "another-kind, which has the same data"
}

// Makers make the settings of each kind, by its name. Each function returns a pointer to a new struct that
// holds the kind's defaults; its fields are set from the keys named by their `toml` tags. Field types are string, int,
// float64, bool, []string, and structs, maps and slices of those. A field tagged `toml:"token,secret"`, a string or a
// Secret, can also be given as token_file = "path" and as token = "${NAME}". Settings that implement Checker are asked for problems.
type Makers map[string]func() any

// A Checker finds problems in settings beyond the types of their keys.
type Checker interface {
	// Check calls report for each: the key, what is wrong with what it holds ("7 is too short") and what is wanted.
	Check(report func(key, what, want string))
}

// NoKeys is the kind of a source without keys of its own.
func NoKeys() any { return &struct{}{} }

// Default returns the Config of an empty file: one person "me" in the machine's zone.
func Default(env Env) Config {
	c, _, _ := load("", nil, env, Kinds{})
	return c
}

// Find returns the path of the config file to load: flag if not empty, else $WALKD_CONFIG, else the first that exists of
// $XDG_CONFIG_HOME/walkd/config.toml and /etc/walkd/config.toml, else "". A file asked for by flag or variable has to
// exist.
func Find(flag string, env Env) (path string, err error) {
	if path, origin := flag, "--config"; path != "" || env.Getenv("WALKD_CONFIG") != "" {
		if path == "" {
			path, origin = env.Getenv("WALKD_CONFIG"), "$WALKD_CONFIG"
		}
		if _, err := env.Stat(path); err != nil {
			return "", fmt.Errorf("%s: %w", origin, err)
		}
		return path, nil
	}
	places := []string{"/etc/walkd/config.toml"}
	if dir := env.xdg("XDG_CONFIG_HOME", ".config"); dir != "" {
		places = append([]string{filepath.Join(dir, "walkd", "config.toml")}, places...)
	}
	for _, place := range places {
		switch _, err := env.Stat(place); {
		case err == nil:
			return place, nil
		case !isMissing(err):
			return "", fmt.Errorf("config: %w", err)
		}
	}
	return "", nil
}

// Load reads the file at path, or takes the defaults if path is "". Besides the Config it returns warnings: what works
// and should still be changed. If the file has mistakes the error is a Problems that lists them all, and the Config holds
// what could be made of the rest.
func Load(path string, env Env, kinds Kinds) (Config, []Problem, error) {
	var text []byte
	if path != "" {
		var err error
		if text, err = env.ReadFile(path); err != nil {
			return Config{}, nil, fmt.Errorf("config: %w", err)
		}
	}
	return load(path, text, env, kinds)
}

// The sections as they stand in the file. Each is decoded by itself, over its defaults.
type (
	fileKeys struct {
		DataDir   string           `toml:"data_dir"`
		LogLevel  string           `toml:"log_level"`
		LogFormat string           `toml:"log_format"`
		TokenKey  Secret           `toml:"token_key,secret"`
		Web       map[string]any   `toml:"web"`
		Influx    map[string]any   `toml:"influx"`
		Person    []map[string]any `toml:"person"`
	}
	webKeys struct {
		Listen              string   `toml:"listen"`
		Pages               bool     `toml:"pages"`
		BaseURL             string   `toml:"base_url"`
		Password            Secret   `toml:"password,secret"`
		TrustedProxies      []string `toml:"trusted_proxies"`
		MetricsHealthValues bool     `toml:"metrics_health_values"`
	}
	influxKeys struct {
		URL    string `toml:"url"`
		Org    string `toml:"org"`
		Bucket string `toml:"bucket"`
		Token  Secret `toml:"token,secret"`
	}
	personKeys struct {
		Name          string           `toml:"name"`
		Timezone      string           `toml:"timezone"`
		TargetMinutes int              `toml:"target_minutes"`
		Walking       string           `toml:"walking"`
		Nudges        map[string]any   `toml:"nudges"`
		Travel        []map[string]any `toml:"travel"`
		Source        []map[string]any `toml:"source"`
		Channel       []map[string]any `toml:"channel"`
	}
	nudgesKeys struct {
		Quiet     string         `toml:"quiet"`
		MaxPerDay int            `toml:"max_per_day"`
		Behind    map[string]any `toml:"behind"`
	}
	behindKeys struct {
		From string `toml:"from"`
	}
	travelKeys struct {
		From     any    `toml:"from"`
		Timezone string `toml:"timezone"`
	}
	sourceKeys struct {
		Kind    string         `toml:"kind"`
		Name    string         `toml:"name"`
		Origins []string       `toml:"origins"`
		Own     map[string]any `toml:",remain"`
	}
	channelKeys struct {
		Kind string         `toml:"kind"`
		Name string         `toml:"name"`
		Own  map[string]any `toml:",remain"`
	}
)

func load(path string, text []byte, env Env, kinds Kinds) (Config, []Problem, error) {
	l := &loader{file: path, env: env, kinds: kinds}
	tree, err := l.parse(text)
	if err != nil {
		return Config{}, nil, err
	}
	c := l.config(tree)
	l.sort()
	if len(l.problems) > 0 {
		return c, l.warnings, Problems(l.problems)
	}
	return c, l.warnings, nil
}

func (l *loader) config(tree map[string]any) Config {
	f := fileKeys{LogLevel: "info", LogFormat: "text"}
	l.section("", tree, &f)
	c := Config{DataDir: l.path(f.DataDir), LogFormat: f.LogFormat}
	if f.DataDir == "" {
		c.DataDir = l.env.dataDir()
	}
	levels := map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
	}
	l.oneOf("log_level", f.LogLevel, "debug", "info", "warn", "error")
	c.LogLevel = levels[f.LogLevel]
	l.oneOf("log_format", f.LogFormat, "text", "json")
	if c.TokenKey = f.TokenKey; c.TokenKey.Reveal() != "" {
		if _, err := vault.New(c.TokenKey.Reveal()); err != nil {
			at := "token_key"
			if l.lines[at] == 0 {
				at += "_file"
			}
			l.problem(at, err.Error(), "a random key, as `openssl rand -base64 32` makes one")
		}
	}
	c.Web = l.web(f.Web)
	c.Influx = l.influx(f.Influx)
	if len(f.Person) == 0 {
		f.Person = []map[string]any{nil}
	}
	for i, keys := range f.Person {
		c.People = append(c.People, l.person(fmt.Sprintf("person[%d]", i), keys, len(f.Person) == 1))
	}
	l.unique("person", ".name", len(c.People), func(i int) string { return c.People[i].Name })
	return c
}

func (l *loader) web(keys map[string]any) Web {
	in := webKeys{Listen: "127.0.0.1:8099", Pages: true}
	before := len(l.problems)
	l.section("web", keys, &in)
	w := Web{Listen: in.Listen, Pages: in.Pages, Password: in.Password, MetricsHealthValues: in.MetricsHealthValues}
	if w.Listen != "" {
		l.checkListen("web.listen", w.Listen)
	}
	if in.BaseURL != "" {
		w.BaseURL = l.baseURL("web.base_url", in.BaseURL)
	}
	if n := len([]rune(w.Password.Reveal())); n > 0 && n < leastPassword {
		key := "web.password"
		if _, inFile := keys["password_file"]; inFile {
			key += "_file"
		}
		l.problem(key, fmt.Sprintf("the password has %d characters", n), fmt.Sprintf("%d or more", leastPassword))
	}
	for i, text := range in.TrustedProxies {
		if p, ok := l.proxy(fmt.Sprintf("web.trusted_proxies[%d]", i), text); ok {
			w.TrustedProxies = append(w.TrustedProxies, p)
		}
	}
	if !w.Pages {
		for _, key := range []string{"base_url", "password", "password_file", "trusted_proxies"} {
			if _, given := keys[key]; given && keys[key] != "" {
				l.warn("web."+key, "has no effect without pages", "web.pages = true, or this left out")
			}
		}
		return w
	}
	if len(l.problems) == before && w.Password.Reveal() == "" && len(w.TrustedProxies) == 0 {
		l.needPassword(w)
	}
	return w
}

// leastPassword is how many characters a password has at least. Guessing is slowed down besides.
const leastPassword = 8

// needPassword reports pages that other machines can reach, which show to anybody how people walk.
func (l *loader) needPassword(w Web) {
	const want = `web.password_file, or web.trusted_proxies if a proxy asks who it is, or pages = false for health and metrics alone`
	switch {
	case w.Listen == "":
	case !isLocalAddress(w.Listen):
		l.problem("web.listen", quote(w.Listen)+" can be reached from other machines, and the pages have no password",
			want+`, or an address of this machine like "127.0.0.1:8099"`)
	case w.BaseURL != "" && !isLocalURL(w.BaseURL):
		l.problem("web.base_url", quote(w.BaseURL)+" is not of this machine, and the pages have no password", want)
	}
}

func (l *loader) influx(keys map[string]any) Influx {
	var in influxKeys
	l.section("influx", keys, &in)
	if in.URL == "" {
		for _, key := range sortedKeys(keys) {
			if key != "url" && keys[key] != "" {
				l.warn("influx."+key, "has no effect without a URL", "influx.url too, or nothing in this section")
			}
		}
		return Influx(in)
	}
	l.checkURL("influx.url", in.URL)
	if in.Bucket == "" {
		l.problem("influx.bucket", "missing", `the bucket to write to ("database/retention policy" for InfluxDB 1.8)`)
	}
	return Influx(in)
}

func (l *loader) person(at string, keys map[string]any, only bool) Person {
	in := personKeys{Name: "me", TargetMinutes: walking.DefaultTarget, Walking: "normal"}
	l.section(at, keys, &in)
	if _, named := keys["name"]; !named && !only {
		in.Name = ""
		l.problem(at+".name", "missing", "a name for each of several people")
	} else {
		l.checkName(at+".name", in.Name, personName)
	}
	p := Person{Name: in.Name, TargetMinutes: in.TargetMinutes, Home: l.env.zone(), Limited: in.Walking == "limited"}
	if in.Timezone != "" {
		p.Home = l.zone(at+".timezone", in.Timezone)
	}
	if in.TargetMinutes < 1 || in.TargetMinutes > 24*60 {
		l.problem(at+".target_minutes", fmt.Sprintf("%d is out of range", in.TargetMinutes), "1 to 1440 minutes a day")
	}
	l.oneOf(at+".walking", in.Walking, "normal", "limited")
	p.Quiet, p.Nudges = l.nudges(at+".nudges", in.Nudges)
	p.Travel = l.travel(at+".travel", in.Travel)
	for i, keys := range in.Source {
		p.Sources = append(p.Sources, l.source(fmt.Sprintf("%s.source[%d]", at, i), keys))
	}
	l.unique(at+".source", ".name", len(p.Sources), func(i int) string { return p.Sources[i].Name })
	for i, keys := range in.Channel {
		p.Channels = append(p.Channels, l.channel(fmt.Sprintf("%s.channel[%d]", at, i), keys))
	}
	l.unique(at+".channel", ".name", len(p.Channels), func(i int) string { return p.Channels[i].Name })
	return p
}

func (l *loader) nudges(at string, keys map[string]any) (quiet walking.WallRange, nudges Nudges) {
	n := nudgesKeys{Quiet: "21:30-08:00", MaxPerDay: 4}
	l.section(at, keys, &n)
	from, to, found := strings.Cut(n.Quiet, "-")
	start, err1 := walking.ParseWallTime(strings.TrimSpace(from))
	end, err2 := walking.ParseWallTime(strings.TrimSpace(to))
	if quiet = (walking.WallRange{From: start, To: end}); !found || err1 != nil || err2 != nil || start == end {
		l.problem(at+".quiet", quote(n.Quiet)+" is not a stretch of the day", `HH:MM-HH:MM, like "21:30-08:00"`)
		quiet = walking.WallRange{}
	}
	if n.MaxPerDay < 0 || n.MaxPerDay > 24 {
		l.problem(at+".max_per_day", fmt.Sprintf("%d is out of range", n.MaxPerDay), "0 to 24 nudges a day")
	}
	behind := behindKeys{From: "12:00"}
	l.section(at+".behind", n.Behind, &behind)
	since, err := walking.ParseWallTime(behind.From)
	if err != nil {
		l.problem(at+".behind.from", quote(behind.From)+" is not a time of day", `HH:MM, like "12:00"`)
	}
	return quiet, Nudges{MaxPerDay: n.MaxPerDay, BehindFrom: since}
}

func (l *loader) travel(at string, entries []map[string]any) []walking.ZoneChange {
	var out []walking.ZoneChange
	taken := map[time.Time]string{}
	for i, keys := range entries {
		at := fmt.Sprintf("%s[%d]", at, i)
		var t travelKeys
		l.section(at, keys, &t)
		zone := time.UTC
		if t.Timezone == "" {
			l.problem(at+".timezone", "missing", `the zone of the place, like "America/New_York"`)
		} else {
			zone = l.zone(at+".timezone", t.Timezone)
		}
		if from, ok := l.instant(at+".from", t.From, zone); ok {
			if other := taken[from]; other != "" {
				l.problem(at+".from", "the same instant as "+other+".from", "one zone at a time")
			}
			taken[from] = at
			out = append(out, walking.ZoneChange{From: from, Zone: zone})
		}
	}
	sortChanges(out)
	return out
}

func (l *loader) source(at string, keys map[string]any) Source {
	var s sourceKeys
	l.section(at, keys, &s)
	src := Source{Kind: s.Kind, Name: s.Name, Origins: s.Origins}
	if _, named := keys["name"]; !named {
		src.Name = s.Kind
	}
	gone, retired := l.kinds.Retired[s.Kind]
	switch {
	case retired:
		l.problem(at+".kind", quote(s.Kind)+" is no more: "+gone.Why, gone.Want)
		return src
	case !l.known(at, s.Kind, l.kinds.Sources):
		return src
	}
	l.checkName(at+".name", src.Name, sourceName)
	for i, o := range s.Origins {
		if strings.TrimSpace(o) == "" {
			l.problem(fmt.Sprintf("%s.origins[%d]", at, i), quote(o)+" is empty", "the name of an app or device")
		}
	}
	l.unique(at+".origins", "", len(s.Origins), func(i int) string { return s.Origins[i] })
	src.Settings = l.own(at, s.Own, l.kinds.Sources[s.Kind], "kind", "name", "origins")
	return src
}

func (l *loader) channel(at string, keys map[string]any) Channel {
	var k channelKeys
	l.section(at, keys, &k)
	c := Channel{Kind: k.Kind, Name: k.Name}
	if _, named := keys["name"]; !named {
		c.Name = k.Kind
	}
	if !l.known(at, k.Kind, l.kinds.Channels) {
		return c
	}
	l.checkName(at+".name", c.Name, sourceName)
	c.Settings = l.own(at, k.Own, l.kinds.Channels[k.Kind], "kind", "name")
	return c
}

// known reports whether kind is one of makers, and a problem if it is not.
func (l *loader) known(at, kind string, makers Makers) bool {
	_, known := makers[kind]
	switch {
	case kind == "":
		l.problem(at+".kind", "missing", "one of "+list(sortedKeys(makers)))
	case !known:
		l.oneOf(at+".kind", kind, sortedKeys(makers)...)
	}
	return known
}

// own decodes the keys that a kind has of its own. common are those that the section has besides.
func (l *loader) own(at string, keys map[string]any, settings func() any, common ...string) any {
	made := settings()
	l.section(at, keys, made, common...)
	if c, ok := made.(Checker); ok {
		c.Check(func(key, what, want string) { l.problem(at+"."+key, what, want) })
	}
	return made
}
