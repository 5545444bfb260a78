# walkd is built and checked with Go alone; make only remembers the commands. `make help` lists them.
.POSIX:
.NOTPARALLEL:
.PHONY: help build check ready lint fmt vet test soak bench tools clean

LINT = tools/bin/golangci-lint
# The race detector needs a C compiler. The binary does not: it is built without cgo.
RACE = $$(command -v gcc >/dev/null && echo -race)
# A tool that cannot be had is a loud skip on a user's machine and a failure in CI.
SKIP = { echo "SKIPPED: $@ cannot be had here" >&2; test "$$CI" != true; }

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' Makefile | expand -t 10

build: ## build the static binary build/walkd
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o build/walkd ./cmd/walkd

check: ready tools lint vet build test ## everything a change has to pass

# gcc and Chromium, where they are missing and can be installed.
INSTALL = test "$$(id -u)" = 0 && command -v apt-get >/dev/null && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq
ready:
	@command -v gcc >/dev/null || { $(INSTALL) gcc libc6-dev >/dev/null; } || \
		{ echo "SKIPPED: no gcc, so the tests run without the race detector" >&2; test "$$CI" != true; }
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || \
		{ $(INSTALL) chromium >/dev/null; } || \
		{ echo "SKIPPED: no Chromium, so no test looks at the pages in a browser" >&2; test "$$CI" != true; }
	go mod verify

lint: $(LINT) ## run the linters and check the format
	@if test -x $(LINT); then echo $(LINT) run && $(LINT) run ./...; fi

fmt: $(LINT) ## format the code
	$(LINT) fmt ./...

vet:
	go vet ./...

test: ## run the tests with the race detector
	go test $(RACE) -timeout 20m ./...

soak: tools ## run the long forms of the tests, then every fuzz target for FUZZTIME (60s)
	WALKD_SOAK=1 go test $(RACE) -timeout 6h ./...
	sh tools/fuzz.sh "$${FUZZTIME:-60s}"

bench: tools ## run the benchmarks, into build/bench.txt
	@mkdir -p build
	go test -run '^$$' -bench . -benchmem -timeout 60m \
		$$(grep -rl --include='*_test.go' '^func Benchmark' cmd internal | xargs -n1 dirname | sort -u | sed 's|^|./|') \
		> build/bench.txt; status=$$?; cat build/bench.txt; exit $$status

tools: tools/bin/influxd $(LINT) ## build the tools that the checks use, from the Go module proxy

# A real InfluxDB 1.8 server for the tests of the projection.
tools/bin/influxd: tools/influxd/go.mod
	cd tools/influxd && go build -trimpath -o ../bin/influxd github.com/influxdata/influxdb/cmd/influxd || $(SKIP)
	@touch -c $@

$(LINT): tools/lint/go.mod
	cd tools/lint && CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o ../bin/golangci-lint \
		github.com/golangci/golangci-lint/v2/cmd/golangci-lint || $(SKIP)
	@touch -c $@

clean: ## remove what was built
	rm -rf build tools/bin
