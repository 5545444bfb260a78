package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"walkd": func() { os.Exit(testApp().main(os.Args[1:])) }})
}

// testApp is the app with the clock that $TEST_NOW sets going, if it is set.
func testApp() *app {
	a := newApp()
	if text := os.Getenv("TEST_NOW"); text != "" {
		start, err := time.Parse(time.RFC3339, text)
		if err != nil {
			panic(err)
		}
		begin := time.Now()
		a.now = func() time.Time { return start.Add(time.Since(begin)) }
	}
	return a
}

// The scripts run walkd as a person types it. Besides the usual commands there are:
//
//	status CODE COMMAND…   run a command and check its exit code
//	await FILE             wait until a file is there
//	terminate DIR          send SIGTERM to the process that has the data folder
//	schema FILE N          write a schema number into a database
//	refused DIR WHAT…      every command refuses the database in DIR, says WHAT, and leaves the file as it is
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("TZ", "Europe/Oslo")
			e.Setenv("TEST_NOW", "2026-11-20T16:05:00+01:00")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status": scriptStatus, "await": scriptAwait, "terminate": scriptTerminate, "schema": scriptSchema, "refused": scriptRefused,
		},
		RequireExplicitExec: true,
		UpdateScripts:       *update,
	})
}

func scriptStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status CODE COMMAND…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func scriptAwait(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: await FILE")
	}
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
	}
	ts.Fatalf("%s does not appear", args[0])
}

func scriptTerminate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: terminate DIR")
	}
	pid, err := strconv.Atoi(strings.TrimSpace(ts.ReadFile(filepath.Join(args[0], "walkd.lock"))))
	ts.Check(err)
	ts.Check(syscall.Kill(pid, syscall.SIGTERM))
}

// scriptSchema writes a version into the header of a SQLite file, where PRAGMA user_version has it.
func scriptSchema(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: schema FILE N")
	}
	n, err := strconv.ParseUint(args[1], 10, 32)
	ts.Check(err)
	f, err := os.OpenFile(ts.MkAbs(args[0]), os.O_WRONLY, 0)
	ts.Check(err)
	_, err = f.WriteAt(binary.BigEndian.AppendUint32(nil, uint32(n)), 60)
	ts.Check(errors.Join(err, f.Close()))
}

func scriptRefused(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: refused DIR WHAT…")
	}
	path := ts.MkAbs(filepath.Join(args[0], "walkd.db"))
	before, err := os.ReadFile(path)
	ts.Check(err)
	for _, command := range []string{"days", "today", "run", "check", "demo", "backup x.db", "import csv steps.csv"} {
		scriptStatus(ts, false, append([]string{"1", "walkd", "--data-dir", args[0]}, strings.Fields(command)...))
		said := ts.ReadFile("stderr") + ts.ReadFile("stdout") // check prints what it finds
		for _, want := range args[1:] {
			if !strings.Contains(said, want) {
				ts.Fatalf("walkd %s says %q, want %q in it", command, said, want)
			}
		}
		after, err := os.ReadFile(path)
		ts.Check(err)
		if !bytes.Equal(before, after) {
			ts.Fatalf("walkd %s has changed the file", command)
		}
	}
}
