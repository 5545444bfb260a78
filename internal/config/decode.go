package config

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// A loader turns one file into a Config and collects what is wrong with it.
type loader struct {
	file     string
	env      Env
	kinds    Kinds
	lines    map[string]int // the line of each key path
	problems []Problem
	warnings []Problem
}

// path returns the path of a file or folder that the config names: relative ones are beside the config file, and ~ is
// the home folder.
func (l *loader) path(name string) string {
	if rest, ok := strings.CutPrefix(name, "~/"); ok {
		return filepath.Join(l.env.Getenv("HOME"), rest)
	}
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(l.file), name)
}

// parse reads the TOML and notes the lines of all keys. Its errors are Problems with one element.
func (l *loader) parse(text []byte) (map[string]any, error) {
	var tree map[string]any
	if err := toml.Unmarshal(text, &tree); err != nil {
		p := Problem{File: l.file, What: strings.TrimPrefix(err.Error(), "toml: ")}
		var at *toml.DecodeError
		if errors.As(err, &at) {
			p.Line, p.Column = at.Position()
		}
		return nil, Problems{p}
	}
	l.lines = map[string]int{}
	arrays := map[string]int{} // how many tables of an array were seen
	var parser unstable.Parser
	parser.Reset(text)
	table := ""
	for parser.NextExpression() {
		switch e := parser.Expression(); e.Kind {
		case unstable.Table, unstable.ArrayTable:
			table = ""
			for it := e.Key(); it.Next(); {
				table = join(table, string(it.Node().Data))
				line := parser.Shape(it.Node().Raw).Start.Line
				l.note(table, line)
				if e.Kind == unstable.ArrayTable && it.IsLast() {
					arrays[table]++
				}
				if n := arrays[table]; n > 0 {
					table += "[" + strconv.Itoa(n-1) + "]"
				}
				l.note(table, line)
			}
		case unstable.KeyValue:
			l.noteKey(&parser, table, e)
		}
	}
	return tree, nil
}

func (l *loader) note(key string, line int) {
	if _, seen := l.lines[key]; !seen {
		l.lines[key] = line
	}
}

func (l *loader) noteKey(p *unstable.Parser, table string, kv *unstable.Node) {
	line := 0
	for it := kv.Key(); it.Next(); {
		table = join(table, string(it.Node().Data))
		line = p.Shape(it.Node().Raw).Start.Line
		l.note(table, line)
	}
	l.noteValue(p, table, line, kv.Value())
}

func (l *loader) noteValue(p *unstable.Parser, key string, line int, value *unstable.Node) {
	switch value.Kind {
	case unstable.InlineTable:
		for it := value.Children(); it.Next(); {
			l.noteKey(p, key, it.Node())
		}
	case unstable.Array:
		i := 0
		for it := value.Children(); it.Next(); i++ {
			at := key + "[" + strconv.Itoa(i) + "]"
			if raw := it.Node().Raw; raw.Length > 0 {
				line = p.Shape(raw).Start.Line
			}
			l.note(at, line)
			l.noteValue(p, at, line, it.Node())
		}
	}
}

// line returns the line of key, or of the nearest section around it that the file has, or 0.
func (l *loader) line(key string) int {
	for key != "" {
		if n := l.lines[key]; n > 0 {
			return n
		}
		cut := strings.LastIndexAny(key, ".[")
		key = key[:max(cut, 0)]
	}
	return 0
}

var bareKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// join returns the path of key inside of the section at path.
func join(path, key string) string {
	if !bareKey.MatchString(key) {
		key = quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// section decodes keys, which stand at the given path, into the struct that into points to. It reports keys that the
// struct does not know, with those of also as further suggestions, and values of the wrong type; their fields keep what
// they had.
func (l *loader) section(at string, keys map[string]any, into any, also ...string) {
	keys = maps.Clone(keys)
	fields := reflect.TypeOf(into).Elem()
	known := slices.Clone(also)
	secrets := map[string]string{}
	remain := false
	for i := range fields.NumField() {
		name, option, _ := strings.Cut(fields.Field(i).Tag.Get("toml"), ",")
		if option == "remain" {
			remain = true
			continue
		}
		if known = append(known, name); option == "secret" {
			known = append(known, name+"_file")
			if keys != nil {
				secrets[name] = l.secret(at, name, keys)
			}
		}
	}
	if !remain {
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			if !slices.Contains(known, key) {
				l.unknown(join(at, key), key, known)
				delete(keys, key)
			}
		}
	}
	for key, value := range secrets {
		keys[key] = value
	}
	decoder, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{
		Result:      into,
		TagName:     "toml",
		ErrorUnused: true,
		MatchName:   func(key, field string) bool { return key == field },
		DecodeHook:  checkType,
	})
	if err == nil {
		err = decoder.Decode(keys)
	}
	l.decodeErrors(at, err)
}

