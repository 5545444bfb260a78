package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// An Env is what the config takes from the machine.
type Env struct {
	Getenv   func(name string) string
	ReadFile func(path string) ([]byte, error)
	Stat     func(path string) (fs.FileInfo, error)
	Readlink func(path string) (string, error)
}

// Machine returns the Env of the machine that walkd runs on.
func Machine() Env {
	return Env{Getenv: os.Getenv, ReadFile: os.ReadFile, Stat: os.Stat, Readlink: os.Readlink}
}

// xdg returns the folder that variable names, or the one at path in the home folder, or "".
func (e Env) xdg(variable, path string) string {
	if dir := e.Getenv(variable); filepath.IsAbs(dir) { // the specification ignores relative ones
		return dir
	}
	if home := e.Getenv("HOME"); home != "" {
		return filepath.Join(home, path)
	}
	return ""
}

// dataDir returns the default folder of the store, or "" if there is no place for it.
func (e Env) dataDir() string {
	if first, _, _ := strings.Cut(e.Getenv("STATE_DIRECTORY"), ":"); first != "" {
		return first
	}
	if dir := e.xdg("XDG_STATE_HOME", filepath.Join(".local", "state")); dir != "" {
		return filepath.Join(dir, "walkd")
	}
	return ""
}

// zone returns the zone of the machine under its IANA name, which time.Local does not tell.
func (e Env) zone() *time.Location {
	var names []string
	if tz := strings.TrimPrefix(e.Getenv("TZ"), ":"); tz != "" {
		names = append(names, tz)
	}
	if target, err := e.Readlink("/etc/localtime"); err == nil {
		names = append(names, target)
	}
	if text, err := e.ReadFile("/etc/timezone"); err == nil {
		names = append(names, strings.TrimSpace(string(text)))
	}
	for _, name := range names {
		if _, after, found := strings.Cut(name, "zoneinfo/"); found {
			name = after
		}
		if name == "" || name == "Local" {
			continue
		}
		if zone, err := time.LoadLocation(name); err == nil {
			return zone
		}
	}
	return time.UTC
}

func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
