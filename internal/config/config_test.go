package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/pelletier/go-toml/v2"

	"github.com/walkd/walkd/internal/walking"
)

var update = flag.Bool("update", false, "write the golden files")

const file = "/etc/walkd/config.toml"

// machine returns an Env with the given variables and files, by their absolute paths.
func machine(variables map[string]string, files fstest.MapFS) Env {
	rooted := func(path string) string { return strings.TrimPrefix(path, "/") }
	return Env{
		Getenv: func(name string) string { return variables[name] },
		ReadFile: func(path string) ([]byte, error) {
			text, err := fs.ReadFile(files, rooted(path))
			if err != nil {
				return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
			}
			return text, nil
		},
		Stat: func(path string) (fs.FileInfo, error) { return fs.Stat(files, rooted(path)) },
		Readlink: func(path string) (string, error) {
			if f, ok := files[rooted(path)]; ok && f.Mode&fs.ModeSymlink != 0 {
				return string(f.Data), nil
			}
			return "", &fs.PathError{Op: "readlink", Path: path, Err: fs.ErrNotExist}
		},
	}
}

type cloudKeys struct {
	ClientID     string `toml:"client_id"`
	ClientSecret Secret `toml:"client_secret,secret"`
	LookBack     int    `toml:"look_back"`
	Limits       struct {
		Rate float64 `toml:"rate"`
	} `toml:"limits"`
}

func (c *cloudKeys) Check(report func(key, what, want string)) {
	if c.LookBack < 0 {
		report("look_back", fmt.Sprintf("%d is negative", c.LookBack), "a number of days")
	}
}

var kinds = Kinds{
	Sources: Makers{
		"fitabase": NoKeys, "apple-health": NoKeys, "csv": NoKeys,
		"cloud":         func() any { return &cloudKeys{LookBack: 7} },
		"google-health": func() any { return &oauthKeys{} },
		"oura":          func() any { return &oauthKeys{} },
		"polar":         func() any { return &oauthKeys{} },
		"withings":      func() any { return &oauthKeys{} },
	},
	Channels: Makers{
		"log": NoKeys, "ntfy": func() any { return &ntfyKeys{Priority: 3} },
	},
	Retired: map[string]Retired{
		"fitbit": {Why: "the Fitbit Web API was turned off in October 2026", Want: `"google-health", which has its data`},
		"pigeon": {Why: "pigeons do not count steps", Want: `"csv"`},
	},
}

type oauthKeys struct {
	ClientID     string `toml:"client_id"`
	ClientSecret string `toml:"client_secret,secret"`
	RedirectURL  string `toml:"redirect_url"`
}

type ntfyKeys struct {
	URL      string `toml:"url"`
	Token    Secret `toml:"token,secret"`
	Priority int    `toml:"priority"`
}

func (k *ntfyKeys) Check(report func(key, what, want string)) {
	if k.URL == "" {
		report("url", "missing", "the topic's address")
	}
}

// loadText loads text as the config file of a machine in Berlin.
func loadText(text string, variables map[string]string, files fstest.MapFS) (Config, []Problem, error) {
	all := fstest.MapFS{
		"etc/walkd/config.toml": {Data: []byte(text)},
		"etc/walkd/token":       {Data: []byte("from-file\n"), Mode: 0o600},
		"etc/walkd/empty":       {Data: []byte("\n"), Mode: 0o600},
		"etc/walkd/open":        {Data: []byte("from-open-file\n"), Mode: 0o644},
		"etc/walkd/short":       {Data: []byte("31415\n"), Mode: 0o600},
		"etc/localtime":         {Data: []byte("../usr/share/zoneinfo/Europe/Berlin"), Mode: fs.ModeSymlink},
	}
	for name, f := range files {
		all[name] = f
	}
	vars := map[string]string{"HOME": "/home/alex", "INFLUX_TOKEN": "from-variable"}
	for name, v := range variables {
		vars[name] = v
	}
	return Load(file, machine(vars, all), kinds)
}