func (l *loader) unknown(at, key string, known []string) {
	didYouMean := nearest(key, known)
	want := "one of " + strings.Join(slices.Sorted(slices.Values(known)), ", ")
	if len(known) == 0 {
		want = "no keys here"
	}
	l.problemMeaning(at, "unknown key", want, didYouMean)
}

// decodeErrors reports the errors that mapstructure joined into err.
func (l *loader) decodeErrors(at string, err error) {
	var wrong mismatch
	switch e := err.(type) { //nolint:errorlint // the tree of errors is walked here
	case nil:
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			l.decodeErrors(at, err)
		}
	case *mapstructure.DecodeError:
		key := at
		if e.Name() != "" {
			key = strings.TrimPrefix(at+"."+e.Name(), ".")
		}
		if errors.As(e, &wrong) {
			l.problem(key, wrong.found, wrong.want)
			return
		}
		l.problem(key, e.Unwrap().Error(), "")
	default:
		if inner := errors.Unwrap(err); inner != nil {
			l.decodeErrors(at, inner)
			return
		}
		l.problem(at, err.Error(), "")
	}
}

// A mismatch is a value of the wrong type.
type mismatch struct{ found, want string }

func (m mismatch) Error() string { return m.found + ": want " + m.want }

// checkType is the hook that keeps mapstructure from converting: 100.7 is no int, whatever it says.
func checkType(from, to reflect.Value) (any, error) {
	value := from.Interface()
	var want string
	ok := true
	if s, ok := value.(string); ok && to.Type() == reflect.TypeFor[Secret]() {
		return Secret{s}, nil
	}
	switch to.Kind() {
	case reflect.String:
		_, ok = value.(string)
		want = "a string in quotes"
	case reflect.Int:
		n, isInt := value.(int64)
		ok, want = isInt && n >= math.MinInt32 && n <= math.MaxInt32, "a whole number"
	case reflect.Float64:
		switch value.(type) {
		case int64, float64:
		default:
			ok, want = false, "a number"
		}
	case reflect.Bool:
		_, ok = value.(bool)
		want = "true or false"
	case reflect.Slice:
		ok, want = from.Kind() == reflect.Slice, "a list in brackets"
		if to.Type().Elem().Kind() == reflect.Map {
			want = "a [[section]] in double brackets"
		}
	case reflect.Map, reflect.Struct:
		ok, want = from.Kind() == reflect.Map, "a [section] or { key = value }"
	case reflect.Interface:
	default:
		return nil, fmt.Errorf("settings of the type %s cannot be decoded", to.Type())
	}
	if ok {
		return value, nil
	}
	found := "the value is " + kindOf(value)
	switch v := value.(type) {
	case string:
		found = quote(v) + " is a string"
	case int64, float64, bool:
		found = fmt.Sprint(v) + " is " + kindOf(v)
	}
	return nil, mismatch{found, want}
}

// kindOf returns what the value is in the words of TOML, with an article.
func kindOf(v any) string {
	switch v := v.(type) {
	case string:
		return "a string"
	case int64:
		if v < math.MinInt32 || v > math.MaxInt32 {
			return "out of range"
		}
		return "a whole number"
	case float64:
		return "a fraction"
	case bool:
		return "a truth value"
	case []any:
		return "a list"
	case map[string]any:
		return "a section"
	case time.Time, toml.LocalDate, toml.LocalDateTime, toml.LocalTime:
		return "a date or time"
	default:
		return fmt.Sprintf("a %T", v)
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
