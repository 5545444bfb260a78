#!/bin/sh
# Runs every fuzz target of the module, one after the other, each for the time given (default 60s).
# A failing input is kept by go test in the package's testdata/fuzz; commit it with the fix.
set -eu
time=${1:-60s}
for dir in $(grep -rl --include='*_test.go' '^func Fuzz' cmd internal | xargs -n1 dirname | sort -u); do
	for target in $(go test -list '^Fuzz' "./$dir" | grep '^Fuzz'); do
		echo "== $dir $target"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "./$dir"
	done
done