func TestMistakes(t *testing.T) {
	files, err := filepath.Glob("testdata/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no test files: %v", err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".toml"), func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			_, warnings, err := loadText(string(text), nil, nil)
			var got strings.Builder
			if err != nil {
				var all Problems
				if !errors.As(err, &all) {
					t.Fatalf("the error is a %T: %v", err, err)
				}
				fmt.Fprintln(&got, err)
			}
			for _, w := range warnings {
				fmt.Fprintln(&got, "warning:", w)
			}
			if got.Len() == 0 {
				t.Fatal("no mistake was found")
			}
			report := strings.ReplaceAll(got.String(), file, "config.toml")
			if strings.Contains(report, "hunter2") || strings.Contains(report, "31415926") {
				t.Errorf("a secret is shown: %s", report)
			}
			golden(t, strings.TrimSuffix(name, ".toml")+".want", report)
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func TestTenMistakesAreTenLines(t *testing.T) {
	text, err := os.ReadFile("testdata/ten.toml")
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = loadText(string(text), nil, nil)
	if err == nil {
		t.Fatal("no mistake was found")
	}
	if got := strings.Count(err.Error(), "\n") + 1; got != 10 {
		t.Errorf("%d lines, want 10:\n%v", got, err)
	}
}

var compare = cmp.Options{
	cmp.Comparer(func(a, b *time.Location) bool { return a.String() == b.String() }),
	cmp.Comparer(func(a, b Secret) bool { return a.Reveal() == b.Reveal() }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmpopts.EquateEmpty(),
}

func mustZone(t testing.TB, name string) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func TestEmptyFileRuns(t *testing.T) {
	want := Config{
		DataDir:   "/home/alex/.local/state/walkd",
		LogLevel:  slog.LevelInfo,
		LogFormat: "text",
		Web:       Web{Listen: "127.0.0.1:8099", Pages: true},
		People: []Person{{
			Name: "me", Home: mustZone(t, "Europe/Berlin"), TargetMinutes: 100,
			Quiet:  walking.WallRange{From: 21*60 + 30, To: 8 * 60},
			Nudges: Nudges{MaxPerDay: 4, BehindFrom: 12 * 60},
		}},
	}
	got, warnings, err := loadText("", nil, nil)
	if err != nil || len(warnings) > 0 {
		t.Fatal(warnings, err)
	}
	if diff := cmp.Diff(want, got, compare); diff != "" {
		t.Errorf("empty file (-want +got):\n%s", diff)
	}
	env := machine(map[string]string{"HOME": "/home/alex", "TZ": "Europe/Berlin"}, nil)
	if diff := cmp.Diff(want, Default(env), compare); diff != "" {
		t.Errorf("Default (-want +got):\n%s", diff)
	}
}

const tokenKey = "a-key-of-more-than-32-random-characters"

func TestEverythingSet(t *testing.T) {
	got, warnings, err := loadText(`
data_dir = "~/steps"
log_level = "debug"
log_format = "json"
token_key = "${TOKEN_KEY}"

[web]
listen = ":80"
base_url = "https://Walkd.example.org/"
password_file = "token"
trusted_proxies = ["192.168.1.2", "10.1.2.3/8", "::1", "::ffff:192.168.1.3"]
metrics_health_values = true

[influx]
url = "https://influx.example.org/prefix"
org = "home"
bucket = "walking/autogen"
token_file = "token"

[[person]]
name = "Zoë O'Neil"
timezone = "Europe/Oslo"
target_minutes = 120
walking = "limited"
nudges.quiet = "00:30-09:00"
nudges.max_per_day = 2
nudges.behind.from = "13:30"

# The way back stands first on purpose.
[[person.travel]]
from = "2026-11-27T08:00"
timezone = "Europe/Oslo"
[[person.travel]]
from = 2026-11-20T19:30:00-08:00
timezone = "America/Los_Angeles"

[[person.source]]
kind = "cloud"
name = "watch"
client_id = "abc"
client_secret = "${INFLUX_TOKEN}"
limits.rate = 2
[[person.source]]
kind = "apple-health"
origins = ["Watch", "iPhone"]

[[person.channel]]
kind = "log"
[[person.channel]]
kind = "ntfy"
name = "phone"
url = "https://ntfy.sh/abc"
token = "${INFLUX_TOKEN}"

[[person]]
name = "kim"
[[person.source]]
kind = "csv"
`, map[string]string{"TOKEN_KEY": tokenKey}, nil)
	if err != nil || len(warnings) > 0 {
		t.Fatal(warnings, err)
	}
	oslo, west := mustZone(t, "Europe/Oslo"), mustZone(t, "America/Los_Angeles")
	cloud := &cloudKeys{ClientID: "abc", ClientSecret: NewSecret("from-variable"), LookBack: 7}
	cloud.Limits.Rate = 2
	want := Config{
		DataDir:   "/home/alex/steps",
		LogLevel:  slog.LevelDebug,
		LogFormat: "json",
		TokenKey:  NewSecret(tokenKey),
		Web: Web{
			Listen: ":80", Pages: true, BaseURL: "https://walkd.example.org", Password: NewSecret("from-file"),
			TrustedProxies: []netip.Prefix{
				netip.MustParsePrefix("192.168.1.2/32"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128"),
				netip.MustParsePrefix("192.168.1.3/32"),
			},
			MetricsHealthValues: true,
		},
		Influx: Influx{
			URL: "https://influx.example.org/prefix", Org: "home", Bucket: "walking/autogen", Token: NewSecret("from-file"),
		},
		People: []Person{
			{
				Name: "Zoë O'Neil", Home: oslo, TargetMinutes: 120, Limited: true,
				Quiet:  walking.WallRange{From: 30, To: 9 * 60},
				Nudges: Nudges{MaxPerDay: 2, BehindFrom: 13*60 + 30},
				Travel: []walking.ZoneChange{
					{From: time.Date(2026, 11, 21, 3, 30, 0, 0, time.UTC), Zone: west},
					{From: time.Date(2026, 11, 27, 7, 0, 0, 0, time.UTC), Zone: oslo},
				},
				Sources: []Source{
					{Kind: "cloud", Name: "watch", Settings: cloud},
					{
						Kind: "apple-health", Name: "apple-health", Origins: []string{"Watch", "iPhone"},
						Settings: &struct{}{},
					},
				},
				Channels: []Channel{
					{Kind: "log", Name: "log", Settings: &struct{}{}},
					{Kind: "ntfy", Name: "phone", Settings: &ntfyKeys{
						URL: "https://ntfy.sh/abc", Token: NewSecret("from-variable"), Priority: 3,
					}},
				},
			},
			{
				Name: "kim", Home: mustZone(t, "Europe/Berlin"), TargetMinutes: 100,
				Quiet:   walking.WallRange{From: 21*60 + 30, To: 8 * 60},
				Nudges:  Nudges{MaxPerDay: 4, BehindFrom: 12 * 60},
				Sources: []Source{{Kind: "csv", Name: "csv", Settings: &struct{}{}}},
			},
		},
	}
	if diff := cmp.Diff(want, got, compare); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
	if s := got.Influx.Token.Reveal(); s != "from-file" {
		t.Errorf("token %q", s)
	}
	preferred := []walking.StreamKey{
		{Source: "watch"},
		{Source: "apple-health", Origin: "Watch"},
		{Source: "apple-health", Origin: "iPhone"},
		{Source: "apple-health"},
	}
	if diff := cmp.Diff(preferred, got.People[0].Preferred()); diff != "" {
		t.Errorf("Preferred (-want +got):\n%s", diff)
	}
	at := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	if zone := got.People[0].Zones().At(at); zone.String() != west.String() {
		t.Errorf("zone on the trip is %s", zone)
	}
}

// TestPagesWithoutPassword is about those that start; testdata has those that do not.
func TestPagesWithoutPassword(t *testing.T) {
	for _, keys := range []string{
		`listen = "localhost:8099"`, `listen = "[::1]:8099"`, `listen = "127.0.0.2:0"`, `listen = ""`,
		"listen = \":8099\"\npages = false",
		"listen = \":8099\"\ntrusted_proxies = ['192.168.1.2']",
		"listen = \":8099\"\npassword = \"${INFLUX_TOKEN}\"",
		"base_url = \"http://localhost:80\"", "base_url = \"https://walkd.example.org:443\"\npassword_file = \"token\"",
	} {
		c, warnings, err := loadText("[web]\n"+keys, nil, nil)
		if err != nil || len(warnings) > 0 {
			t.Errorf("%s: %v, %v", keys, err, warnings)
		}
		if c.Web.BaseURL != "" && c.Web.BaseURL != "http://localhost" && c.Web.BaseURL != "https://walkd.example.org" {
			t.Errorf("%s: the base URL is %s", keys, c.Web.BaseURL)
		}
	}
}

func TestSecretPlaces(t *testing.T) {
	const influx = "[influx]\nurl = 'http://127.0.0.1:8086'\nbucket = 'walking'\n"
	credentials := map[string]string{"CREDENTIALS_DIRECTORY": "/run/credentials/walkd"}
	files := fstest.MapFS{
		"run/credentials/walkd/token": {Data: []byte("from-systemd"), Mode: 0o400},
		"home/alex/token":             {Data: []byte("from-home"), Mode: 0o600},
	}
	for _, tt := range []struct {
		name, text string
		variables  map[string]string
		want       string
	}{
		{"none", "", nil, ""},
		{"empty means none", "token = ''\ntoken_file = ''", nil, ""},
		{"literal", "token = 'as it stands'", nil, "as it stands"},
		{"variable", "token = '${INFLUX_TOKEN}'", nil, "from-variable"},
		{"dollar in a literal", "token = 'a$b{c}'", nil, "a$b{c}"},
		{"beside the config file", "token_file = 'token'", nil, "from-file"},
		{"from systemd", "token_file = 'token'", credentials, "from-systemd"},
		{"absolute under systemd", "token_file = '/home/alex/token'", credentials, "from-home"},
		{"in the home folder", "token_file = '~/token'", nil, "from-home"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, _, err := loadText(influx+tt.text, tt.variables, files)
			if err != nil {
				t.Fatal(err)
			}
			if c.Influx.Token.Reveal() != tt.want {
				t.Errorf("got %q, want %q", c.Influx.Token.Reveal(), tt.want)
			}
		})
	}
}

func TestSecretDoesNotShow(t *testing.T) {
	const hidden = "hunter2"
	s := NewSecret(hidden)
	holder := struct{ Token Secret }{s}
	var shown bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		fmt.Fprintf(&shown, verb+" "+verb+" "+verb+"\n", s, holder, &holder)
	}
	fmt.Fprintln(&shown, s, holder, []Secret{s}, map[string]any{"token": s})
	for _, marshal := range []func(any) ([]byte, error){json.Marshal, toml.Marshal} {
		b, err := marshal(holder)
		if err != nil {
			t.Fatal(err)
		}
		shown.Write(b)
	}
	slog.New(slog.NewTextHandler(&shown, nil)).Info("text", "token", s, "holder", holder)
	slog.New(slog.NewJSONHandler(&shown, nil)).Info("json", "token", s, "holder", holder)
	out := shown.String()
	for _, form := range []string{hidden, fmt.Sprintf("%x", hidden), fmt.Sprintf("%X", hidden)} {
		if strings.Contains(out, form) {
			t.Errorf("the secret shows as %s in:\n%s", form, out)
		}
	}
	if strings.Count(out, redacted) < 28 {
		t.Errorf("too little was printed:\n%s", out)
	}
	if got := fmt.Sprint(Secret{}); got != "" {
		t.Errorf("no secret shows as %q", got)
	}
}

func TestFind(t *testing.T) {
	here := func(paths ...string) fstest.MapFS {
		files := fstest.MapFS{}
		for _, p := range paths {
			files[strings.TrimPrefix(p, "/")] = &fstest.MapFile{}
		}
		return files
	}
	const home, xdg, etc = "/home/alex/.config/walkd/config.toml", "/xdg/walkd/config.toml", "/etc/walkd/config.toml"
	for _, tt := range []struct {
		name, flag string
		variables  map[string]string
		files      fstest.MapFS
		want       string
		wantErr    bool
	}{
		{name: "nothing", files: here()},
		{name: "etc", files: here(etc), want: etc},
		{name: "home before etc", files: here(etc, home), want: home},
		{name: "xdg", variables: map[string]string{"XDG_CONFIG_HOME": "/xdg"}, files: here(etc, home, xdg), want: xdg},
		{name: "relative xdg", variables: map[string]string{"XDG_CONFIG_HOME": "x"}, files: here(home), want: home},
		{name: "variable", variables: map[string]string{"WALKD_CONFIG": "/a"}, files: here("/a", home), want: "/a"},
		{name: "variable to nothing", variables: map[string]string{"WALKD_CONFIG": "/a"}, files: here(etc), wantErr: true},
		{name: "flag", flag: "/b", variables: map[string]string{"WALKD_CONFIG": "/a"}, files: here("/a", "/b"), want: "/b"},
		{name: "flag to nothing", flag: "/b", files: here(etc), wantErr: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			variables := map[string]string{"HOME": "/home/alex"}
			for k, v := range tt.variables {
				variables[k] = v
			}
			got, err := Find(tt.flag, machine(variables, tt.files))
			if got != tt.want || (err != nil) != tt.wantErr {
				t.Errorf("got %q, %v; want %q, error %t", got, err, tt.want, tt.wantErr)
			}
		})
	}
}

