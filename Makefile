# certstate: make help lists the targets.
SHELL := /bin/bash

# Without SQLite's allocation statistics, readers do not wait for each other's
# allocations.
export CGO_CFLAGS ?= -O2 -g -DSQLITE_DEFAULT_MEMSTATUS=0

GO ?= go
# Executions: a time may fail without a finding (golang/go#75804, mended in Go 1.27).
FUZZTIME ?= 150000x

.PHONY: help run build test check vet lint vuln race purego fuzz test-corpora test-clients bench bench-query bench-backup bench-import bench-overload bench-postgres soak tools

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "%-14s %s\n", $$1, $$2}'

run: ## serve the demo
	$(GO) run ./cmd/certstate demo

build: ## build bin/certstate
	$(GO) build -trimpath -o bin/certstate ./cmd/certstate

test: tools vet race purego fuzz ## everything but the SDK clients; installs what it needs
	@echo "make test: all passed"

tools: ## install what the tests need, and say what
	@./tools/install.sh

vet:
	@unformatted=$$(git ls-files '*.go' | xargs gofmt -l); if [ -n "$$unformatted" ]; then echo "not gofmt-ed: $$unformatted"; exit 1; fi
	$(GO) vet ./...

# The race detector needs cgo; without a C compiler the tests run without it.
race: ## tests with the race detector
	@if [ "$$($(GO) env CGO_ENABLED)" = 1 ] && command -v cc >/dev/null; then \
	  set -x; $(GO) test -race -timeout 20m ./...; \
	else \
	  echo "SKIPPED: race detector and the cgo SQLite driver (no C compiler)"; CGO_ENABLED=0 $(GO) test -timeout 20m ./... ; \
	fi

purego: ## the same suite without cgo
	CGO_ENABLED=0 $(GO) build -o /dev/null ./cmd/certstate
	CGO_ENABLED=0 $(GO) test -short ./store ./api ./cmd/...
	CGO_ENABLED=0 $(GO) test ./faults -run TestLinearizable/sqlite

fuzz: ## every fuzz target, FUZZTIME each
	@set -e; for pkg in $$($(GO) list ./...); do \
	  for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "fuzz $$pkg $$target"; \
	    $(GO) test $$pkg -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x >fuzz.out || { cat fuzz.out; exit 1; }; \
	  done; \
	done; rm -f fuzz.out

check: test lint vuln ## test, and the linters and the vulnerability check

lint: ## golangci-lint, from none upward (.golangci.yml)
	cd tools && $(GO) build -o ../bin/golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	bin/golangci-lint run ./...

vuln: ## known vulnerabilities; says so where the database cannot be reached
	@cd tools && $(GO) build -o ../bin/govulncheck golang.org/x/vuln/cmd/govulncheck
	@if ! bin/govulncheck ./... >vuln.out 2>&1; then \
	  if grep -qE 'no such host|dial tcp|Forbidden|403|502|connection refused|i/o timeout' vuln.out; then echo "SKIPPED: govulncheck (its database cannot be reached)"; \
	  else cat vuln.out; rm -f vuln.out; exit 1; fi; \
	else cat vuln.out; fi; rm -f vuln.out

test-corpora: tools ## every fact of thousands of certificates against OpenSSL's and GnuTLS's own answers (minutes)
	@./tools/install.sh corpora
	$(GO) test ./ingest -run TestCorpora -corpora -v -timeout 1h

test-clients: tools ## Microsoft's and HashiCorp's SDKs and others, unmodified, against the demo (first build: minutes and gigabytes)
	./clients/run.sh

bench: ## the server against a bare handler on the same driver, in one run
	$(GO) run ./bench

bench-query: ## queries against statements written by hand, at a million records
	$(GO) run ./bench -queries -rows 1000000

bench-postgres: ## the store on PostgreSQL against statements written by hand, and reads on a replica
	$(GO) test ./store -run '^$$' -bench 'Postgres|Replica' -benchtime 3s

bench-backup: ## a million records backed up under load and restored into each engine, beside a copy of the file
	$(GO) run ./bench -backup -rows 1000000 -seconds 10

ROWS ?= 1000000

bench-import: ## ROWS rows, and a fifth as many certificates, beside an INSERT of the same; then killed and run again
	$(GO) test ./cmd/certstate -run TestImportSpeed -import-rows $(ROWS) -timeout 2h -v
	$(GO) test ./cmd/certstate -run 'TestImportKilled/.*/sqlite' -kill-rows $(ROWS) -timeout 2h -v

bench-overload: ## ten times what the server can do for a minute, and a busy neighbour
	$(GO) run ./bench -overload -seconds 60

SOAK ?= 30m

soak: ## the slow tests; SOAK is how long a bearable load lasts
	$(GO) run ./bench -soak $(SOAK) -rows 400000
	$(GO) test ./store -run '^TestKill$$' -crash-cycles=3000 -timeout 3h
	$(GO) test ./store -run 'TestPostgresFaults$$' -postgres-faults=1000 -timeout 2h -v
	$(GO) test ./store -run 'TestFailover$$' -failovers=200 -timeout 1h -v
	$(GO) test ./store -run TestShardKilled -shard-kills=200 -timeout 2h -v
	$(GO) test ./store -run TestLineageOfAnything -lineage-steps=20000 -timeout 1h
	$(GO) test ./store -run TestStalledRenewals -renewing-devices=10000 -timeout 1h
	$(GO) test ./store -run TestBackup -backups=300 -timeout 2h
	$(GO) test ./store -run TestPruneChanges -prunes=200 -timeout 2h
	$(GO) test ./store -run TestKillCompact -compact-kills=500 -timeout 1h
	$(GO) test ./store -run TestBitFlips -flips=5000 -timeout 1h -v
	CGO_ENABLED=0 $(GO) test ./store -run TestBitFlips -flips=5000 -timeout 1h -v
	$(GO) test ./store -run MeanTheSame -queries=150000 -timeout 1h -v
	CGO_ENABLED=0 $(GO) test ./store -run MeanTheSame -queries=100000 -timeout 1h -v
	$(GO) test ./api -run TestLostAnswers -lost-answers=10000 -timeout 1h
	$(GO) test ./api -run TestPagesUnderFire -page-rows=50000 -timeout 1h -v
	$(GO) test ./store -run TestDeltaUnderFire -fire-kills=2000 -timeout 3h
	$(GO) test ./store -run 'OnAReplica|ReadsSee' -replica-time 10m -queries 100000 -timeout 2h -v
	$(GO) test ./faults -run TestBalanced -balance-time=10m -balance-every=5s -timeout 2h -v
	$(GO) test ./faults -run TestRollingRestart -rolls=50 -timeout 1h -v
	$(GO) test ./faults -run TestLinearizable -histories=330 -history-length=2000 -history-kills=5 -timeout 6h
	$(GO) test ./faults -run TestPowerCuts -power-cuts=600 -timeout 2h -v
	$(GO) test ./faults -run TestPoints -point-rounds=50 -timeout 3h -v
	$(GO) test ./faults -run 'TestStorage|TestCheckpoint|TestDatabase|TestClock' -count=10 -all-flaws -timeout 3h
	$(GO) test ./cmd/certstate -run 'TestPull$$' -pull-rows=100000 -timeout 1h -v
	cd clients/stepca && $(GO) test -certificates=500 -timeout 1h -v
	$(MAKE) test-corpora
	$(MAKE) fuzz FUZZTIME=15000000x