func TestMachinePlaces(t *testing.T) {
	link := func(to string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(to), Mode: fs.ModeSymlink} }
	for _, tt := range []struct {
		name      string
		variables map[string]string
		files     fstest.MapFS
		dir, zone string
	}{
		{name: "nothing known", zone: "UTC"},
		{
			name:      "systemd",
			variables: map[string]string{"STATE_DIRECTORY": "/var/lib/walkd:/var/lib/other", "HOME": "/root"},
			dir:       "/var/lib/walkd", zone: "UTC",
		},
		{
			name:      "xdg",
			variables: map[string]string{"XDG_STATE_HOME": "/state", "HOME": "/root", "TZ": ":Asia/Kathmandu"},
			dir:       "/state/walkd", zone: "Asia/Kathmandu",
		},
		{
			name:  "link",
			files: fstest.MapFS{"etc/localtime": link("/usr/share/zoneinfo/America/Argentina/Salta")},
			zone:  "America/Argentina/Salta",
		},
		{name: "timezone", files: fstest.MapFS{"etc/timezone": {Data: []byte("Europe/Oslo\n")}}, zone: "Europe/Oslo"},
		{name: "nonsense", variables: map[string]string{"TZ": "XYZ3"}, zone: "UTC"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := Default(machine(tt.variables, tt.files))
			if c.DataDir != tt.dir || c.People[0].Home.String() != tt.zone {
				t.Errorf("data in %q, zone %s; want %q, %s", c.DataDir, c.People[0].Home, tt.dir, tt.zone)
			}
		})
	}
}

func TestLoadUnreadable(t *testing.T) {
	if _, _, err := Load("/nowhere.toml", machine(nil, nil), Kinds{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestSuggestedZonesExist(t *testing.T) {
	for _, name := range strings.Fields(zoneNames) {
		if _, err := time.LoadLocation(name); err != nil {
			t.Errorf("zones.txt: %v", err)
		}
	}
}

// knownKeys returns the keys of all sections as they stand in the file, and the names of the sections.
func knownKeys() (keys, sections []string) {
	for section, t := range map[string]any{
		"": fileKeys{}, "web.": webKeys{}, "influx.": influxKeys{}, "person.": personKeys{},
		"person.nudges.": nudgesKeys{}, "person.nudges.behind.": behindKeys{}, "person.travel.": travelKeys{},
		"person.source.": sourceKeys{}, "person.channel.": channelKeys{},
	} {
		sections = append(sections, section)
		for i := range reflect.TypeOf(t).NumField() {
			name, option, _ := strings.Cut(reflect.TypeOf(t).Field(i).Tag.Get("toml"), ",")
			if name != "" {
				keys = append(keys, section+name)
			}
			if option == "secret" {
				keys = append(keys, section+name+"_file")
			}
		}
	}
	return keys, sections
}

// In the example every key with a default stands as a line of its own, and every optional one in a comment without a
// space after the #.
func TestExample(t *testing.T) {
	text, err := os.ReadFile("../../config.example.toml")
	if err != nil {
		t.Fatal(err)
	}
	got, warnings, err := loadText(string(text), nil, nil)
	if err != nil || len(warnings) > 0 {
		t.Fatal(warnings, err)
	}
	defaults, _, err := loadText("", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(defaults, got, compare); diff != "" {
		t.Errorf("the example does not show the defaults (-default +example):\n%s", diff)
	}

	all := regexp.MustCompile(`(?m)^#([^ #\n])`).ReplaceAllString(string(text), "$1")
	secret := &fstest.MapFile{Data: []byte("x"), Mode: 0o600}
	_, _, err = loadText(all, map[string]string{"WALKD_INFLUX_TOKEN": "x", "WALKD_WEB_PASSWORD": "x"}, fstest.MapFS{
		"etc/walkd/google-secret": secret, "etc/walkd/oura-secret": secret, "etc/walkd/polar-secret": secret,
		"etc/walkd/withings-secret": secret, "etc/walkd/ntfy-token": secret,
	})
	var twice Problems
	errors.As(err, &twice)
	wanted := []string{"either token_key or token_key_file", "either password or password_file", "either token or token_file"}
	for i, want := range wanted {
		if len(twice) != len(wanted) || !strings.HasSuffix(twice[i].Error(), want) {
			t.Errorf("the example with all comments taken away: %v", err)
		}
	}
	shown := func(text string) map[string]bool {
		l := &loader{}
		if _, err := l.parse([]byte(text)); err != nil {
			t.Fatal(err)
		}
		keys := map[string]bool{}
		for key := range l.lines {
			keys[regexp.MustCompile(`\[\d+\]`).ReplaceAllString(key, "")] = true
		}
		return keys
	}
	inAll, live := shown(all), shown(string(text))
	keys, sections := knownKeys()
	optional := []string{
		"influx.token", "influx.token_file", "token_key", "token_key_file", "web.password", "web.password_file",
	}
	for _, key := range keys {
		if !inAll[key] {
			t.Errorf("%s does not stand in the example", key)
		}
		isList := slices.Contains(sections, key+".")
		example := strings.HasPrefix(key, "person.travel") || strings.HasPrefix(key, "person.source") ||
			strings.HasPrefix(key, "person.channel")
		if !live[key] && !isList && !example && !slices.Contains(optional, key) {
			t.Errorf("%s does not stand in the example with its default", key)
		}
	}
}

func FuzzLoad(f *testing.F) {
	files, err := filepath.Glob("testdata/*.toml")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range append(files, "../../config.example.toml") {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, warnings, err := loadText(text, nil, nil)
		var all Problems
		if err == nil {
			if len(c.People) == 0 {
				t.Error("nobody")
			}
			for _, p := range c.People {
				if p.Home == nil || p.Name == "" || p.TargetMinutes < 1 || p.Quiet.From == p.Quiet.To {
					t.Errorf("half a person: %+v", p)
				}
			}
		} else if !errors.As(err, &all) || len(all) == 0 {
			t.Errorf("the error is a %T: %v", err, err)
		}
		for _, p := range append(all, warnings...) {
			if p.Line < 0 || p.Line > strings.Count(text, "\n")+1 || p.What == "" || strings.Contains(p.Error(), "\n") {
				t.Errorf("bad problem: %+v", p)
			}
		}
	})
}
